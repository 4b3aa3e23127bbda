"""From what a judge said about the candidates of one record to pairs: which comparisons become pairs, and why the others do not.

What decides is the verdicts and the candidates' ids, never their order in the record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from prefdata.judges.options import LabelOptions
from prefdata.judges.reasons import INVALID, SETTLED, UNFIT
from prefdata.judges.settle import Settled

REASONS = {
    **UNFIT,
    **INVALID,
    **SETTLED,
    "tie": f"{SETTLED['tie']} (--decide soft --ties soft keeps it with p_chosen 0.5)",
    "split": "the judges of the jury are evenly divided: a tie",
    "template": "the reward model's chat template does not take the turns of the record",
    "not-a-number": "the reward model's score is no number",
    "no-probability": "scores without log-probs give no probability; --decide hard takes the direction",
}
"""Why a record gives no pair."""
Comparisons = Mapping[tuple[int, int], Settled]
"""What was judged, by the places of the two candidates; `first` is the first of the two."""


class Choice(NamedTuple):
    """Candidate `better` over `worse` with the probability that this is right."""

    better: int
    worse: int
    p: float | None


def choose(settled: Comparisons, ids: Sequence[str], options: LabelOptions) -> tuple[list[Choice], Counter[str]]:
    """The pairs of one record, and how many of its comparisons give none, by reason. `ids` break ties between places."""
    chosen: list[Choice] = []
    lost: Counter[str] = Counter()
    for at in _wanted(settled, ids, options):
        found = _choice(at, settled[at], ids, options)
        if isinstance(found, Choice):
            chosen.append(found)
        else:
            lost[found] += 1
    if not settled:
        lost["one-candidate"] += 1
    return chosen, lost


def _choice(at: tuple[int, int], found: Settled, ids: Sequence[str], options: LabelOptions) -> Choice | str:
    i, j = at
    if found.outcome == "undecided":
        return found.why or "undecided"
    if found.outcome == "tie":
        i, j = sorted(at, key=lambda place: ids[place])
        return Choice(i, j, 0.5) if options.ties == "soft" else found.why or "tie"
    if found.p is None and options.decide == "soft":
        return "no-probability"
    p = found.p if options.decide == "soft" else None
    if found.outcome == "first":
        return Choice(i, j, p)
    return Choice(j, i, None if p is None else 1 - p)


def _wanted(settled: Comparisons, ids: Sequence[str], options: LabelOptions) -> list[tuple[int, int]]:
    """The comparisons that --pairs asks for, out of those that were judged."""
    if options.pairs != "best-worst" or len(settled) < 2:
        return list(settled)
    order = _order(settled, ids)
    if len(order) < 2:
        return list(settled)[:1]
    best, worst = order[0], order[-1]
    return [(best, worst) if (best, worst) in settled else (worst, best)]


def _order(settled: Comparisons, ids: Sequence[str]) -> list[int]:
    """Candidates from the best to the worst by won comparisons, ties half (Copeland's score); those without any verdict are left out."""
    won: dict[int, float] = {}
    for (i, j), found in settled.items():
        if found.outcome != "undecided":
            share = {"first": 1.0, "second": 0.0, "tie": 0.5}[found.outcome]
            won[i] = won.get(i, 0.0) + share
            won[j] = won.get(j, 0.0) + 1 - share
    return sorted(won, key=lambda place: (-won[place], ids[place]))
