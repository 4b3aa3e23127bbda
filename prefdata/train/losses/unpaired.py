"""Losses of single completions: one loss per completion, shape [B]."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid as ls

from prefdata.train.losses.batch import Unpaired


def kto_z0(kl_logps: Tensor, kl_ref_logps: Tensor) -> Tensor:
    """max(0, mean of log π − log π_ref over mismatched completions), without gradient and without β (arXiv:2402.01306). Average
    over all ranks before the clamp."""
    return (kl_logps - kl_ref_logps).mean().detach().clamp(min=0)


def kto(x: Unpaired, *, z0: Tensor | float, beta: float = 0.1, desirable_weight: float = 1.0, undesirable_weight: float = 1.0) -> Tensor:
    """w (1 − σ(β (u − z0))) for desirable, w (1 − σ(β (z0 − u))) for undesirable completions (arXiv:2402.01306)."""
    away = beta * (x.u - z0)
    return torch.where(x.desirable, desirable_weight * torch.sigmoid(-away), undesirable_weight * torch.sigmoid(away))


def bco_unpaired(x: Unpaired, *, beta: float = 0.1, delta: Tensor | float = 0.0) -> Tensor:
    """−ls(βu − δ) for desirable, −ls(−(βu − δ)) for undesirable completions (arXiv:2404.04656)."""
    z = beta * x.u - delta
    return -torch.where(x.desirable, ls(z), ls(-z))


def dro_v(x: Unpaired, rewards: Tensor, values: Tensor, *, tau: float = 1.0) -> Tensor:
    """½ (r − V − τu)², V the value of the prompt (arXiv:2405.19107). It needs a value head."""
    return 0.5 * (rewards - values - tau * x.u) ** 2
