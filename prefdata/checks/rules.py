"""All rules by code. A new rule is one function and one entry in the file of its group."""

from __future__ import annotations

from dataclasses import asdict
from difflib import get_close_matches

from prefdata.checks import (
    bias,
    characters,
    conflicts,
    content,
    distribution,
    endings,
    languages,
    leakage,
    lists,
    pairs,
    reading_rules,
    secrets,
    structure,
    tools,
)
from prefdata.checks.rule import Limit, Rule
from prefdata.errors import UsageError
from prefdata.readers import by_code
from prefdata.tokens.rules import RULES as token_rules

GROUPS = (
    reading_rules.RULES,
    structure.RULES,
    pairs.RULES,
    conflicts.RULES,
    lists.RULES,
    bias.RULES,
    distribution.RULES,
    leakage.RULES,
    characters.RULES,
    tools.RULES,
    content.RULES,
    endings.RULES,
    languages.RULES,
    secrets.RULES,
)
TARGET = tuple(Rule(**w._asdict(), needs="--target") for w in by_code().values())
TOKENS = tuple(Rule(**asdict(r), needs="--tokenizer") for r in token_rules)
RULES: dict[str, Rule] = {r.code: r for r in sorted((r for group in (*GROUPS, TARGET, TOKENS) for r in group), key=lambda r: r.code)}
FAMILIES = {
    "PD0": "Can the row be read?",
    "PD1": "Is it a record?",
    "PD2": "Does a pair say what it seems to say?",
    "PD3": "Binary and listwise records",
    "PD4": "The data set as a whole: what else tells chosen from rejected?",
    "PD5": "Leakage between files and splits",
    "PD6": "What a trainer's tokenizer makes of it (with --tokenizer)",
    "PD7": "Content: what stands in the texts",
    "PD8": "Does a file fit its reader? (with --target)",
}


def chosen(select: list[str], ignore: list[str], extend: list[str]) -> dict[str, Rule]:
    """The rules whose codes (or names) begin with one of `select` (those that run by default if empty), those of `extend`, and none of
    `ignore`. Raises UsageError for a prefix that no rule has."""
    for prefix in [*select, *ignore, *extend]:
        if not any(_fits(r, (prefix,)) for r in RULES.values()):
            near = get_close_matches(prefix, [*RULES, *(r.name for r in RULES.values())], n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UsageError(f"no rule begins with {prefix!r}; {hint}'prefdata list rules' shows all of them")
    picked = {c: r for c, r in RULES.items() if (_fits(r, select) if select else r.on) or _fits(r, extend)}
    return {c: r for c, r in picked.items() if not _fits(r, ignore)}


def _fits(rule: Rule, prefixes: list[str] | tuple[str, ...]) -> bool:
    return any(rule.code.startswith(p) or rule.name == p for p in prefixes)


def limits(rules: dict[str, Rule], wanted: dict[str, dict[str, bool | int | float | str]]) -> dict[str, dict[str, Limit]]:
    """The limits of every rule, with the wanted ones in place of the defaults. Raises UsageError with every wrong one."""
    wrong = []
    out = {code: rule.limits for code, rule in rules.items()}
    for code, values in wanted.items():
        if code not in RULES:
            wrong.append(f"limits: there is no rule {code!r}; 'prefdata list rules' shows all of them")
            continue
        known = RULES[code].limits
        for name, value in values.items():
            if name == "severity":
                if value not in ("error", "warning", "info"):
                    wrong.append(f"{code}.severity must be error, warning or info, not {value!r}")
            elif name not in known:
                there = ", ".join([*known, "severity"])
                wrong.append(f"{code} has no limit {name!r}; it has: {there}")
            else:
                try:
                    number: Limit = value if isinstance(value, bool) else type(known[name])(float(value))
                except (TypeError, ValueError):
                    wrong.append(f"{code}.{name} must be a number, not {value!r}")
                    continue
                if code in out:
                    out[code][name] = number
    if wrong:
        raise UsageError("\n".join(wrong))
    return out
