"""Several judges on one comparison become one verdict: a count, a weighted mean, or Dawid and Skene's model of who errs how.

A judge that settled nothing has no vote; ties are votes. What comes out depends on the votes only, not on the order of the judges, and
changing the places of the two answers changes the places in the verdict.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Literal

from prefdata.errors import UsageError
from prefdata.judges.settle import Settled

How = Literal["majority", "weighted", "dawid-skene"]
Votes = tuple[str | None, ...]
"""first, second, tie or None of every judge, in the order of the judges."""
SWAPPED = {"first": "second", "second": "first", "tie": "tie", None: None}
MOST = 5_000
"""Comparisons that Dawid-Skene is fitted to; of more, each kind of votes keeps its share. It costs 2 s and 60 MB, whatever the data."""
EQUAL = 1e-9


def check(how: How) -> None:
    """Raise UsageError when a library is missing: before anything is asked."""
    if how == "dawid-skene" and find_spec("crowdkit") is None:
        raise UsageError("--jury dawid-skene needs crowd-kit: pip install 'prefdata[jury]', or --jury majority")


def votes(settled: Sequence[Settled]) -> Votes:
    return tuple(None if s.outcome == "undecided" else s.outcome for s in settled)


def combine(settled: Sequence[Settled], weights: Sequence[float], how: How, posterior: Mapping[Votes, tuple[float, float]]) -> Settled:
    """One verdict of a jury. `posterior` is that of `dawid_skene`, and empty for the others."""
    if len(settled) == 1:
        return settled[0]
    said = votes(settled)
    if not any(said):
        (why, _), *_ = Counter(s.why or "undecided" for s in settled).most_common(1)
        return Settled("undecided", None, why)
    if how == "dawid-skene":
        return _by_posterior(*posterior[said])
    return _majority(said, settled) if how == "majority" else _weighted(settled, weights)


def _majority(said: Votes, settled: Sequence[Settled]) -> Settled:
    """The verdict with the most votes; where the most is shared, a tie. p is that of votes: (a + 1/2)/(k + 1), ties half."""
    first, second, tie = (said.count(v) for v in ("first", "second", "tie"))
    p = (first + tie / 2 + 0.5) / (first + second + tie + 1)
    if first > max(second, tie):
        return Settled("first", p, None)
    if second > max(first, tie):
        return Settled("second", p, None)
    return Settled("tie", 0.5, _tied(settled) if tie > max(first, second) else "split")


def _tied(settled: Sequence[Settled]) -> str:
    """Why judges that say tie do so: all of them flip, or not."""
    return "flip" if all(s.why == "flip" for s in settled if s.outcome == "tie") else "tie"


def _weighted(settled: Sequence[Settled], weights: Sequence[float]) -> Settled:
    """The weighted mean of the judges' probabilities; a verdict without one counts as a single vote, 3/4."""
    total = p = 0.0
    for s, weight in zip(settled, weights, strict=True):
        if s.outcome != "undecided":
            total += weight
            p += weight * (s.p if s.p is not None else {"first": 0.75, "second": 0.25, "tie": 0.5}[s.outcome])
    if total <= 0:
        return Settled("undecided", None, "no-weight")
    p /= total
    if abs(p - 0.5) < EQUAL:
        decided = any(s.outcome in ("first", "second") for s in settled)
        return Settled("tie", 0.5, "split" if decided else _tied(settled))
    return Settled("first" if p > 0.5 else "second", p, None)


def _by_posterior(first: float, tie: float) -> Settled:
    second = 1 - first - tie
    if tie >= max(first, second) - EQUAL or abs(first - second) < EQUAL:
        return Settled("tie", 0.5, "tie" if tie >= max(first, second) - EQUAL else "split")
    return Settled("first" if first > second else "second", min(1.0, max(0.0, first + tie / 2)), None)


def dawid_skene(counts: Mapping[Votes, int]) -> dict[Votes, tuple[float, float]]:
    """P(first), P(tie) of the true verdict for every kind of votes (Dawid and Skene 1979, EM by crowd-kit).

    Comparisons with the same votes have the same posterior, so the votes are counted, and a million comparisons need no memory. Every
    comparison is taken in both orders: else the share of first places would become a belief about the truth.
    """
    import pandas as pd
    from crowdkit.aggregation import DawidSkene

    both: Counter[Votes] = Counter()
    for said, n in counts.items():
        both[said] += n
        both[turned(said)] += n
    both = Counter({said: n for said, n in sorted(both.items(), key=lambda item: tuple(map(str, item[0]))) if any(said)})
    scale = min(1.0, 2 * MOST / max(1, both.total()))
    rows, first_of, task = [], {}, 0
    for said, n in both.items():
        first_of[said] = task
        for _ in range(max(1, round(n * scale))):
            rows += [(task, judge, label) for judge, label in enumerate(said) if label is not None]
            task += 1
    if not rows:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # crowd-kit 1.4 on pandas 3
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        found = DawidSkene(n_iter=100).fit_predict_proba(pd.DataFrame(rows, columns=["task", "worker", "label"]))
    table = {said: {str(label): float(p) for label, p in found.loc[task].items()} for said, task in first_of.items()}
    out = {}
    for said, one in table.items():
        other = table[turned(said)]  # equal but for rounding
        out[said] = (_mean(one.get("first", 0.0), other.get("second", 0.0)), _mean(one.get("tie", 0.0), other.get("tie", 0.0)))
    return out


def turned(said: Votes) -> Votes:
    return tuple(SWAPPED[v] for v in said)


def _mean(a: float, b: float) -> float:
    return (a + b) / 2
