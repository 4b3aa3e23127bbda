"""What a comparison of two policies found: for programs and for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from prefdata.evaluate.policy_words import parts_rows, rows
from prefdata.evaluate.rm_table import Row, percent, share
from prefdata.io.account import named
from prefdata.judges.result import money
from prefdata.sampling.answers import words as dropped_words


@dataclass
class EvalPolicyResult:
    """The figures of tuned against base on prompts."""

    out: str
    policies: list[dict[str, Any]]
    """Base and tuned: models or folders with their hashes, and how answers were drawn."""
    how: dict[str, Any]
    """`by` is scores or judge; who they are, and what became of them."""
    counts: dict[str, Any]
    answers: dict[str, Any]
    """Of each policy: answers asked for, and what became of them."""
    figures: dict[str, Any]
    parts: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    inputs: list[dict[str, Any]] = field(default_factory=list)
    spent: dict[str, Any] = field(default_factory=dict)
    missing: int = 0
    """Answers, scores or verdicts that the same command asks for again."""
    min_win_rate: float | None = None
    up_to_date: bool = False
    seconds: float = 0.0

    @property
    def below(self) -> bool:
        """Whether the win rate is below --min-win-rate (or there is none)."""
        found = self.figures["win_rate"]["value"]
        return self.min_win_rate is not None and (found is None or found < self.min_win_rate)

    @property
    def exit_code(self) -> int:
        """1 below --min-win-rate, when rows were rejected, when something that was asked for did not come, or nothing has an outcome."""
        return int(self.below or self.missing > 0 or bool(self.counts["rejected"]) or not self.figures["decided"])

    def as_dict(self) -> dict[str, Any]:
        """For --json and report.json."""
        return {**asdict(self), "below": self.below, "exit_code": self.exit_code}

    def table(self) -> list[Row]:
        """The figures for people."""
        return rows(self.figures)

    def lines(self) -> list[str]:
        """For people."""
        if self.up_to_date:
            return [f"{self.out}: up to date, nothing was done (--force writes again)", self.head(), *self.account()]
        out = [self.head()]
        section = ""
        for row in self.table():
            if row.section != section:
                section = row.section
                out.append(section)
            out.append(f"  {row.name:<30} {row.value}{f' ({row.interval})' if row.interval else ''}{f'  {row.more}' if row.more else ''}")
        if self.parts:
            out.append(f"by {self.parts['name']}")
            out += [f"  {r.name:<30} {r.value}{f' ({r.interval})' if r.interval else ''}  {r.more}" for r in parts_rows(self.parts)]
        return [*out, *self.account()]

    def head(self) -> str:
        base, tuned = (p.get("folder") or p["model"] for p in self.policies)
        f = self.figures
        if f["win_rate"]["value"] is None:
            return f"{tuned} against {base}: no comparison has an outcome"
        won = ", ".join(f"{word} {percent(f[name]['value'])}" for name, word in (("win", "wins"), ("tie", "ties"), ("loss", "losses")))
        return f"{tuned} against {base}: {won} of {f['decided']:,}; win rate {share(f['win_rate'])}"

    def account(self) -> list[str]:
        """What was read, what is missing, and what a reader should know."""
        c = self.counts
        dropped, rejected = sum(c["dropped"].values()), sum(c["rejected"].values())
        out = [f"prompts: read {c['read']:,} = kept {c['kept']:,} + dropped {dropped:,} + rejected {rejected:,}; intervals hold 95 %"]
        out += [f"  dropped {n:,}: {code}, {dropped_words(code)}" for code, n in c["dropped"].items()]
        out += [f"  rejected {n:,}: {named(code)}" for code, n in c["rejected"].items()]
        for name, a in self.answers.items():
            out += [f"  {name}: {n:,} answers are none: {code}, {dropped_words(code)}" for code, n in a["dropped"].items()]
        out += [f"spent in all: {money(self.spent)}"] if self.spent.get("calls") else []
        out += [f"note: {n}" for n in self.notes]
        out.append(f"{self.out}: table.parquet, table.jsonl, report.json, report.html and plots")
        if self.missing:
            out.append(f"{self.missing:,} answers, scores or verdicts did not come; the same command asks again")
        if self.below:
            out.append(f"the win rate {percent(self.figures['win_rate']['value'])} is below --min-win-rate {self.min_win_rate:g}")
        return out
