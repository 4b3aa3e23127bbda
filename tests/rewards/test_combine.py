"""Several numbers as one, by hand."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefdata.rewards.combine import combined, z_scores


def test_members_together() -> None:
    values = np.array([[1.0, 2.0, 6.0], [2.0, 2.0, 2.0], [1.0, np.nan, 3.0]])
    mean = combined(values, "mean")
    assert mean.value[:2].tolist() == [3.0, 2.0]
    assert mean.spread[:2].tolist() == pytest.approx([sqrt(14 / 3), 0.0])
    assert combined(values, "min").value[:2].tolist() == [1.0, 2.0]
    assert combined(values, "uncertainty", 0.5).value[:2].tolist() == pytest.approx([3 - sqrt(14 / 3) / 2, 2.0])
    for how in ("mean", "min", "uncertainty"):
        assert np.isnan(combined(values, how).value[2])  # type: ignore[arg-type]


def test_z_scores() -> None:
    values = np.array([[1.0], [3.0], [10.0], [5.0], [5.0], [np.nan], [7.0]])
    groups = np.array([0, 0, 1, 2, 2, 2, 3])
    found = z_scores(values, groups)[:, 0]
    assert found[:2].tolist() == [-1.0, 1.0]
    assert found[[2, 3, 4, 6]].tolist() == [0.0, 0.0, 0.0, 0.0]  # alone, or all equal
    assert np.isnan(found[5])
    assert z_scores(np.zeros((0, 2)), np.zeros(0, np.int64)).shape == (0, 2)


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(-1e6, 1e6)), min_size=1, max_size=50), st.floats(0.1, 10), st.floats(-100, 100))
def test_z_scores_forget_scale_and_shift(rows: list[tuple[int, float]], scale: float, shift: float) -> None:
    groups, values = np.array([g for g, _ in rows]), np.array([[v] for _, v in rows])
    found = z_scores(values, groups)[:, 0]
    for g in set(groups.tolist()):
        some = found[groups == g]
        assert abs(some.mean()) < 1e-6
        assert some.std() == pytest.approx(1.0, abs=1e-6) or (some == 0).all()
    if np.ptp(values) > 1e-3:
        other = z_scores(values * scale + shift, groups)[:, 0]
        spread = np.array([values[groups == g].std() for g in groups])
        sure = (spread > 1e-3) & (spread > 1e-6 * np.abs(values[:, 0]).max())
        assert other[sure] == pytest.approx(found[sure], abs=1e-4)
