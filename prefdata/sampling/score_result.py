"""What a run of score did: for programs, for people, and for the manifest."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from prefdata.graders.graded import REASONS as GRADERS
from prefdata.io.account import row_lines
from prefdata.judges.reasons import INVALID, UNFIT
from prefdata.judges.result import money
from prefdata.sampling.score_said import NO_REPLY, WORDS


@dataclass
class ScoreResult:
    """The account of a run. `counts` is in input rows, `scores` in candidates: how many each scorer gave a number, and why the others have
    none; `decided` candidates have a score now."""

    out: str
    kind: str
    counts: dict[str, Any]
    records: dict[str, Any]
    inputs: list[dict[str, Any]]
    scores: dict[str, Any]
    run: dict[str, Any] = field(default_factory=dict)
    """Of this run: calls, replies ... and `computed`, the numbers of local models."""
    spent: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    journal: str | None = None
    rejects: str | None = None
    sha256: str | None = None
    seconds: float = 0.0
    up_to_date: bool = False

    @property
    def invalid(self) -> int:
        """Scores that are missing."""
        return sum(sum(s["invalid"].values()) for s in self.scores["scorers"].values())

    @property
    def passing(self) -> int:
        """Those of them that the same command tries again."""
        again = (NO_REPLY, "time-out", "exited", "not-scored", "out-of-memory")
        return sum(n for s in self.scores["scorers"].values() for code, n in s["invalid"].items() if code.startswith(again))

    @property
    def exit_code(self) -> int:
        """1 when rows were rejected or scores are missing, else 0."""
        return 1 if self.counts["rejected"] or self.invalid else 0

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "exit_code": self.exit_code}

    def lines(self) -> list[str]:
        """The account in words."""
        s = self.scores
        done = ", up to date, nothing was done (--force scores again)" if self.up_to_date else ""
        out = [f"{self.out}: {self.records['written']:,} {self.kind} records{done}"]
        out += row_lines(self.counts)
        out.append(f"  candidates: {s['candidates']:,}, of which {s['decided']:,} have a score")
        for name, found in s["scorers"].items():
            out.append(f"  {name}: {found['scored']:,} scores")
            out += [f"    {n:,} without: {code}{_words(code)}" for code, n in found["invalid"].items()]
        if self.run.get("computed"):
            out.append(f"  computed {self.run['computed']:,} numbers in this run, {self.run['rate']:,.0f} a second")
        if self.run.get("calls") is not None:
            out.append(f"  asked {self.run['calls']:,} times in this run, {self.run['reused']:,} replies were in the journal")
        out += [f"  spent in all: {money(self.spent)}"] if self.spent.get("calls") else []
        out += [f"  warning: {w}" for w in self.warnings]
        out += [f"  rejected rows are in {self.rejects}"] if self.rejects else []
        if self.passing:
            out.append(f"  {self.passing:,} missing scores may come when the same command runs again")
        return out


def _words(code: str) -> str:
    words = {**INVALID, **UNFIT, **GRADERS, **WORDS}.get(code.partition(":")[0])
    return f", {words}" if words else ""
