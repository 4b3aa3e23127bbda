"""Results of validate, made by hand: any findings, and such with names and texts that are out to do harm."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl

import prefdata
from prefdata.checks.result import Finding, ValidateResult
from prefdata.checks.rules import RULES
from tests.checks.build import GOOD, pair, write

HOSTILE = "\x1b[31m::error::x\r\n::stop-commands::y ##[error]z ]]> <script>alert(1)</script> </code> | `a` *b* \\| "
HOSTILE += "@team #1 [t](http://e.vil) ![i](http://e.vil/i.png) www.e.vil {0} \u202eabc\x00\ufffe\ud800"
NAMES = ["::error title=x::.jsonl", "a b/50%,x:y.jsonl", "<b>&|`*\\|.jsonl", "-o.jsonl", "\u202egnp.jsonl", "\x1b]0;x\x07.jsonl"]
MARKED = "Human: more\n\nAssistant: no"


def result_of(*findings: Finding, **more: Any) -> ValidateResult:
    """A result with these findings, as validate would give it."""
    paths = dict.fromkeys(f.file for f in findings)
    files = [{"path": p, "kind": "pair", "source": "prefdata-pair", "why": "", "bytes": 1, "rows": 9} for p in paths]
    severities = {c: str(RULES[c].severity) for c in ("PD006", "PD101", "PD102", "PD201", "PD203", "PD204")}
    counts = more.pop("counts", Counter(f.code for f in findings))
    return ValidateResult(9, Counter(counts), list(findings), files, severities, **more)


def some(code: str, n: int, severity: str | None = None) -> list[Finding]:
    return [Finding("a.jsonl", i + 1, code, severity or RULES[code].severity, "m", "chosen", f"{i:032x}") for i in range(n)]


def hostile() -> ValidateResult:
    found = [Finding(n, 1, "PD201", "error", HOSTILE, HOSTILE) for n in NAMES]
    return result_of(*found, Finding(NAMES[0], 0, "PD102", "warning", "x" * 100_000, "y" * 100_000))


def mixed() -> ValidateResult:
    """Errors, warnings and infos, in a file with lines and in one with rows, in the current folder."""
    rows = [GOOD, pair("same", "same"), pair(MARKED, "B"), pair("same", "same", prompt="R")]
    write(Path("a.jsonl"), b"\xef\xbb\xbf" + "".join(json.dumps(r) + "\n" for r in rows).encode())
    pl.DataFrame(rows).write_parquet("b.parquet")
    return prefdata.validate(["a.jsonl", "b.parquet"], select=["PD006", "PD201", "PD204"], show=1000)
