"""Whether a judge's probabilities mean what they say: Brier score, log-loss, expected calibration error, and one temperature that
improves them. Gold is +1, -1, 0 or NaN as in `agreement`; ties of gold have no side and are left out."""

from __future__ import annotations

from typing import Any

import numpy as np

from prefdata.judges.agreement import Ints, Numbers

BINS = 10
SURE = 1e-6
"""Log-loss and temperature take no probability beyond 1e-6 and 1 - 1e-6: one sure error would be infinitely bad."""
HOTTEST = 100.0
"""Highest temperature: at it, 99 % becomes 51 %. The lowest is 1/100."""
FOLDS = 5


def calibration(p: Numbers, gold: Numbers, cluster: Ints | None = None) -> dict[str, Any] | None:
    """How good the probabilities `p` (that i is better) are, and how good they would be at the best temperature; None without any.

    `raw` has the figures of p as it is. `temperature` is the T of p' = σ(logit p / T) with the least log-loss over all gold (Guo et al.
    2017; below 1 the judge is too timid, above 1 too sure), and `tempered` the figures of p' when the T of each fifth of the prompts is
    fitted on the other four, so that no comparison is judged by a T that has seen it.
    """
    there = ~np.isnan(p) & ~np.isnan(gold) & (gold != 0)
    if not there.any():
        return None
    q, y = p[there].astype(np.float64), (gold[there] > 0).astype(np.float64)
    prompts = np.arange(len(q)) if cluster is None else np.unique(cluster[there], return_inverse=True)[1]
    held = tempered(q, y, prompts % FOLDS)
    return {
        "raw": scores(q, y) | {"bins": reliability(q, y)},
        "temperature": temperature(q, y),
        "tempered": scores(held, y) if held is not None else None,
    }


def scores(p: Numbers, y: Numbers, bins: int = BINS) -> dict[str, Any]:
    """brier: mean (p − y)², 0.25 for always saying 1/2. log_loss: mean −log of the probability given to what is so, 0.693 for always
    saying 1/2. ece: Σ_b n_b/n |accuracy_b − confidence_b|."""
    q = np.clip(p, SURE, 1 - SURE)
    found = reliability(p, y, bins)
    return {
        "n": len(p),
        "brier": float(np.mean((p - y) ** 2)),
        "log_loss": float(-np.mean(y * np.log(q) + (1 - y) * np.log1p(-q))),
        "ece": sum(b["n"] * abs(b["accuracy"] - b["confidence"]) for b in found) / len(p),
    }


def reliability(p: Numbers, y: Numbers, bins: int = BINS) -> list[dict[str, Any]]:
    """Bins of equal width over the confidence max(p, 1 − p), 1/2 to 1 (Naeini et al. 2015): how many comparisons, their mean confidence,
    and how often the favoured answer is gold's (its probability, where gold is one). A bin holds its upper end; at p = 1/2 no answer is
    favoured: half right."""
    sure = np.maximum(p, 1 - p)
    right = np.where(p == 0.5, 0.5, np.where(p > 0.5, y, 1 - y))
    # rounded: 0.85 is 6.999... bins above 1/2
    number = np.clip(np.ceil(np.round((sure - 0.5) * 2 * bins, 9)).astype(np.int64) - 1, 0, bins - 1)
    out = []
    for b in range(bins):
        here = number == b
        if here.any():
            low = 0.5 + b / (2 * bins)
            out.append(
                {
                    "low": round(low, 4),
                    "high": round(low + 0.5 / bins, 4),
                    "n": int(here.sum()),
                    "confidence": float(sure[here].mean()),
                    "accuracy": float(right[here].mean()),
                }
            )
    return out


def temperature(p: Numbers, y: Numbers) -> float:
    """The T of σ(logit p / T) with the least log-loss, between 1/100 and 100; the highest means that the probabilities say nothing, or the
    opposite."""
    return best_temperature(_logit(p), y)


def best_temperature(logit: Numbers, y: Numbers) -> float:
    """The T of σ(logit / T) with the least log-loss, between 1/100 and 100. Its slope in 1/T, Σ (p' − y) logit, only grows with 1/T, so its
    zero is found by halving."""
    if not logit.any():
        return 1.0
    low, high = 1 / HOTTEST, HOTTEST
    for _ in range(50):
        middle = np.sqrt(low * high)
        if logit @ (sigmoid(middle * logit) - y) > 0:
            high = middle
        else:
            low = middle
    return float(1 / np.sqrt(low * high))


def at_temperature(p: Numbers, t: float) -> Numbers:
    """σ(logit p / T)."""
    return sigmoid(_logit(p) / t)


def tempered(p: Numbers, y: Numbers, fold: Ints) -> Numbers | None:
    """Each fold's probabilities at the temperature of the other folds; None where there is but one fold."""
    out = np.empty_like(p)
    if len(np.unique(fold)) < 2:
        return None
    for f in np.unique(fold):
        here = fold == f
        out[here] = at_temperature(p[here], temperature(p[~here], y[~here]))
    return out


def sigmoid(x: Numbers) -> Numbers:
    out: Numbers = 1 / (1 + np.exp(-np.clip(x, -700, 700)))
    return out


def _logit(p: Numbers) -> Numbers:
    q = np.clip(p, SURE, 1 - SURE)
    out: Numbers = np.log(q) - np.log1p(-q)
    return out
