"""What a run's judges said, counted: outcomes, places, flips, log-probs, principles, agreement with the source, tokens and money.

All of it is counted from the replies that the output rests on, so the figures are the same whether these were paid today or before a crash.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prefdata.judges.ask import Heard, Job, Paid, Verdicts
from prefdata.judges.gold import SIGN, of_source
from prefdata.judges.settle import Settled
from prefdata.judges.statement import Row, Statement
from prefdata.llm.request import OK, Reply
from prefdata.statistics import wilson

BINS = 10
Prices = tuple[float | None, float | None]
"""USD per million tokens, of prompts and of answers."""


@dataclass
class Cost:
    """Replies with their tokens, as the servers counted them."""

    replies: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    uncounted: int = 0
    """Answers for which the server named no tokens."""

    def add(self, reply: Paid | Reply) -> None:
        self.replies += 1
        usage = reply.usage
        if usage is not None:
            self.tokens_in += usage[0]
            self.tokens_out += usage[1]
        elif reply.code == OK:
            self.uncounted += 1

    def as_dict(self, prices: Prices) -> dict[str, Any]:
        price_in, price_out = prices
        known = price_in is not None and price_out is not None
        usd = round((self.tokens_in * (price_in or 0.0) + self.tokens_out * (price_out or 0.0)) / 1e6, 9) if known else None
        return {
            "replies": self.replies,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "uncounted": self.uncounted,
            "usd": usd,
        }


@dataclass
class Principle:
    """What became of one principle."""

    cost: Cost = field(default_factory=Cost)
    calls: Counter[str] = field(default_factory=Counter)
    comparisons: int = 0
    flips: int = 0
    source: Counter[str] = field(default_factory=Counter)

    def as_dict(self, prices: Prices) -> dict[str, Any]:
        return {
            "comparisons": self.comparisons,
            "first_shown": share(self.calls["first"], self.calls["second"]),
            "source_wins": share(self.source["agrees"], self.source["disagrees"]),
            "disagrees": self.source["disagrees"],
            "flips": self.flips,
            "invalid": self.calls["invalid"] + self.calls["abstain"],
            **self.cost.as_dict(prices),
        }


@dataclass
class Judged:
    """What became of one judge's calls."""

    cost: Cost = field(default_factory=Cost)
    calls: Counter[str] = field(default_factory=Counter)
    """By outcome; `score` and `rank` of judges that do so."""
    places: Counter[str] = field(default_factory=Counter)
    """Of the calls that compare two answers: which place won."""
    same: Counter[bool] = field(default_factory=Counter)
    """Of the comparisons with a verdict in both orders: whether it is the same."""
    reasons: Counter[str] = field(default_factory=Counter)
    comparisons: Counter[str] = field(default_factory=Counter)
    """decided, or why not."""
    served: Counter[str] = field(default_factory=Counter)
    p_valid: float = 0.0
    with_p_valid: int = 0
    below: int = 0
    floored: int = 0

    def as_dict(self, prices: Prices) -> dict[str, Any]:
        mean = round(self.p_valid / self.with_p_valid, 6) if self.with_p_valid else None
        return {
            "calls": counted(self.calls),
            "invalid": counted(self.reasons),
            "comparisons": counted(self.comparisons),
            "first_shown": share(self.places["first"], self.places["second"]),
            "consistent": share(self.same[True], self.same[False]),
            "p_valid": {"n": self.with_p_valid, "mean": mean, "below": self.below, "floored": self.floored},
            "served": counted(self.served),
            **self.cost.as_dict(prices),
        }


