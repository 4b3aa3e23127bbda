"""`label --gold FILE --min-agreement 0.75`: the judge labels records whose answer is known first, and spends no more when it is too often
wrong."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from prefdata.errors import PrefdataError, UsageError
from prefdata.judges.agreement import agreement, kappa
from prefdata.judges.ask import NO_REPLY, Heard, Verdicts
from prefdata.judges.gold import SIGN, of_people, of_source
from prefdata.judges.statement import Row


class TooLowError(PrefdataError):
    """A judge agrees too little with gold. Nothing was written; what the gold records cost is in the journal."""

    exit_code = 1


@dataclass
class Gate:
    """Verdicts beside gold: +1 where the first of two answers is better, -1 the second, 0 a tie, NaN undecided."""

    said: list[float] = field(default_factory=list)
    gold: list[float] = field(default_factory=list)
    prompts: list[int] = field(default_factory=list)
    unanswered: int = 0
    """Records without a reply: they say nothing about the judge."""
    _numbers: dict[bytes, int] = field(default_factory=dict)

    def add(self, row: Row, heard: Heard, verdicts: Verdicts) -> None:
        """Take in one record."""
        if heard.why is not None and heard.why.startswith(NO_REPLY):
            self.unanswered += 1
            return
        number = self._numbers.setdefault(hashlib.sha256(orjson.dumps(row["prompt"])).digest(), len(self._numbers))
        for (i, j), found in verdicts.jury.items():
            gold = of_source(row, i, j)
            if gold is None:
                gold = of_people(row, heard.subject.names, i, j)
            if gold is not None:
                self.said.append(SIGN.get(found.outcome, float("nan")))
                self.gold.append(gold)
                self.prompts.append(number)

    def figures(self, name: str) -> dict[str, Any]:
        """Agreement (ties half, undecided wrong) and kappa, with 95 % intervals over prompts. Raises UsageError when nothing has gold."""
        if not self.gold:
            lost = f" ({self.unanswered:,} records got no reply)" if self.unanswered else ""
            raise UsageError(
                f"--gold {name}: no comparison has both gold and a reply{lost}; gold is chosen, ranks, scores or people's annotations"
            )
        said, gold, cluster = np.array(self.said), np.array(self.gold), np.array(self.prompts, dtype=np.int64)
        found = kappa(said, gold, cluster)
        return {
            "file": name,
            "comparisons": len(gold),
            "undecided": int(np.isnan(said).sum()),
            "unanswered": self.unanswered,
            "agreement": agreement(said, gold, cluster)._asdict(),
            "kappa": {"value": found.value, "low": found.low, "high": found.high},
        }


def words(figures: dict[str, Any]) -> str:
    """The figures in one line."""
    a, k = figures["agreement"], figures["kappa"]
    kappa_ = "" if k["value"] is None else f", kappa {k['value']:.2f}"
    undecided = f", {figures['undecided']:,} undecided count as wrong" if figures["undecided"] else ""
    return (
        f"agreement with gold {100 * a['value']:.1f} % (95 % interval {100 * a['low']:.1f}–{100 * a['high']:.1f} %{kappa_}) "
        f"on {figures['comparisons']:,} comparisons{undecided}"
    )


def check(figures: dict[str, Any], bar: float | None) -> None:
    """Raise TooLowError when the agreement is below the bar."""
    if bar is not None and figures["agreement"]["value"] < bar:
        raise TooLowError(
            f"{words(figures)}: below --min-agreement {bar:g}\n"
            "nothing more is spent and no output is written; try another judge or model, or lower the bar"
        )
