"""A comment on a pull request, or the summary of a step: the counts by rule and the first findings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prefdata.checks.reports import place, verdict
from prefdata.checks.reports.clean import one_line
from prefdata.checks.rules import RULES

if TYPE_CHECKING:
    from prefdata.checks.result import ValidateResult

MOST = 65_536
"""Characters of a comment on GitHub."""
SPECIAL = re.compile(r"[&<>\\`*_~|$@#]|\](?=[(\[])|:(?=//)")
CALLS = re.compile(r"[@#](?=\w)|www(?=\.)", re.IGNORECASE)
"""What GitHub makes a link of, wherever it stands: people, issues, addresses."""


def report(result: ValidateResult) -> str:
    out = [f"## prefdata validate: {verdict.outcome(result)}", "", f"{verdict.rows(result)}: {verdict.words(result)}.", ""]
    counts = verdict.counted(result)
    if counts:
        out += ["| rule | severity | findings | what | fix |", "|---|---|--:|---|---|"]
    for code, n in sorted(counts.items()):
        rule = RULES[code]
        out.append(f"| {code} {rule.name} | {result.severities[code]} | {n:,} | {safe(rule.message)} | {safe(rule.fix)} |")
    if result.findings:
        out += ["", "| where | rule | finding |", "|---|---|---|"]
    return _within(out, [_row(*cells) for cells in _cells(result)], counts.total())


def _cells(result: ValidateResult) -> list[tuple[str, str, str]]:
    return [(place.words(f), f.code, place.message(f)) for f in result.findings]


def _row(where: str, code: str, message: str) -> str:
    return f"| <code>{safe(one_line(where, 300))}</code> | {code} | {safe(one_line(message, 500))} |"


def _within(head: list[str], rows: list[str], found: int) -> str:
    """The page with as many rows as fit."""
    room = MOST - sum(len(line) + 1 for line in head) - 100
    out = list(head)
    listed = 0
    for row in rows:
        room -= len(row) + 1
        if room < 0:
            break
        out.append(row)
        listed += 1
    if listed < found:
        out += ["", f"{found - listed:,} findings are not listed here."]
    return "\n".join(out).rstrip("\n") + "\n"


def safe(text: str) -> str:
    """Text that is nothing but text: no HTML, no Markdown, no end of a cell, and no link to a person, an issue or an address."""
    spaced = CALLS.sub("\\g<0>\u2060", text)
    return SPECIAL.sub(lambda m: f"&#{ord(m[0])};", spaced)
