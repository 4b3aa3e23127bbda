"""Merging of weight deltas, for SFT and DPO that were trained in parallel (PAFT, arXiv:2406.17923)."""

from __future__ import annotations

import torch
from torch import Tensor


def linear(deltas: Tensor) -> Tensor:
    """The mean of deltas [M, ...]."""
    return deltas.mean(0)


def ties(deltas: Tensor, density: float) -> Tensor:
    """TIES (arXiv:2306.01708): of each delta keep the share `density` of largest magnitude, elect the sign of the sum, and average the
    entries that agree with it. [M, N] to [N]."""
    keep = max(1, round(density * deltas.shape[1]))
    limit = deltas.abs().kthvalue(deltas.shape[1] - keep + 1, dim=1, keepdim=True).values
    trimmed = torch.where(deltas.abs() >= limit, deltas, torch.zeros_like(deltas))
    agree = (torch.sign(trimmed) == torch.sign(trimmed.sum(0))) & (trimmed != 0)
    return (trimmed * agree).sum(0) / agree.sum(0).clamp(min=1)
