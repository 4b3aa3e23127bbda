"""Figures of a selection: what it has beyond a random one, what it does to lengths, and how often the best answer beats the reference."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import numpy as np
import polars as pl

from prefdata.sampling.select_choose import Chosen, Pool
from prefdata.sampling.select_draws import Floats, Ints
from prefdata.sampling.select_options import DRAWN, SelectOptions
from prefdata.statistics import Z, wilson


@dataclass
class Tally:
    """Sums over shards."""

    candidates: Counter[str] = field(default_factory=Counter)
    """`read`, `used`, and why the others were left out."""
    names: Counter[str] = field(default_factory=Counter)
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    reference: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        self.candidates.update(other.candidates)
        self.names.update({} if len(self.names) > 1000 else other.names)  # they may be as many as the rows
        self.reference.update(other.reference)
        for name, value in other.sums.items():
            self.sums[name] += value

    def as_dict(self, o: SelectOptions) -> dict[str, Any]:
        """Figures; a mean over nothing is null."""
        s = self.sums
        n, prompts = int(s["n"]), int(s["prompts"])
        out: dict[str, Any] = {
            "chosen": _means(s, "chosen", n),
            "control": {"n": int(s["control n"]), **_means(s, "control", int(s["control n"]))},
            "gain": _gain(s["gain"], s["gain squared"], prompts),
        }
        if o.kind == "pair":
            out["rejected"] = _means(s, "rejected", n)
            out["margin"] = {"mean": _mean(s["margin"], n), "control": _mean(s["control margin"], int(s["control n"]))}
            out["chosen_longer"] = _mean(s["longer"], n)
            out["against_score"] = int(s["against"])
        if o.method in DRAWN:
            drawn = int(s["drawn from"])
            out["rso"] = {
                "prompts": drawn,
                "acceptance_rate": _mean(s["acceptance"], drawn),
                "effective_sample_size": _mean(s["ess"], drawn),
                "ess_below_k": _mean(s["ess below k"], int(s["more than k"])),
                "fewer_than_k": int(s["fewer than k"]),
            }
        return {**out, "reference": _reference(self.reference)}


def _mean(total: float, n: int) -> float | None:
    return float(total) / n if n else None


def _means(s: dict[str, float], which: str, n: int) -> dict[str, float | None]:
    return {"score": _mean(s[f"{which} score"], n), "length": _mean(s[f"{which} length"], n)}


def _gain(total: float, squares: float, n: int) -> dict[str, float | int | None]:
    """Mean over prompts of (mean score chosen - mean score of the control) with its 95 % interval."""
    if not n:
        return {"prompts": 0, "mean": None, "low": None, "high": None}
    mean = float(total) / n
    half = Z * sqrt(max(0.0, float(squares) / n - mean * mean) / n)
    return {"prompts": n, "mean": mean, "low": mean - half, "high": mean + half}


def _reference(found: Counter[str]) -> dict[str, Any] | None:
    """How often the best candidate beats the best reference answer; a tie counts half."""
    n = found.total()
    if not n:
        return None
    won = found["wins"] + found["ties"] / 2
    low, high = wilson(won, n)
    return {"prompts": n, **{k: found[k] for k in ("wins", "ties", "losses")}, "share": won / n, "low": low, "high": high}


def tally_of(pool: Pool, chosen: Chosen, o: SelectOptions) -> Tally:
    """Sums of one shard."""
    out = Tally()
    good = chosen.label
    _add(out, "chosen", pool, chosen.first[good])
    control = chosen.control
    _add(out, "control", pool, control.first)
    prompts = len(chosen.why)
    gain = _by_prompt(pool.score[chosen.first[good]], chosen.prompt[good], prompts)
    gain = gain - _by_prompt(pool.score[control.first], control.prompt, prompts)
    gain = gain[np.isfinite(gain)]
    s = out.sums
    s.update({"n": int(good.sum()), "control n": len(control.first), "prompts": len(gain)})
    s["gain"], s["gain squared"] = float(gain.sum()), float(np.square(gain).sum())
    if o.kind == "pair":
        _add(out, "rejected", pool, chosen.second)
        s["margin"], s["control margin"] = float(chosen.margin.sum()), float(control.margin.sum())
        s["longer"] = int((pool.length[chosen.first] > pool.length[chosen.second]).sum())
        s["against"] = int((pool.score[chosen.first] < pool.score[chosen.second]).sum())
    if o.method in DRAWN:
        n = np.diff(pool.offsets)
        some = n > 1
        s.update({"drawn from": int(some.sum()), "fewer than k": int((n[some] < o.size).sum())})
        s["acceptance"], s["ess"] = float(chosen.acceptance[some].sum()), float(chosen.ess[some].sum())
        s["more than k"], s["ess below k"] = int((n > o.size).sum()), int((chosen.ess[n > o.size] < o.size).sum())
    return out


def _add(out: Tally, which: str, pool: Pool, rows: Ints) -> None:
    out.sums[f"{which} score"] += float(pool.score[rows].sum())
    out.sums[f"{which} length"] += float(pool.length[rows].sum())


def _by_prompt(values: Floats, prompts: Ints, n: int) -> Floats:
    """Means; NaN where there is none."""
    many = np.bincount(prompts, minlength=n)
    out: Floats = np.where(many > 0, np.bincount(prompts, weights=values, minlength=n) / np.maximum(many, 1), np.nan)
    return out


def against_reference(flat: pl.DataFrame, tolerance: float) -> Counter[str]:
    """Wins, ties and losses of each record's best candidate against its best reference answer, by the score that decides, where both are
    there and scored. Cut-off candidates count as those that are left out."""
    usable = pl.col("value").is_not_null() & (pl.col("_out").is_null() | (pl.col("_out") == "reference"))
    if not flat["reference"].any():
        return Counter()
    best = flat.filter(usable).group_by("_rec", "reference").agg(pl.col("value").max())
    both = best.filter(~pl.col("reference")).join(best.filter("reference"), on="_rec", suffix="_r")
    ahead = both["value"] - both["value_r"]
    wins, losses = int((ahead > tolerance).sum()), int((ahead < -tolerance).sum())
    return Counter({"wins": wins, "losses": losses, "ties": both.height - wins - losses})
