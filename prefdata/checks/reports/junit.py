"""JUnit XML: one suite per file and one test per rule that ran on it. GitLab, Jenkins, Azure and others show it as a list of tests."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from typing import TYPE_CHECKING

from prefdata.checks.reports import place, verdict
from prefdata.checks.reports.clean import one_line
from prefdata.checks.rules import RULES

if TYPE_CHECKING:
    from prefdata.checks.result import Finding, ValidateResult


def report(result: ValidateResult) -> str:
    """Findings below --fail-on do not fail their test; they stand in its output."""
    found: dict[tuple[str, str], list[Finding]] = {}
    for f in result.findings:
        found.setdefault((f.file, f.code), []).append(f)
    listed = Counter(f.code for f in result.findings)
    root = ET.Element("testsuites", name="prefdata validate")
    for file in result.files:
        path = file["path"]
        suite = ET.SubElement(root, "testsuite", name=one_line(path))
        for code in sorted(c for c in result.severities if file["kind"] in RULES[c].kinds):
            _test(suite, result, path, code, found.get((path, code), []), listed[code])
        _totals(suite)
    _totals(root)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _test(suite: ET.Element, result: ValidateResult, file: str, code: str, found: list[Finding], listed: int) -> None:
    rule = RULES[code]
    test = ET.SubElement(suite, "testcase", classname=one_line(file), name=f"{code} {rule.name}")
    rest = verdict.counted(result)[code] - listed
    lines = [f"{place.words(f)}: {place.message(f)}" for f in found]
    if rest and found:
        lines.append(f"{rest:,} more findings of this rule, in any of the files, are not listed")
    if not found and rest:
        # the counts are those of all files: whether this one has any is not known
        message = f"the {listed:,} findings of this rule that are listed are in other files; {rest:,} are not listed"
        ET.SubElement(test, "skipped", message=message)
    elif found and verdict.fails(result, code):
        count = f"{'at least ' if rest else ''}{len(found):,} finding{'s' if len(found) > 1 else ''}"
        attributes = {"message": f"{count}: {rule.message}", "type": result.severities[code]}
        ET.SubElement(test, "failure", attributes).text = "\n".join([*lines, f"Fix: {rule.fix}."])
    elif found:
        ET.SubElement(test, "system-out").text = "\n".join([f"{result.severities[code]}, below --fail-on:", *lines])


def _totals(element: ET.Element) -> None:
    for name, path in {"tests": ".//testcase", "failures": ".//failure", "errors": ".//error", "skipped": ".//skipped"}.items():
        element.set(name, str(len(element.findall(path))))
