"""Metrics of scored pairs in numpy, the same in `prefdata eval rm`, during training and for `--save-best`. Names are those of TRL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Numbers = np.ndarray[Any, np.dtype[np.float64]]
REWARD_MODEL = {"accuracy": "accuracy", "margin": "margin"}
IMPLICIT = {"accuracy": "rewards/accuracies", "margin": "rewards/margins"}
"""What TRL's reward trainer and its DPO trainer call the same thing."""


def labels(p_chosen: Numbers | None, n: int) -> Numbers:
    """The probability that chosen is better: 1 where nothing else is known (NaN)."""
    return np.ones(n) if p_chosen is None else np.where(np.isnan(p_chosen), 1.0, p_chosen)


def right(margin: Numbers, y: Numbers) -> Numbers:
    """1 where chosen has the higher reward, 1/2 for a tie, 0 else; NaN where y is 1/2: such a pair has no better side."""
    return np.where(y == 0.5, np.nan, (np.sign(margin) + 1) / 2)


def log_loss(margin: Numbers, y: Numbers) -> Numbers:
    """−y log σ(m) − (1 − y) log σ(−m) per pair."""
    return y * np.logaddexp(0, -margin) + (1 - y) * np.logaddexp(0, margin)


def pair_metrics(
    chosen: Numbers,
    rejected: Numbers,
    *,
    p_chosen: Numbers | None = None,
    source: Sequence[str | None] | None = None,
    implicit: bool = False,
) -> dict[str, float]:
    """Means over all pairs of rewards [N], as a line of training's log has them; a tie is half right. With `implicit` the names are those
    of DPO's trainer.

    >>> pair_metrics(np.array([2.0, 1.0]), np.array([0.0, 1.0]))["accuracy"]
    0.75
    """
    if not len(chosen):
        return {}
    margin, y = chosen - rejected, labels(p_chosen, len(chosen))
    ok = (np.sign(margin) + 1) / 2
    name = IMPLICIT if implicit else REWARD_MODEL
    both = np.concatenate([chosen, rejected])
    out = {name["accuracy"]: ok.mean(), name["margin"]: margin.mean(), "ties": np.mean(margin == 0), "log_loss": log_loss(margin, y).mean()}
    if implicit:
        out |= {"rewards/chosen": chosen.mean(), "rewards/rejected": rejected.mean()}
    else:
        out |= {"min_reward": both.min(), "mean_reward": both.mean(), "max_reward": both.max()}
    last = {k: v.rpartition("/")[2] for k, v in name.items()}
    for s in sorted({s for s in source or () if s is not None}):
        here = np.array([found == s for found in source or ()])
        out |= {f"sources/{s}/{last['accuracy']}": ok[here].mean(), f"sources/{s}/{last['margin']}": margin[here].mean()}
    return {k: float(v) for k, v in out.items()}
