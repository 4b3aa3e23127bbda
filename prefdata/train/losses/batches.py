"""Losses that couple the pairs of a batch: not to be split over micro-batches, and gathered over ranks first."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from prefdata.train.losses.batch import Pairs
from prefdata.train.losses.pairs import dpo


def aot(x: Pairs, *, beta: float = 0.1, label_smoothing: float = 0.0) -> Tensor:
    """DPO between the sorted margins of the policy and those of the reference (arXiv:2406.05882, paired)."""
    policy = torch.sort(x.chosen - x.rejected).values
    reference = torch.sort(x.ref_chosen - x.ref_rejected).values
    return _dpo_on(x, policy, reference, beta, label_smoothing)


def aot_unpaired(x: Pairs, *, beta: float = 0.1, label_smoothing: float = 0.0) -> Tensor:
    """DPO between the sorted log-ratios of chosen and of rejected answers (arXiv:2406.05882, unpaired)."""
    return _dpo_on(x, torch.sort(x.u_c).values, torch.sort(x.u_r).values, beta, label_smoothing)


def _dpo_on(x: Pairs, a: Tensor, b: Tensor, beta: float, label_smoothing: float) -> Tensor:
    zero = torch.zeros_like(a)
    return dpo(replace(x, chosen=a, rejected=b, ref_chosen=zero, ref_rejected=zero), beta=beta, label_smoothing=label_smoothing)


def beta_dpo(x: Pairs, *, beta: float = 0.1, alpha: float = 0.6, threshold: float | Tensor = 0.0, keep: Tensor | None = None) -> Tensor:
    """DPO with β (1 + α (mean D − M0)) of the batch, at least 1e−3, without gradient (arXiv:2407.08639). `threshold` is M0, the
    running mean of D; `keep` flags the pairs that the filter left (`beta_dpo_filter`), the others get 0."""
    kept = torch.ones_like(x.chosen) if keep is None else keep.to(x.chosen.dtype)
    mean = (x.D.detach() * kept).sum() / kept.sum()
    dynamic = (beta * (1 + alpha * (mean - threshold))).clamp(min=1e-3)
    losses = -torch.nn.functional.logsigmoid(dynamic * x.D)
    return losses * kept * (len(kept) / kept.sum())  # so that the mean over the batch is the mean over the kept


def beta_dpo_filter(D: Tensor, mean: float, std: float, rho: float = 0.8, generator: torch.Generator | None = None) -> Tensor:
    """Which ⌊ρB⌋ pairs stay: drawn without replacement with weights exp(−(D − M0)²/(2s²)) (arXiv:2407.08639)."""
    distance = ((D.detach() - mean) / max(std, 1e-6)) ** 2 / 2
    weights = torch.exp(-(distance - distance.min())).clamp(min=1e-12)  # the largest is 1, so that none underflows
    count = max(1, int(rho * len(D)))
    keep = torch.zeros_like(D, dtype=torch.bool)
    keep[torch.multinomial(weights, count, generator=generator)] = True
    return keep
