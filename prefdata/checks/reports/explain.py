"""A rule in words: for `--explain`, and for the help of every finding in SARIF. All words are the rule's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefdata.checks.rules import FAMILIES, RULES, chosen

if TYPE_CHECKING:
    from prefdata.checks.rule import Rule


def explain(wanted: str) -> str:
    """One rule in full, by its code or name, or the list of the rules whose codes begin so. Raises UsageError with the nearest code."""
    rules = list(chosen([wanted], [], []).values())
    if len(rules) == 1:
        return plain(rules[0])
    wide = max(len(r.name) for r in RULES.values())
    out = [f"{r.code}  {r.name:<{wide}}  {r.severity:<7}  {state(r):<3}  {r.message}" for r in rules]
    family = [f"{wanted}: {FAMILIES[wanted]}", ""] if wanted in FAMILIES else []
    return "\n".join([*family, *out, "", "--explain CODE explains one of them."]) + "\n"


def plain(rule: Rule) -> str:
    """A rule as lines of plain text."""
    out = [f"{rule.code} {rule.name} ({rule.severity}, {state(rule)})", "", f"Finds: {rule.message}", rule.reason, ""]
    out += [f"bad:   {rule.bad}", f"good:  {rule.good}", f"fix:   {rule.fix}", ""]
    return "\n".join(out + facts(rule)) + "\n"


def page(rule: Rule) -> str:
    """A rule as Markdown."""
    out = [f"{rule.reason}", "", "Bad:", "", *_fenced(rule.bad), "", "Good:", "", *_fenced(rule.good), "", f"Fix: {rule.fix}.", ""]
    return "\n".join(out + [f"* {fact}" for fact in facts(rule)]) + "\n"


def _fenced(code: str) -> list[str]:
    return ["```text", code, "```"]


def state(rule: Rule) -> str:
    """Whether the rule runs unless it is asked for."""
    return "on" if rule.on else "off"


def limits(rule: Rule) -> str:
    """`share=0.6, least=20`: the limits with their defaults."""
    return ", ".join(f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in rule.limits.items())


def facts(rule: Rule) -> list[str]:
    """What else there is to know: the kinds of records, the limits, and how to switch the rule on."""
    out = [f"for records of kind: {', '.join(rule.kinds)}"]
    if rule.groups:
        out.append("compares files or splits: give it two of them")
    if rule.limits:
        name = next(iter(rule.limits))
        out.append(f"limits: {limits(rule)}; change one with --set {rule.code}.{name}=NUMBER")
    if not rule.on:
        out.append(f"runs only when asked for: --extend-select {rule.code}")
    if rule.needs:
        out.append(f"runs only with {rule.needs}")
    if rule.safe:
        out.append("repaired by --fix")
    return out
