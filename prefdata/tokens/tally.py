"""What was seen, counted: token lengths, what the trainer cuts and drops, and findings by rule."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from prefdata.tokens.rules import BY_CODE

PERCENTS = (50, 90, 95, 99)
EXAMPLES = 5
KEEP = 0.99
STEP = 64
ROW = "whole row"


@dataclass
class Seen:
    """Counts of a frame of records, or of many: `add` merges them. All figures are exact, whatever the frames were."""

    tokenizer: str = ""
    policy: str = ""
    max_length: int | None = None
    rows: int = 0
    fates: Counter[str] = field(default_factory=Counter)
    """Rows by what becomes of them: whole, cut, dropped, refused (the template raises)."""
    lengths: dict[str, Counter[int]] = field(default_factory=dict)
    """How often a token length occurs: of prompts, of each answer, and of the longest sequence of a row."""
    findings: Counter[str] = field(default_factory=Counter)
    """Rows with at least one finding of a rule, by code."""
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    flags: list[tuple[int, str, str, str]] = field(default_factory=list, compare=False)
    """Row of the frame, code, field and detail of every finding; only of a frame, `add` does not take them in."""

    def add(self, other: Seen) -> None:
        """Take in what was seen in another frame with the same lens."""
        if not self.tokenizer:
            self.tokenizer, self.policy, self.max_length = other.tokenizer, other.policy, other.max_length
        self.rows += other.rows
        self.fates.update(other.fates)
        self.findings.update(other.findings)
        for name, lengths in other.lengths.items():
            self.lengths.setdefault(name, Counter()).update(lengths)
        for code, some in other.examples.items():
            self.examples[code] = (self.examples.get(code, []) + some)[:EXAMPLES]
        self.notes += [n for n in other.notes if n not in self.notes]

    def percentile(self, name: str, percent: float) -> int | None:
        """The smallest length that at least so many percent of the values do not exceed (nearest rank)."""
        lengths = self.lengths.get(name)
        if not lengths:
            return None
        left = lengths.total() * percent / 100
        for length in sorted(lengths):
            left -= lengths[length]
            if left <= 1e-9:
                return length
        return max(lengths)

    def suggestion(self) -> int | None:
        """The smallest multiple of 64 tokens at which 99 % of the rows are whole."""
        need = self.percentile(ROW, 100 * KEEP)
        return None if need is None else max(-(-need // STEP), 1) * STEP

    @property
    def failed(self) -> bool:
        """Whether a rule of severity error found something."""
        return any(BY_CODE[c].severity == "error" for c in self.findings)

    def table(self) -> list[tuple[str, list[int]]]:
        """Lengths by name: 50, 90, 95, 99 %, and the largest."""
        return [(n, [self.percentile(n, p) or 0 for p in PERCENTS] + [max(c)]) for n, c in self.lengths.items() if c]

    def summary(self) -> str:
        """One line: what becomes of the rows, and which length would keep them whole."""
        shares = ", ".join(f"{k} {n:,} ({n / self.rows:.1%})" for k, n in self.fates.items() if n)
        at = "no maximum length" if self.max_length is None else f"at {self.max_length:,} tokens"
        hint = "" if self.suggestion() is None else f"; {self.suggestion():,} tokens keep 99 % whole"
        return f"{at}, {self.policy}: {shares or 'no rows'}{hint}"

    def lines(self) -> list[str]:
        """For a terminal."""
        out = [f"  seen through {self.tokenizer}", f"    {self.summary()}"]
        width = max([10, *(len(n) for n in self.lengths)])
        out.append(f"    {'tokens':<{width}}" + "".join(f"{f'{p} %':>9}" for p in PERCENTS) + f"{'max':>9}")
        out += [f"    {name:<{width}}" + "".join(f"{v:>9,}" for v in values) for name, values in self.table()]
        for code, n in sorted(self.findings.items()):
            rule = BY_CODE[code]
            first = self.examples[code][0]
            out.append(f"    {rule.severity} {code} {rule.name}: {n:,} rows, {rule.message} (first: {first['id']}, {first['detail']})")
        return out + [f"    note: {n}" for n in self.notes]

    def section(self) -> list[str]:
        """For the card, in Markdown. The details of findings stay out of it: they can quote the data."""
        out = ["## Seen by the trainer", "", self.summary()[:1].upper() + self.summary()[1:] + ".", ""]
        out += ["| tokens | 50 % | 90 % | 95 % | 99 % | max |", "|---|---|---|---|---|---|"]
        out += [f"| {name} | {' | '.join(f'{v:,}' for v in values)} |" for name, values in self.table()]
        out += ["", *[f"* {n:,} rows: {c}, {BY_CODE[c].message}" for c, n in sorted(self.findings.items())]]
        return out + [f"* {n}" for n in self.notes]

    def as_dict(self) -> dict[str, Any]:
        """For `--json` and the manifest."""
        return {
            "tokenizer": self.tokenizer,
            "policy": self.policy,
            "max_length": self.max_length,
            "suggested_max_length": self.suggestion(),
            "rows": self.rows,
            "fates": dict(self.fates),
            "tokens": {n: dict(zip(("p50", "p90", "p95", "p99", "max"), v, strict=True)) for n, v in self.table()},
            "findings": dict(sorted(self.findings.items())),
            "examples": dict(sorted(self.examples.items())),
            "notes": self.notes,
        }
