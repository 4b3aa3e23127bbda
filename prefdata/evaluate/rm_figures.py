"""How good rewards are at telling chosen from rejected: figures of arrays, with intervals. Nothing here knows files or models.

A reward's margin is that of chosen less that of rejected, and σ(margin) the probability that it gives to chosen (Bradley and Terry). Shares
have Wilson's interval over an effective number of pairs, because pairs of one prompt (`cluster`) depend on each other. Intervals hold 95 %;
a figure of nothing is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np

from prefdata.evaluate.rm_length import length, ranks, spearman
from prefdata.judges.agreement import Ints, Numbers, credit, rate
from prefdata.judges.calibration import FOLDS, best_temperature, reliability, sigmoid
from prefdata.statistics import Z
from prefdata.train.pair_metrics import labels, log_loss, right

BINS = 15
"""Of the expected calibration error (Guo et al. 2017), here over the confidences 1/2 to 1."""
NEAR = 0.1
"""A margin below it says next to nothing: σ(0.1) is 52.5 %."""
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
OVERLAP_BINS = 50


def figures(
    chosen: Numbers,
    rejected: Numbers,
    *,
    lengths: Numbers | None = None,
    p_chosen: Numbers | None = None,
    gold_margin: Numbers | None = None,
    cluster: Ints | None = None,
) -> dict[str, Any]:
    """All figures of N pairs: rewards [N], lengths of chosen and rejected [N, 2] in tokens, labels p_chosen and margins as the records have
    them (NaN: none), a number of the prompt [N].

    accuracy    share of pairs with the higher reward for chosen, a tie counts half; pairs with p_chosen 1/2 have no better side
    soft        with labels below 1: the expected accuracy under the labels, and the best that any rewards could have
    margins     their spread, and the share of margins within ± 0.1
    """
    margin, y = chosen - rejected, labels(p_chosen, len(chosen))
    return {
        "pairs": len(chosen),
        "label_ties": int((y == 0.5).sum()),
        "accuracy": rate(right(margin, y), cluster)._asdict(),
        "ties": rate((margin == 0).astype(np.float64), cluster)._asdict(),
        "soft": soft(margin, y),
        "calibration": calibration(margin, y, cluster),
        "margins": {
            **spread(margin),
            "mean_interval": mean_interval(margin, cluster),
            "near_zero": rate((np.abs(margin) < NEAR).astype(np.float64), cluster)._asdict(),
        },
        "rewards": rewards(chosen, rejected),
        "length": length(chosen, rejected, y, lengths, cluster) if lengths is not None else None,
        "gold_margin": strength(margin, gold_margin) if gold_margin is not None else None,
    }


def soft(margin: Numbers, y: Numbers) -> dict[str, float] | None:
    """None where all labels are hard."""
    if (y == 1).all():
        return None
    said = (np.sign(margin) + 1) / 2
    return {"labels": int((y < 1).sum()), "accuracy": float(np.mean(said * y + (1 - said) * (1 - y))), "best": float(y.mean())}


def calibration(margin: Numbers, y: Numbers, cluster: Ints | None = None) -> dict[str, Any] | None:
    """Whether σ(margin) means what it says. `raw` has the figures as they are, `temperature` is the T of σ(margin/T) with the least
    log-loss on all pairs, `tempered` has the figures when T is fitted on four fifths of the prompts and used on the last."""
    n = len(margin)
    if not n:
        return None
    scale = float(np.sqrt(np.mean(margin**2))) or 1.0  # temperatures are looked for within a hundredth and a hundred times of it
    prompts = np.arange(n) if cluster is None else np.unique(cluster, return_inverse=True)[1]
    fold, held = prompts % FOLDS, np.empty(n)
    for f in range(FOLDS):
        here = fold == f
        held[here] = margin[here] / (scale * best_temperature(margin[~here] / scale, y[~here]))
    return {
        "raw": {**_proper(margin, y), **_intervals(margin, y, cluster), "bins": reliability(sigmoid(margin), y, BINS)},
        "temperature": scale * best_temperature(margin / scale, y),
        "tempered": _proper(held, y) if len(np.unique(fold)) > 1 else None,
    }


def _proper(logit: Numbers, y: Numbers) -> dict[str, Any]:
    p = sigmoid(logit)
    ece = sum(b["n"] * abs(b["accuracy"] - b["confidence"]) for b in reliability(p, y, BINS)) / len(p)
    return {"n": len(p), "log_loss": float(log_loss(logit, y).mean()), "brier": float(np.mean((p - y) ** 2)), "ece": ece}


def _intervals(margin: Numbers, y: Numbers, cluster: Ints | None) -> dict[str, Any]:
    return {
        "log_loss_interval": mean_interval(log_loss(margin, y), cluster),
        "brier_interval": mean_interval((sigmoid(margin) - y) ** 2, cluster),
    }


def mean_interval(values: Numbers, cluster: Ints | None = None) -> tuple[float, float] | None:
    """Mean ± z standard errors, those of clusters where they are larger; None for a single value."""
    n = len(values)
    if n < 2:
        return None
    off = values - values.mean()
    sums = off if cluster is None else np.bincount(np.unique(cluster, return_inverse=True)[1], weights=off)
    half = Z * sqrt(max(float(off @ off), float(sums @ sums)) / (n * (n - 1)))
    return float(values.mean()) - half, float(values.mean()) + half


def spread(values: Numbers) -> dict[str, float | None]:
    """Mean, standard deviation and percentiles."""
    names = ["mean", "std", "min", *(f"p{q}" for q in PERCENTILES), "max"]
    if not len(values):
        return dict.fromkeys(names)
    numbers = [values.mean(), values.std(), values.min(), *np.percentile(values, PERCENTILES), values.max()]
    return {name: float(v) for name, v in zip(names, numbers, strict=True)}


def rewards(chosen: Numbers, rejected: Numbers) -> dict[str, Any]:
    """The two distributions. auc: the chance that any chosen answer has a higher reward than any rejected one, of whatever prompt, a tie
    counts half; 1/2 when nothing tells them apart. overlap: Σ min of their shares in 50 bins of equal width; 1 when they are the same."""
    n, m = len(chosen), len(rejected)
    out: dict[str, Any] = {"chosen": spread(chosen), "rejected": spread(rejected), "auc": None, "overlap": None}
    if n and m:
        both = np.concatenate([chosen, rejected])
        out["auc"] = float((ranks(both)[:n].sum() - n * (n + 1) / 2) / (n * m))
        edges = np.linspace(both.min(), both.max(), OVERLAP_BINS + 1) if np.ptp(both) > 0 else np.array([both[0] - 1, both[0] + 1])
        a, b = (np.histogram(v, edges)[0] / len(v) for v in (chosen, rejected))
        out["overlap"] = float(np.minimum(a, b).sum())
    return out


def strength(margin: Numbers, gold: Numbers) -> dict[str, Any] | None:
    """Whether larger margins of the labels go with larger margins of the rewards; None unless the labels' margins differ."""
    there = ~np.isnan(gold)
    return {"spearman": spearman(margin[there], gold[there])} if len(np.unique(gold[there])) > 1 else None


