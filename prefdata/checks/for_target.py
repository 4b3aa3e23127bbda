"""`prefdata validate --target`: files that somebody else wrote, against the rules of the trainer or service that is to read them."""

from __future__ import annotations

from prefdata.checks.options import ValidateOptions
from prefdata.checks.result import Finding, ValidateResult
from prefdata.errors import UsageError
from prefdata.io.sniff import expand
from prefdata.readers import inspect


def validate_for(data: list[str], target: str, options: ValidateOptions, result: ValidateResult) -> ValidateResult:
    """Fill a result whose `severities` name the rules that run. Raises UsageError and InputError."""
    paths = expand(data)
    if "-" in paths:
        raise UsageError("--target reads files, not stdin: name, end and mark of a file are among the rules")
    for path in paths:
        found = inspect(path, target)
        result.rows += found.rows
        result.files.append({"path": path, "kind": target, "source": target, "why": "--target names it", "bytes": 0, "rows": found.rows})
        for f in found.findings:
            if f.code in result.severities:
                result.counts[f.code] += 1
                kept = result.counts[f.code] <= (options.show or 0)
                if kept or options.baseline:
                    finding = Finding(**f._asdict())
                    result.findings.append(finding._replace(severity=result.severities[f.code]))
    return result
