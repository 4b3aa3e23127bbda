"""Findings as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefdata.checks.rules import RULES

if TYPE_CHECKING:
    from prefdata.checks.result import ValidateResult


def text(result: ValidateResult) -> str:
    """One line per finding, then the counts by rule."""
    out = []
    for f in result.findings:
        place = f"{f.file}:{f.line}" if f.line else f.file
        at = f" [{f.field}]" if f.field else ""
        out.append(f"{place}: {f.code} {f.severity}: {f.message}{at}".replace("\n", "\\n"))
    if result.counts:
        out.append("")
    for code, n in sorted(result.counts.items()):
        rule = RULES[code]
        out.append(f"{code} {rule.name}: {n:,} ({rule.severity}). {rule.fix}")
    kinds = ", ".join(sorted({f["kind"] for f in result.files}))
    found = sum(result.counts.values())
    verdict = f"{found:,} findings" if found else "no findings"
    out.append(f"{result.rows:,} {kinds} rows in {len(result.files)} file{'s' if len(result.files) > 1 else ''}: {verdict}")
    return "\n".join(out) + "\n"


def json(result: ValidateResult) -> str:
    import orjson

    return orjson.dumps(result.as_dict(), option=orjson.OPT_INDENT_2).decode() + "\n"


FORMATS = {"text": text, "json": json}
