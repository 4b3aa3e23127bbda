"""What a run of generate did, or would do: for programs, for people, and for the manifest."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from prefdata.io.account import row_lines
from prefdata.judges.result import money
from prefdata.llm.estimate import Estimate
from prefdata.sampling.answers import NO_REPLY, words


@dataclass
class GenerateResult:
    """The account of a run. `counts` is in input rows, `answers` (by policy) in answers: asked = candidates + duplicates + dropped.
    `spent` is what the journal has cost over all runs; local answers cost nothing."""

    out: str
    counts: dict[str, Any]
    records: dict[str, Any]
    inputs: list[dict[str, Any]]
    policies: list[dict[str, Any]] = field(default_factory=list)
    """Where answers come from: names, models or folders with their hashes, settings, iteration."""
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    """Of this run: calls, replies, retries ... of servers."""
    local: dict[str, Any] = field(default_factory=dict)
    """Of this run: answers, tokens and seconds of local models."""
    spent: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    rejects: str | None = None
    dropped: str | None = None
    journal: str | None = None
    sha256: str | None = None
    """Of the output; none of stdout."""
    seconds: float = 0.0
    up_to_date: bool = False

    @property
    def unanswered(self) -> int:
        """Answers that were asked for and did not come."""
        return sum(n for a in self.answers.values() for code, n in a["dropped"].items() if code.startswith(NO_REPLY))

    @property
    def exit_code(self) -> int:
        """1 when rows were rejected, prompts got nothing, or replies are missing; else 0."""
        return 1 if self.counts["rejected"] or self.counts["dropped"] or self.unanswered else 0

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "exit_code": self.exit_code}

    def lines(self) -> list[str]:
        """The account in words."""
        done = ", up to date, nothing was done (--force writes again)" if self.up_to_date else ""
        out = [f"{self.out}: {self.records['written']:,} listwise records{done}"]
        out += row_lines(self.counts, lambda code: f"{code}, {words(code)}")
        for name, a in self.answers.items():
            lost = sum(a["dropped"].values())
            out.append(
                f"  {name}: asked {a['asked']:,} = candidates {a['candidates']:,} + duplicates {a['duplicates']:,} + dropped {lost:,}"
            )
            out += [f"    dropped {n:,}: {code}, {words(code)}" for code, n in a["dropped"].items()]
            ends = ", ".join(f"{n:,} {code}" for code, n in a["finish"].items())
            out += [f"    ended by: {ends}"] if ends else []
        if not self.up_to_date and (self.run.get("calls") or self.run.get("reused")):
            out.append(f"  asked {self.run['calls']:,} times in this run, {self.run['reused']:,} replies were in the journal")
        if not self.up_to_date and self.local.get("answers"):
            t = self.local
            out.append(f"  generated {t['answers']:,} answers here, {t['tokens_out']:,} tokens at {t['tokens_per_second']:,.0f} tokens/s")
        out += [f"  spent in all: {money(self.spent)}"] if self.spent.get("calls") else []
        out += [f"  warning: {w}" for w in self.warnings]
        sides = (("prompts without a candidate", self.dropped), ("rejected rows", self.rejects))
        out += [f"  {what} are in {path}" for what, path in sides if path]
        if self.unanswered:
            out.append(f"  {self.unanswered:,} answers did not come; the same command asks for them again")
        return out


@dataclass
class GenerateEstimate(Estimate):
    """What would be sent to servers, and what would be generated here."""

    local_answers: int = 0
    """Answers that local models still have to write."""

    def lines(self) -> list[str]:
        """The estimate in words."""
        here = [f"  on this machine: {self.local_answers:,} answers, free of charge"] if self.local_answers else []
        if not self.calls:
            return [*super().lines(), *here] if not here else ["dry run: nothing was sent or generated", *here]
        return [line for line in super().lines() if "second tries" not in line] + here
