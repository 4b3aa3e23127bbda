"""What the length of an answer does to rewards, and the correlations that say so."""

from __future__ import annotations

from math import atanh, sqrt, tanh
from typing import Any

import numpy as np

from prefdata.judges.agreement import Ints, Numbers, binomial_test, credit
from prefdata.judges.agreement import length as length_figures
from prefdata.statistics import Z


def length(chosen: Numbers, rejected: Numbers, y: Numbers, lengths: Numbers, cluster: Ints | None = None) -> dict[str, Any]:
    """What the length of an answer does.

    reward, margin      Spearman's correlation of rewards with lengths, and of margins with the difference of lengths
    chosen_longer, chosen_shorter   accuracy where chosen is the longer or the shorter one
    wrong_is_longer     share of the wrong verdicts that are for the longer answer
    slope               the least-squares line of margins over hundreds of tokens of difference, and its value `at_equal_length`
    longest_wins        accuracy of always taking the longer answer, which a reward model must beat; `against_longest` counts the pairs on
                        which only one of the two is right (or more so), with a binomial test
    """
    margin, difference = chosen - rejected, lengths[:, 0] - lengths[:, 1]
    gold, said = np.where(y == 0.5, 0.0, 1.0), np.sign(margin)
    found = length_figures(said, gold, lengths, cluster)
    better = (credit(said, gold) - credit(np.sign(difference), gold))[gold != 0]
    wins, decided = int((better > 0).sum()), int((better != 0).sum())
    return {
        "reward": spearman(np.concatenate([chosen, rejected]), np.concatenate([lengths[:, 0], lengths[:, 1]])),
        "margin": spearman(margin, difference),
        "chosen_longer": found["gold_is_longer"],
        "chosen_shorter": found["gold_is_shorter"],
        "wrong_is_longer": found["wrong_is_longer"],
        "slope": line(difference / 100, margin),
        "longest_wins": found["longest_wins"],
        "against_longest": {"wins": wins, "losses": decided - wins, "p_value": binomial_test(wins, decided)},
    }


def ranks(values: Numbers) -> Numbers:
    """From 1, equal values share the mean of their ranks."""
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: Numbers = (np.cumsum(counts) - (counts - 1) / 2)[at]
    return found


def spearman(a: Numbers, b: Numbers) -> dict[str, Any]:
    """Spearman's rank correlation with the interval of Bonett and Wright (2000); None where one of the two is constant."""
    n = len(a)
    if n < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return {"value": None, "low": -1.0, "high": 1.0, "n": n}
    x, y = (r - r.mean() for r in (ranks(a), ranks(b)))
    value = float(np.clip(x @ y / sqrt(float(x @ x) * float(y @ y)), -1, 1))
    if n <= 3 or abs(value) == 1:
        return {"value": value, "low": -1.0 if n <= 3 else value, "high": 1.0 if n <= 3 else value, "n": n}
    z, se = atanh(value), sqrt((1 + value**2 / 2) / (n - 3))
    return {"value": value, "low": tanh(z - Z * se), "high": tanh(z + Z * se), "n": n}


def line(x: Numbers, y: Numbers) -> dict[str, Any] | None:
    """The least-squares slope of y over x with its interval, and the value at x = 0; None where x is constant or n < 3."""
    n = len(x)
    if n < 3 or np.ptp(x) == 0:
        return None
    a = x - x.mean()
    value = float(a @ y / (a @ a))
    rest = y - y.mean() - value * a
    se = sqrt(float(rest @ rest) / (n - 2) / float(a @ a))
    return {"value": value, "low": value - Z * se, "high": value + Z * se, "n": n, "at_equal_length": float(y.mean() - value * x.mean())}
