"""Workflow commands of GitHub Actions: annotations at the lines of a change, and the step's summary."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prefdata.checks.reports import place, verdict
from prefdata.checks.reports.clean import one_line
from prefdata.checks.rules import RULES
from prefdata.errors import InputError

if TYPE_CHECKING:
    from prefdata.checks.result import Finding, ValidateResult

COMMANDS = {"error": "error", "warning": "warning", "info": "notice"}
PER_STEP = 10
"""GitHub shows so many errors, warnings and notices of a step each, and drops the others without a word."""
SUMMARY_BYTES = 1024 * 1024


def report(result: ValidateResult) -> str:
    """The most severe findings as annotations, spread over the rules; the others are counted in plain lines."""
    used: Counter[str] = Counter()
    annotated: Counter[str] = Counter()
    out = []
    for f in verdict.ranked(result.findings):
        if used[f.severity] < PER_STEP:
            used[f.severity] += 1
            annotated[f.code] += 1
            out.append(_command(f))
    # plain lines hold no text of the data: a line that begins with :: or holds ##[ would be a command
    out.append(f"{verdict.rows(result)}: {verdict.words(result)}")
    left = verdict.counted(result) - annotated
    if left:
        out.append(f"{sum(left.values()):,} findings are no annotations (GitHub shows {PER_STEP} of each severity per step):")
        out += [f"  {code} {RULES[code].name}: {n:,} more" for code, n in sorted(left.items())]
    return "\n".join(out) + "\n"


def _command(f: Finding) -> str:
    where, line = place.path(f.file), place.line(f)
    properties = {"file": one_line(where)} if where is not None else {}
    if where is not None and line is not None:
        properties["line"] = str(line)
    properties["title"] = f"{f.code} {RULES[f.code].name}"
    listed = ",".join(f"{k}={_escaped(v).replace(':', '%3A').replace(',', '%2C')}" for k, v in properties.items())
    return f"::{COMMANDS[f.severity]} {listed}::" + _escaped(f"{place.row(f)}{place.message(f)}\nFix: {RULES[f.code].fix}.")


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def append_summary(path: str, page: str) -> bool:
    """Add a page of Markdown to the step's summary ($GITHUB_STEP_SUMMARY); False where the file would become longer than GitHub takes.
    Raises InputError."""
    raw = page.encode()
    try:
        with open(path, "ab") as file:
            if file.tell() + len(raw) > SUMMARY_BYTES:
                return False
            file.write(raw)
    except OSError as e:
        raise InputError(f"$GITHUB_STEP_SUMMARY: {path}: cannot be written ({e.strerror or e})") from None
    return True
