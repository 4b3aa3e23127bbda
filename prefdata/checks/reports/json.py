"""The whole result as one JSON object, or its findings as one object per line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from prefdata.checks.rules import RULES

if TYPE_CHECKING:
    from prefdata.checks.result import Finding, ValidateResult


def report(result: ValidateResult) -> str:
    return dumps({**result.as_dict(), "findings": [finding(f) for f in result.findings]}, indent=2) + "\n"


def lines(result: ValidateResult) -> str:
    """One finding per line, and nothing else."""
    return "".join(dumps(finding(f)) + "\n" for f in result.findings)


def finding(f: Finding) -> dict[str, Any]:
    """A finding with the name of its rule and the mark by which it is known again."""
    told = {**f._asdict(), "name": RULES[f.code].name, "fingerprint": f.fingerprint}
    # half of a surrogate pair is no JSON text that other readers take
    return {k: v.encode("utf-8", "backslashreplace").decode() if isinstance(v, str) else v for k, v in told.items()}


def dumps(value: Any, indent: int | None = None) -> str:
    """JSON in ASCII: control and bidirectional characters of the data cannot reach a terminal."""
    return json.dumps(value, indent=indent, ensure_ascii=True, allow_nan=False)
