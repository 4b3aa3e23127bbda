"""Findings as text for people and for CI systems: one file per format, imported when it is asked for."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from prefdata.errors import UsageError

if TYPE_CHECKING:
    from prefdata.checks.result import ValidateResult

FORMATS = {
    "text": "prefdata.checks.reports.text:report",
    "json": "prefdata.checks.reports.json:report",
    "jsonl": "prefdata.checks.reports.json:lines",
    "github": "prefdata.checks.reports.github:report",
    "sarif": "prefdata.checks.reports.sarif:report",
    "junit": "prefdata.checks.reports.junit:report",
    "markdown": "prefdata.checks.reports.markdown:report",
}
"""Functions from a result to the report, as `module:name`."""

ENDINGS = {
    ".sarif.json": "sarif",
    ".sarif": "sarif",
    ".xml": "junit",
    ".md": "markdown",
    ".jsonl": "jsonl",
    ".json": "json",
    ".txt": "text",
}
SHOW = {"text": 10, "markdown": 10}
MANY = 1000


def render(result: ValidateResult, form: str, show: int | None = None) -> str:
    """The report in one of FORMATS, with up to `show` findings of each rule (default: what suits the format)."""
    module, _, name = FORMATS[form].partition(":")
    return str(getattr(import_module(module), name)(first(result, shown(form) if show is None else show)))


def shown(form: str) -> int:
    """How many findings of each rule a format lists unless told otherwise."""
    return SHOW.get(form, MANY)


def first(result: ValidateResult, show: int) -> ValidateResult:
    """The result with the first findings of each rule only; the counts stay."""
    seen: Counter[str] = Counter()
    kept = []
    for f in result.findings:
        seen[f.code] += 1
        if seen[f.code] <= show:
            kept.append(f)
    return replace(result, findings=kept)


def format_of(path: str) -> str:
    """The format of a report, from the name of its file. Raises UsageError."""
    for ending, form in ENDINGS.items():
        if path.lower().endswith(ending):
            return form
    raise UsageError(f"{path}: the name of a report ends in {', '.join(ENDINGS)}; what stdout gets is --format")


def write(result: ValidateResult, files: dict[str, str], show: int | None = None) -> None:
    """Write reports (path to format); each appears whole or not at all. Raises UsageError for a file that was checked, InputError."""
    from prefdata.io.write import replacing

    for path in files:
        if os.path.exists(path) and any(os.path.exists(f["path"]) and os.path.samefile(path, f["path"]) for f in result.files):
            raise UsageError(f"{path} is one of the files that were checked; give the report another name")
    for path, form in files.items():
        with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as out:
            out.write(render(result, form, show))
