"""Intervals and tests: the arithmetic by hand, and what holds for all numbers."""

from __future__ import annotations

from math import erfc, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefdata.statistics import Share, Z, difference_test, effective, sign_test, wilson


def test_wilson() -> None:
    """8 of 10: p = 0.8, z² = 1.96² = 3.8416. Middle 0.8 + 3.8416/20 = 0.99208, half 1.96 √(0.8·0.2/10 + 3.8416/400) = 1.96 √0.025604 =
    0.31362, both over 1 + 3.8416/10 = 1.38416: 0.49016 and 0.94331."""
    assert wilson(8, 10) == pytest.approx((0.49016, 0.94331), abs=1e-4)


def test_sign_test() -> None:
    """60 of 100: z = (|120 − 100| − 1)/10 = 1.9, and 2 Φ(−1.9) = 0.05743. McNemar with b = 15, c = 5: (10 − 1)²/20 = 4.05 = 2.01246²."""
    assert sign_test(60, 100) == pytest.approx(0.05743, abs=1e-5)
    assert sign_test(15, 20) == sign_test(5, 20) == pytest.approx(erfc(2.01246 / sqrt(2)), rel=1e-4)
    assert sign_test(0, 0) == sign_test(50, 100) == 1


def test_difference_test() -> None:
    """30 of 100 and 20 of 100: pooled 0.25, √(0.25·0.75·0.02) = 0.061237, z = 0.1/0.061237 = 1.63299, 2 Φ(−z) = 0.10247."""
    assert difference_test(30, 100, 20, 100) == pytest.approx(0.10247, abs=1e-5)
    assert difference_test(0, 9, 0, 5) == difference_test(9, 9, 5, 5) == difference_test(1, 2, 0, 0) == 1


def test_effective_number() -> None:
    """2 of 2, 0 of 2 and 1 of 1 votes: n = 5, p = 0.6; residues 2 − 1.2, 0 − 1.2, 1 − 0.6; squares 0.64 + 1.44 + 0.16 = 2.24, times 3/2
    = 3.36. Independent votes: 5/4 · 5 · 0.6 · 0.4 = 1.5. Design effect 2.24, n = 5/2.24."""
    assert effective(np.array([2, 0, 1]), np.array([2, 2, 1])) == pytest.approx(5 / 2.24)
    assert Share.of(np.array([2, 0, 1]), np.array([2, 2, 1])) == (0.6, 5, pytest.approx(5 / 2.24))


def test_votes_that_say_the_same_count_once() -> None:
    """Each of 50 verdicts ten times over is 50 verdicts, to a factor of (n−1)/n that tends to one."""
    won = np.array([1] * 30 + [0] * 20)
    assert effective(won, np.ones(50, dtype=int)) == pytest.approx(50)
    assert effective(10 * won, np.full(50, 10)) == pytest.approx(50, rel=0.02)


@given(st.integers(1, 5000), st.data())
def test_the_ends_of_the_interval_are_z_away(n: int, data: st.DataObject) -> None:
    """By definition, the share k/n lies z standard errors of the end from each end; and the interval of n − k is the mirror image."""
    k = data.draw(st.integers(0, n))
    low, high = wilson(k, n)
    assert 0 <= low <= k / n + 1e-12
    assert k / n - 1e-12 <= high <= 1
    for end in (low, high):
        assert abs(k / n - end) == pytest.approx(Z * sqrt(end * (1 - end) / n), abs=1e-7)
    assert wilson(n - k, n) == pytest.approx((1 - high, 1 - low))
    assert 0 < sign_test(k, n) <= 1 or abs(2 * k - n) > 30 * sqrt(n)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=40))
def test_clusters_only_lessen(sides: list[tuple[int, int]]) -> None:
    won, votes = np.array([a for a, _ in sides], dtype=int), np.array([a + b for a, b in sides], dtype=int)
    assert 0 <= effective(won, votes) <= votes.sum()
