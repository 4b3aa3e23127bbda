"""Numbers of several scorers as one, and how much they disagree (Coste et al. 2023, arXiv:2310.02743)."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Aggregate = Literal["mean", "min", "uncertainty"]


class Combined(NamedTuple):
    """The decision and the standard deviation over the scorers, [N] each; NaN where a scorer has no number."""

    value: Floats
    spread: Floats


def combined(values: Floats, how: Aggregate, penalty: float = 1.0) -> Combined:
    """`values` [N, scorers], NaN where there is none: one missing number leaves none, since the mean of the others would be of another
    scale. uncertainty: mean - penalty x standard deviation (over the scorers, divided by their number)."""
    mean, spread = values.mean(1), values.std(1)
    if how == "min":
        return Combined(values.min(1), spread)
    return Combined(mean - penalty * spread if how == "uncertainty" else mean, spread)


def z_scores(values: Floats, groups: np.ndarray[Any, np.dtype[np.int64]]) -> Floats:
    """Each column's values [N, scorers] as z-scores within groups [N], by the standard deviation of the group (divided by its size); NaN
    counts for nothing. Where all of a group are equal, or there is one, they are 0."""
    out = np.full_like(values, np.nan)
    size = int(groups.max(initial=-1)) + 1
    for j in range(values.shape[1]):
        known = ~np.isnan(values[:, j])
        at, v = groups[known], values[known, j]
        n = np.bincount(at, minlength=size)
        mean = np.bincount(at, v, size) / np.maximum(n, 1)
        off = v - mean[at]
        deviation = np.sqrt(np.bincount(at, off * off, size) / np.maximum(n, 1))
        low = 1e-12 * np.maximum(1.0, np.abs(mean))  # rounding of equal values is no spread
        flat = deviation <= low
        out[known, j] = np.where(flat[at], 0.0, off / np.where(flat, 1.0, deviation)[at])
    return out
