"""What the counts of a result mean: which findings fail, in words, and which come first where not all can be shown."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prefdata.checks.result import LEVELS

if TYPE_CHECKING:
    from prefdata.checks.result import Finding, ValidateResult


def counted(result: ValidateResult) -> Counter[str]:
    """Findings by rule; with a baseline, the new ones, which are the ones that are listed."""
    return Counter(result.counts if result.baseline is None else result.baseline["new"])


def fails(result: ValidateResult, code: str) -> bool:
    """Whether findings of a rule count against the result."""
    at_or_above = result.fail_on in LEVELS and LEVELS.index(result.severities[code]) <= LEVELS.index(result.fail_on)
    return at_or_above and counted(result)[code] > 0


def words(result: ValidateResult) -> str:
    """`12 findings (3 error, 9 warning); 3 at or above error: failed`."""
    counts = counted(result)
    found = counts.total()
    new = "" if result.baseline is None else "new "
    out = [f"no {new}findings"]
    if found:
        by_level: Counter[str] = Counter()
        for code, n in counts.items():
            by_level[result.severities[code]] += n
        levels = ", ".join(f"{by_level[level]:,} {level}" for level in LEVELS if by_level[level])
        out = [f"{found:,} {new}finding{'s' if found > 1 else ''} ({levels})", _why(result)]
    return "; ".join(out + _baseline(result))


def _why(result: ValidateResult) -> str:
    if result.fail_on not in LEVELS:
        return "passed, as --fail-on is never"
    count = f"{result.failing:,}" if result.failing else "none"
    allowed = f" ({result.max_errors:,} allowed)" if result.max_errors and result.failing else ""
    return f"{count} at or above {result.fail_on}{allowed}: {outcome(result)}"


def _baseline(result: ValidateResult) -> list[str]:
    if result.baseline is None:
        return []
    known, gone = (sum(result.baseline[what].values()) for what in ("known", "gone"))
    forget = " (--update-baseline down forgets them)" if gone and not result.baseline["updated"] else ""
    return [f"baseline: {known:,} known, {gone:,} gone{forget}"]


def outcome(result: ValidateResult) -> str:
    return "failed" if result.exit_code else "passed"


def rows(result: ValidateResult) -> str:
    """`1,725 pair rows in 1 file`."""
    kinds = ", ".join(sorted({f["kind"] for f in result.files}))
    files = len(result.files)
    return f"{result.rows:,} {kinds} row{'' if result.rows == 1 else 's'} in {files} file{'' if files == 1 else 's'}"


def ranked(findings: list[Finding]) -> list[Finding]:
    """The most severe first and, among equals, the first finding of every rule before the second of any."""
    seen: Counter[str] = Counter()
    order = []
    for i, f in enumerate(findings):
        order.append((LEVELS.index(f.severity), seen[f.code], i))
        seen[f.code] += 1
    return [findings[i] for *_, i in sorted(order)]
