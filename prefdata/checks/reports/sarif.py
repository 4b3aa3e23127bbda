"""SARIF 2.1.0: for GitHub code scanning, GitLab and editors."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from importlib.metadata import PackageNotFoundError, metadata
from typing import TYPE_CHECKING, Any

from prefdata.checks.reports import explain, place, verdict
from prefdata.checks.reports.clean import one_line
from prefdata.checks.reports.json import dumps
from prefdata.checks.rules import RULES
from prefdata.version import __version__

if TYPE_CHECKING:
    from prefdata.checks.result import Finding, ValidateResult
    from prefdata.checks.rule import Rule

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS = {"error": "error", "warning": "warning", "info": "note"}
PROBLEM = {"error": "error", "warning": "warning", "info": "recommendation"}
MOST = 5000
"""GitHub takes 25,000 results of a run and shows 5,000."""


def report(result: ValidateResult) -> str:
    return dumps(log(result), indent=1) + "\n"


def log(result: ValidateResult) -> dict[str, Any]:
    """One run with the rules that ran and up to MOST results, the most severe ones."""
    codes = sorted(result.severities)
    index = {code: i for i, code in enumerate(codes)}
    kept = {id(f) for f in verdict.ranked(result.findings)[:MOST]}
    seen: Counter[str] = Counter()
    uris = {f["path"]: place.uri(f["path"]) for f in result.files}
    results = [_result(f, index[f.code], uris[f.file], seen) for f in result.findings if id(f) in kept]
    urls = addresses()
    driver = {
        "name": "prefdata",
        "version": __version__,
        **({"informationUri": urls["homepage"]} if "homepage" in urls else {}),
        "rules": [_rule(RULES[code], urls) for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [_invocation(result, len(results))],
        "artifacts": [{"location": {"uri": uris[f["path"]]}, "length": f["bytes"]} for f in result.files],
        "results": results,
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def addresses() -> dict[str, str]:
    """The addresses that the installed package states (project.urls): SARIF points to `homepage`, and to the page of `rules`."""
    try:
        stated = metadata("prefdata").get_all("Project-URL") or []
    except PackageNotFoundError:
        return {}
    return {name.strip().lower(): url.strip() for name, _, url in (line.partition(",") for line in stated)}


def _rule(rule: Rule, urls: dict[str, str]) -> dict[str, Any]:
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": f"{rule.message[:1].upper()}{rule.message[1:]}."},
        "fullDescription": {"text": rule.reason},
        "help": {"text": explain.plain(rule), "markdown": explain.page(rule)},
        **({"helpUri": f"{urls['rules']}#{rule.code.lower()}-{rule.name}"} if "rules" in urls else {}),
        "defaultConfiguration": {"level": LEVELS[rule.severity], "enabled": rule.on},
        "properties": {"tags": ["preference-data", *rule.kinds], "problem.severity": PROBLEM[rule.severity]},
    }


def _result(f: Finding, index: int, uri: str, seen: Counter[str]) -> dict[str, Any]:
    line = place.line(f)
    where = {"artifactLocation": {"uri": uri}, **({"region": {"startLine": line}} if line else {})}
    marks = {"prefdata/v1": one_line(f.fingerprint, 100)}
    if not line:
        # GitHub makes such a mark from the text of the line; where there is no line it has only this one
        mark = hashlib.sha256(f"{uri} {f.fingerprint}".encode()).hexdigest()[:16]
        seen[mark] += 1
        marks["primaryLocationLineHash"] = f"{mark}:{seen[mark]}"
    row, field, record = f.line if f.unit == "row" and f.line else None, one_line(f.field or "", 200), one_line(f.id or "", 100)
    about = {"row": row, "field": field or None, "record": record or None}
    return {
        "ruleId": f.code,
        "ruleIndex": index,
        "level": LEVELS[f.severity],
        "message": {"text": _inert(place.row(f) + place.message(f))},
        "locations": [{"physicalLocation": where}],
        "partialFingerprints": marks,
        "properties": {k: v for k, v in about.items() if v is not None},
    }


def _inert(text: str) -> str:
    """Without links and placeholders: viewers make them of `[text](address)` and `{0}` in a message, which may hold names from the data."""
    return re.sub(r"\{(?=\d)", "{ ", text.replace("](", "] ("))


def _invocation(result: ValidateResult, listed: int) -> dict[str, Any]:
    left = verdict.counted(result).total() - listed
    words = f"{left:,} findings are left out: a report lists up to {MOST:,}, and of each rule as many as --show says"
    notes = [{"level": "warning", "descriptor": {"id": "findings-left-out"}, "message": {"text": words}}] if left else []
    return {
        "executionSuccessful": True,
        "exitCode": result.exit_code,
        "exitCodeDescription": verdict.words(result),
        "toolExecutionNotifications": notes,
    }