@dataclass
class Tally:
    """The counts of one run."""

    job: Job
    judges: dict[str, Judged] = field(default_factory=dict)
    principles: defaultdict[str, Principle] = field(default_factory=lambda: defaultdict(Principle))
    comparisons: Counter[str] = field(default_factory=Counter)
    """By the verdict that counts, of the jury where there is one: decided, or why not."""
    unanimous: int = 0
    """Comparisons of which all judges say the same."""
    soft: list[int] = field(default_factory=lambda: [0] * BINS)
    """Probabilities that the first of two answers is better (in a pair: chosen), in ten bins."""
    source: Counter[str] = field(default_factory=Counter)
    """Comparisons of which the record itself says which is better: agrees, disagrees, tie, undecided."""

    def __post_init__(self) -> None:
        self.judges = {m.annotator: Judged() for m in self.job.panel.members}

    def add(self, row: Row, heard: Heard, verdicts: Verdicts) -> None:
        """Count one record."""
        said = zip(self.job.panel.members, self.judges.values(), heard.statements, heard.paid, verdicts.each, strict=True)
        for member, judged, statements, replies, settled in said:
            for reply in replies.values():
                judged.cost.add(reply)
                if reply.model is not None:
                    judged.served[reply.model] += 1
            self._statements(judged, statements)
            for found in settled.values():
                judged.comparisons[outcome_of(found)] += 1
            if member.judge is not None and member.judge.principles:
                self._principles(row, statements, replies, settled)
        for (i, j), found in verdicts.jury.items():
            self.comparisons[outcome_of(found)] += 1
            if found.p is not None:
                self.soft[min(BINS - 1, int(found.p * BINS))] += 1
            gold = of_source(row, i, j)
            if gold:
                self.source[beside(found, gold)] += 1
            if len(verdicts.each) > 1:
                self.unanimous += len({each[i, j].outcome for each in verdicts.each}) == 1

    def _statements(self, judged: Judged, statements: Sequence[Statement]) -> None:
        orders: dict[tuple[int, ...], list[int | None]] = {}
        for s in statements:
            v = s.verdict
            judged.calls[v.outcome or ("rank" if v.order is not None else "score")] += 1
            if v.outcome in ("invalid", "abstain"):
                judged.reasons[v.why or v.outcome] += 1
            if len(s.shown) == 2 and v.order is None:
                if v.outcome in SIGN:
                    judged.places[v.outcome] += 1
                orders.setdefault(s.shown, []).append(SIGN.get(v.outcome or ""))
            if v.p_valid is not None:
                judged.p_valid += v.p_valid
                judged.with_p_valid += 1
                judged.below += v.p_valid < self.job.options.min_p_valid
                judged.floored += v.floored
        for (i, j), straight in orders.items():
            if i < j:
                for x, y in zip(straight, orders.get((j, i), ()), strict=False):
                    if x is not None and y is not None:
                        judged.same[x == -y] += 1

    def _principles(
        self, row: Row, statements: Sequence[Statement], replies: Mapping[str, Paid], settled: Mapping[tuple[int, int], Settled]
    ) -> None:
        about: dict[tuple[int, ...], Principle] = {}
        spare = dict(replies)
        for s in statements:
            principle = self.principles[s.aspect or ""]
            about[tuple(sorted(s.shown))] = principle
            principle.calls[s.verdict.outcome or ""] += 1
            reply = spare.pop(s.request or "", None)
            if reply is not None:
                principle.cost.add(reply)
        for reply in spare.values():  # first tries of what was asked again: theirs is the principle of the record, when it has one only
            if len(set(map(id, about.values()))) == 1:
                next(iter(about.values())).cost.add(reply)
        for (i, j), found in settled.items():
            if (i, j) in about:
                principle = about[i, j]
                principle.comparisons += 1
                principle.flips += found.why == "flip"
                gold = of_source(row, i, j)
                if gold:
                    principle.source[beside(found, gold)] += 1

    def as_dict(self, prices: Prices) -> dict[str, Any]:
        return {
            "comparisons": counted(self.comparisons),
            "source": counted(self.source),
            "soft": self.soft,
            "unanimous": self.unanimous if len(self.job.panel.members) > 1 else None,
            "judges": {name: judged.as_dict(prices) for name, judged in self.judges.items()},
            "principles": {name: p.as_dict(prices) for name, p in sorted(self.principles.items())},
        }


def outcome_of(found: Settled) -> str:
    return "decided" if found.outcome in ("first", "second") else found.why or found.outcome


def beside(found: Settled, gold: int) -> str:
    """A verdict beside what the record says."""
    if found.outcome in ("tie", "undecided"):
        return found.outcome
    return "agrees" if SIGN[found.outcome] == gold else "disagrees"


def counted(found: Counter[str]) -> dict[str, int]:
    return {k: n for k, n in sorted(found.items()) if n}


def share(a: int, b: int) -> dict[str, Any]:
    """a of a + b, with its 95 % interval."""
    low, high = wilson(a, a + b)
    return {"n": a + b, "share": round(a / (a + b), 6) if a + b else None, "low": round(low, 6), "high": round(high, 6)}
