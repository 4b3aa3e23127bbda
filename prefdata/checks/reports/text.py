"""Findings for people: one line each, then the counts by rule and the verdict."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prefdata.checks.reports import place, verdict
from prefdata.checks.rules import RULES

if TYPE_CHECKING:
    from prefdata.checks.result import ValidateResult


def report(result: ValidateResult) -> str:
    out = []
    for f in result.findings:
        out.append(f"{place.words(f)}: {f.code} {f.severity}: {place.message(f)}")
    counts = verdict.counted(result)
    if counts:
        out.append("")
    listed = Counter(f.code for f in result.findings)
    for code, n in sorted(counts.items()):
        rule = RULES[code]
        some = f"; {listed[code]:,} listed" if listed[code] < n else ""
        out.append(f"{code} {rule.name}: {n:,} ({result.severities[code]}{some}). {rule.fix}")
    if result.seen is not None:
        out += [*result.seen.lines(), ""]
    out.append(f"{verdict.rows(result)}: {verdict.words(result)}")
    return "\n".join(out) + "\n"