def by_part(
    names: Sequence[str | None],
    chosen: Numbers,
    rejected: Numbers,
    *,
    lengths: Numbers | None = None,
    p_chosen: Numbers | None = None,
    gold_margin: Numbers | None = None,
    cluster: Ints | None = None,
) -> dict[str, Any]:
    """The main figures of every part (source, subset), and the macro average of their accuracies: each part counts the same."""
    parts: list[dict[str, Any]] = []
    for name in sorted({n or "" for n in names}):
        here = np.array([(n or "") == name for n in names])
        margin, y = (chosen - rejected)[here], labels(p_chosen, len(chosen))[here]
        group = None if cluster is None else cluster[here]
        longer = None if lengths is None else credit(np.sign(lengths[here, 0] - lengths[here, 1]), np.where(y == 0.5, np.nan, 1.0))
        parts.append(
            {
                "name": name or "(none)",
                "pairs": int(here.sum()),
                "accuracy": rate(right(margin, y), group)._asdict(),
                "ties": int((margin == 0).sum()),
                "margin": float(margin.mean()),
                "log_loss": float(log_loss(margin, y).mean()),
                "longest_wins": None if longer is None else rate(longer, group)._asdict(),
                "gold_margin": None if gold_margin is None else strength(margin, gold_margin[here]),
            }
        )
    return {"parts": parts, "macro": macro([p["accuracy"] for p in parts])}


def macro(rates: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean of independent shares. Its interval is made of theirs: the mean ∓ √Σ(distance to their ends)²/K (Zou and Donner 2008)."""
    known = [r for r in rates if r["value"] is not None]
    if not known:
        return {"value": None, "low": 0.0, "high": 1.0, "n": 0}
    k, mean = len(known), sum(r["value"] for r in known) / len(known)
    below, above = (sqrt(sum((r["value"] - r[end]) ** 2 for r in known)) / k for end in ("low", "high"))
    return {"value": mean, "low": max(0.0, mean - below), "high": min(1.0, mean + above), "n": k}
