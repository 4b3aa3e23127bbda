"""Scores without their liking for long answers, before anything is selected by them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from prefdata.sampling.select_draws import Floats, Ints, Mask, per_prompt


def z_score(values: Floats, offsets: Ints) -> Floats:
    """(value - mean) / standard deviation within each prompt; 0 where all are equal."""
    n = np.diff(offsets)
    some = np.maximum(n, 1)
    centred = values - np.repeat(per_prompt(np.add, values, offsets) / some, n)
    spread = np.sqrt(per_prompt(np.add, np.square(centred), offsets) / some)
    flat = per_prompt(np.maximum, values, offsets) == per_prompt(np.minimum, values, offsets)  # rounding makes a tiny spread of it
    out: Floats = centred / np.repeat(np.where(flat, np.inf, np.where(spread > 0, spread, 1)), n)
    return out


def penalised(values: Floats, lengths: Floats, offsets: Ints, weight: float) -> Floats:
    """z(value) - weight z(length) (the length control of TPO, arXiv:2410.10630)."""
    return z_score(values, offsets) - weight * z_score(lengths, offsets)


def similar(a: Floats, b: Floats, tolerance: float) -> Mask:
    """Whether two lengths differ by no more than this share of the longer one."""
    alike: Mask = np.abs(a - b) <= tolerance * np.maximum(a, b)
    return alike


class Line(NamedTuple):
    """What a least-squares line of value on log length is made of, so that lines of parts add up (Chan, Golub and LeVeque 1983)."""

    n: int = 0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    @staticmethod
    def of(values: Floats, lengths: Floats) -> Line:
        """Of one part. The order of the candidates makes no difference beyond rounding."""
        if not len(values):
            return Line()
        x = _log(lengths)
        mx, my = float(x.mean()), float(values.mean())
        return Line(len(x), mx, my, float(np.square(x - mx).sum()), float(((x - mx) * (values - my)).sum()))

    def plus(self, other: Line) -> Line:
        """Of both parts together."""
        n = self.n + other.n
        if not self.n or not other.n:
            return self if self.n else other
        dx, dy, share = other.x - self.x, other.y - self.y, other.n / n
        both = self.n * share
        return Line(n, self.x + dx * share, self.y + dy * share, self.xx + other.xx + dx * dx * both, self.xy + other.xy + dx * dy * both)

    @property
    def slope(self) -> float:
        """Of value per unit of log length, to ten digits: what is beyond depends on how the parts were cut."""
        return float(f"{self.xy / self.xx:.10g}") if self.xx > 0 else 0.0

    def residual(self, values: Floats, lengths: Floats) -> Floats:
        """Values without what log length explains over the whole pool; the constant is left in, as only differences count."""
        out: Floats = values - self.slope * _log(lengths)
        return out


def _log(lengths: Floats) -> Floats:
    out: Floats = np.log(np.maximum(lengths, 1))
    return out
