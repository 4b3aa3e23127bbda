"""Findings, and what a validation gives back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from prefdata.tokens.tally import Seen

LEVELS = ("error", "warning", "info")


class Finding(NamedTuple):
    """One problem: where, which rule, and what. `line` is a row number in files without lines (`unit`), 0 for the data set as a whole.
    `id` is the record's content id (its first 64 bits, at least), so that a finding can be known again when lines move."""

    file: str
    line: int
    code: str
    severity: str
    message: str
    field: str | None = None
    id: str | None = None
    unit: str = "line"

    @property
    def fingerprint(self) -> str:
        """The same for the same finding on the same record, wherever it stands."""
        return f"{self.code}:{(self.id or 'file')[:16]}:{(self.field or '').partition('.')[0].partition('[')[0]}"


@dataclass
class ValidateResult:
    """What a validation found. `findings` lists up to `show` per rule; `counts` counts all."""

    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    severities: dict[str, str] = field(default_factory=dict)
    """The severity of every rule that ran."""
    fail_on: str = "error"
    max_errors: int = 0
    seen: Seen | None = None
    """What a trainer's tokenizer makes of the records (--tokenizer)."""
    baseline: dict[str, Any] | None = None
    """What a baseline said: counts known, new and gone."""

    @property
    def failing(self) -> int:
        """Findings at or above `fail_on`; with a baseline, the new ones."""
        levels = LEVELS[: LEVELS.index(self.fail_on) + 1] if self.fail_on in LEVELS else ()
        counts = Counter(self.baseline["new"]) if self.baseline is not None else self.counts
        return sum(n for code, n in counts.items() if self.severities[code] in levels)

    @property
    def exit_code(self) -> int:
        """1 when more than `max_errors` findings at or above `fail_on` count, else 0."""
        return int(self.failing > self.max_errors)

    def as_dict(self) -> dict[str, Any]:
        """For `--format json`."""
        return {
            "rows": self.rows,
            "counts": dict(sorted(self.counts.items())),
            "findings": [f._asdict() for f in self.findings],
            "files": self.files,
            "fail_on": self.fail_on,
            "max_errors": self.max_errors,
            "seen": self.seen.as_dict() if self.seen is not None else None,
            "baseline": self.baseline,
            "exit_code": self.exit_code,
        }
