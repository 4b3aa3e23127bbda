"""What annotations say about aspects of answers (helpful, harmless, …), as the labels of a reward model with one head per aspect.

Of a pair: an annotator who compared both answers on an aspect gives the probability that chosen is better (`p_first`, else 1 for a win,
½ for a tie, 0 for a loss; the mean, where both orders were shown); one who scored both answers gives 1, ½ or 0 by which score is higher.
The label is the mean over annotators. Of a list: a candidate's score on an aspect is the mean of the scores that it was given.
Abstentions and invalid statements say nothing. A statement that names no aspect is about the aspect `overall`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

WHOLE = "overall"
SIDES = ("chosen", "rejected")
VOTES = {"first": 1.0, "tie": 0.5, "second": 0.0}
Said = dict[str, Any]


def of_pair(annotations: Iterable[Said] | None) -> tuple[dict[str, float], float | None]:
    """The probability that chosen is better, by aspect, and the mean distance of the scores (chosen − rejected) that annotators gave
    both answers as a whole; None where nobody did.

    >>> of_pair([{"annotator": "a", "aspect": "safe", "completions": ["rejected", "chosen"], "outcome": "first", "p_first": None}])
    ({'safe': 0.0}, None)
    """
    votes, scores = defaultdict[tuple[str, str], list[float]](list), defaultdict[tuple[str, str], dict[str, list[float]]](dict)
    for a in annotations or ():
        key, shown = (a.get("aspect") or WHOLE, a["annotator"]), tuple(a["completions"] or ())
        if sorted(shown) == ["chosen", "rejected"]:
            p = _first_wins(a)
            if p is not None:
                votes[key].append(p if shown == SIDES else 1 - p)
        elif shown in (("chosen",), ("rejected",)) and _scored(a):
            scores[key].setdefault("".join(shown), []).append(a["score"])
    both = {k: s for k, s in scores.items() if len(s.get("chosen", ())) == len(s.get("rejected", ()))}
    gaps = {k: _mean(s["chosen"]) - _mean(s["rejected"]) for k, s in both.items()}
    labels = defaultdict[str, list[float]](list)
    for key in dict.fromkeys([*votes, *gaps]):
        labels[key[0]].append(_mean(votes[key]) if votes.get(key) else (np.sign(gaps[key]) + 1) / 2)
    whole = [gap for (aspect, _), gap in gaps.items() if aspect == WHOLE]
    return {aspect: float(_mean(v)) for aspect, v in labels.items()}, _mean(whole) if whole else None


def of_list(annotations: Iterable[Said] | None, ids: list[str]) -> dict[str, list[float | None]]:
    """The score of each candidate by aspect, in order of `ids`; None where nobody scored it."""
    scores = defaultdict[str, dict[str, list[float]]](dict)
    for a in annotations or ():
        shown: list[str] = list(a["completions"] or ())
        if len(shown) == 1 and shown[0] in ids and _scored(a):
            scores[a.get("aspect") or WHOLE].setdefault(shown[0], []).append(a["score"])
    return {aspect: [_mean(found[i]) if i in found else None for i in ids] for aspect, found in scores.items()}


def _first_wins(a: Said) -> float | None:
    outcome, p = a.get("outcome"), a.get("p_first")
    if outcome in ("abstain", "invalid"):
        return None
    return float(p) if p is not None else VOTES.get(outcome or "")


def _scored(a: Said) -> bool:
    return a.get("score") is not None and a.get("outcome") is None


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
