"""What a run of revise did: for programs, for people, and for the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from prefdata.io.account import row_lines
from prefdata.judges.ask import NO_REPLY
from prefdata.judges.result import money
from prefdata.judges.revise_plan import REVISED
from prefdata.judges.revised import words


@dataclass
class ReviseResult:
    """The account of a run. `counts` is in input rows, `records` in records written, `steps` and `principles` in rounds by outcome.
    `spent` is what the journal has cost over all runs."""

    out: str
    kind: str
    counts: dict[str, Any]
    records: dict[str, Any]
    inputs: list[dict[str, Any]]
    steps: dict[str, int] = field(default_factory=dict)
    principles: dict[str, dict[str, int]] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    """Of the replies that the output rests on."""
    served: dict[str, int] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    """Of this run: calls, replies, retries ..."""
    spent: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    rejects: str | None = None
    undecided: str | None = None
    all_steps: str | None = None
    journal: str | None = None
    sha256: str | None = None
    """Of the output; none of stdout."""
    seconds: float = 0.0
    up_to_date: bool = False

    @property
    def unanswered(self) -> int:
        """Prompts without a reply."""
        return sum(n for code, n in self.counts["dropped"].items() if code.startswith(NO_REPLY))

    @property
    def exit_code(self) -> int:
        """1 when rows were rejected or got no reply, else 0."""
        return 1 if self.counts["rejected"] or self.unanswered else 0

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "exit_code": self.exit_code}

    def lines(self) -> list[str]:
        """The account in words."""
        done = ", up to date, nothing was done (--force revises again)" if self.up_to_date else ""
        out = [f"{self.out}: {self.records['written']:,} {self.kind} records{done}"]
        out += row_lines(self.counts, lambda code: f"{code}, {words(code)}")
        good, all_ = self.steps.get(REVISED, 0), sum(self.steps.values())
        out.append(f"  rounds: {all_:,}, of which {good:,} gave a revision")
        out += [f"    {n:,} {code}, {words(code)}" for code, n in self.steps.items() if code != REVISED]
        for name, found in self.principles.items():
            out.append(f"  principle {name}: {found.get(REVISED, 0):,} revisions in {sum(found.values()):,} rounds")
        if self.run:
            out.append(f"  asked {self.run['calls']:,} times in this run, {self.run['reused']:,} replies were in the journal")
        out += [f"  spent in all: {money(self.spent)}"] if self.spent else []
        out += [f"  warning: {w}" for w in self.warnings]
        sides = (("all steps", self.all_steps), ("prompts without a revision", self.undecided), ("rejected rows", self.rejects))
        out += [f"  {what} are in {path}" for what, path in sides if path]
        if self.unanswered:
            out.append(f"  {self.unanswered:,} prompts got no reply; the same command asks for them again")
        return out


def served_warnings(model: str, served: Mapping[str, int]) -> list[str]:
    """Whether other models than the one that was asked answered, or several."""
    names = sorted(served)
    if len(names) > 1:
        return [f"several models answered ({', '.join(f'{m} {served[m]:,}' for m in names)})"]
    if names and not (names[0].startswith(model) or names[0].endswith(f"/{model}")):
        return [f"{model} was asked, {names[0]} answered"]
    return []
