"""Intervals and tests in closed form, for statements about a data set, and their words."""

from __future__ import annotations

from math import erfc, sqrt
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Numbers = np.ndarray[Any, Any]
Z = NormalDist().inv_cdf(0.975)
"""Half the width of a 95 % interval, in standard errors."""


def wilson(k: float, n: float) -> tuple[float, float]:
    """The 95 % score interval of a share of k in n (Wilson 1927): the shares p with |k/n − p| ≤ z √(p(1−p)/n). It stays within 0 and 1,
    and holds for shares near them, where the common p ± z·s fails."""
    if n <= 0:
        return 0.0, 1.0
    p, z2 = k / n, Z * Z
    middle, half = p + z2 / (2 * n), Z * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, (middle - half) / (1 + z2 / n)), min(1.0, (middle + half) / (1 + z2 / n))


def sign_test(k: float, n: float) -> float:
    """Two-sided p-value of k successes in n against a chance of one half: z = (|2k − n| − 1)/√n. With the discordant pairs of two
    matched samples this is McNemar's test, (|b − c| − 1)²/(b + c)."""
    return tail(max(0.0, abs(2 * k - n) - 1) / sqrt(n)) if n > 0 else 1.0


def difference_test(k1: int, n1: int, k2: int, n2: int) -> float:
    """Two-sided p-value of two shares being the same: z = (p1 − p2)/√(p(1−p)(1/n1 + 1/n2)) with the pooled share p."""
    if not n1 or not n2 or k1 + k2 in (0, n1 + n2):
        return 1.0
    p = (k1 + k2) / (n1 + n2)
    return tail(abs(k1 / n1 - k2 / n2) / sqrt(p * (1 - p) * (1 / n1 + 1 / n2)))


def tail(z: float) -> float:
    """The chance of a normal deviate beyond ±z."""
    return erfc(z / sqrt(2))


def effective(won: Numbers, votes: Numbers) -> float:
    """The effective number of votes, where those on one thing depend on each other (Kish 1965): n over the design effect, which is the
    variance G/(G−1) Σ(w − p v)² over that of independent votes, n/(n−1) · n p(1−p), and taken to be at least 1; w of the v votes on each of
    G things are won, n = Σv, p = Σw/n."""
    n, total, things = float(votes.sum()), float(won.sum()), int(np.count_nonzero(votes))  # plain numbers: orjson takes no others
    if total in (0.0, n) or things < 2:  # no spread to measure
        return n
    spread = float(np.square(won - total / n * votes).sum()) * things / (things - 1)
    return n / max(1.0, spread * (n - 1) / (total * (n - total)))


class Share(NamedTuple):
    """A share of n, with the effective n that its interval and its test are made of."""

    p: float
    n: int
    sure: float

    @staticmethod
    def of(won: Numbers, votes: Numbers) -> Share:
        """The share of votes that were won; those on one thing depend on each other."""
        n = int(votes.sum())
        return Share(float(won.sum()) / n if n else 0.0, n, effective(won, votes))

    @staticmethod
    def among(won: Mask, asked: Mask, cluster: Ints) -> Share:
        """The share of `won` among the rows that are `asked`; those of one cluster depend on each other."""
        at = cluster[asked]
        return Share.of(np.bincount(at, weights=won[asked]), np.bincount(at))

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.p * self.sure, self.sure)

    def beyond(self, low: float, high: float) -> bool:
        """Whether the whole interval lies below or above the two limits."""
        below, above = self.interval
        return above < low or below > high

    @property
    def turned(self) -> Share:
        return self._replace(p=1 - self.p)

    def words(self, test: str) -> str:
        """The interval and the test of no preference."""
        low, high = self.interval
        return f"95 % interval {100 * low:.1f}–{100 * high:.1f} %, {test} {chance(sign_test(self.p * self.sure, self.sure))}"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def interval(k: float, n: float) -> str:
    low, high = wilson(k, n)
    return f"95 % interval {100 * low:.1f}–{100 * high:.1f} %"


def chance(p: float) -> str:
    return "p < 1e-50" if p < 1e-50 else f"p = {p:.1g}"
