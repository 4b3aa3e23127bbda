"""Losses of reward models, on scores."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity
from torch.nn.functional import logsigmoid as ls


def bradley_terry(
    chosen: Tensor,
    rejected: Tensor,
    *,
    margin: Tensor | None = None,
    p_chosen: Tensor | None = None,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
    center: float = 0.0,
) -> Tensor:
    """w [−p ls(d) − (1−p) ls(−d)] + η (s_c + s_r)², d = s_c − s_r − m, per pair (InstructGPT, arXiv:2203.02155; margin m: Llama 2,
    arXiv:2307.09288; η: arXiv:2312.09244, eq. 2; w as in scaled BT, arXiv:2410.01257). p is 1 − ε without soft labels.

    A soft label is about the pair, so with one the margin counts for the direction p > ½ only.
    """
    d = chosen - rejected if margin is None else chosen - rejected - margin
    p = torch.full_like(chosen, 1 - label_smoothing) if p_chosen is None else p_chosen
    loss = -p * ls(d) - (1 - p) * ls(-d)
    loss = loss if weight is None else loss * weight
    return loss + center * (chosen + rejected) ** 2 if center else loss


def plackett_luce(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Σ_k [logsumexp(s_k … s_K) − s_k] over the first K−1 places, best first; [N, K] to [N] (Plackett 1975). `mask` flags the real places
    of ragged lists, which stand at the front."""
    real = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask
    filled = scores.masked_fill(~real, -1e30)  # not −inf, whose gradient is nan where a row holds nothing else
    rest = torch.logcumsumexp(filled.flip(-1), -1).flip(-1)
    last = real.sum(-1, keepdim=True) - 1
    places = torch.arange(scores.shape[-1], device=scores.device) < last
    return torch.where(places, rest - filled, torch.zeros_like(scores)).sum(-1)


def plackett_luce_by(values: Tensor, scores: Tensor) -> Tensor:
    """Σ over candidates i of log(1 + Σ over j worse than i of e^(v_j − v_i)), [..., K] to [...]: Plackett–Luce in the order of `scores`, in
    which candidates of equal score are not compared with each other, and those without one (NaN) with none."""
    worse = scores[..., :, None] > scores[..., None, :]
    gaps = (values[..., None, :] - values[..., :, None]).masked_fill(~worse, -1e30)  # not −inf: its gradient is nan
    return torch.logsumexp(torch.cat([torch.zeros_like(gaps[..., :1]), gaps], -1), -1).sum(-1)


def odin(
    quality: Tensor, length_head: Tensor, lengths: Tensor, w_quality: Tensor, w_length: Tensor, *, length: float = 1.0, ortho: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Two heads, one of them for length (arXiv:2402.07319): ranking, length and orthogonality terms; the loss is ranking + λ_L
    length + λ_O ortho, and the terms come weighted. Scores and lengths are [2, B]: chosen, rejected; w are the heads' weights."""
    total = quality + length_head
    ranking = -ls(total[0] - total[1]).mean()
    both = _pearson(lengths.flatten(), quality.flatten()).abs() - _pearson(lengths.flatten(), length_head.flatten())
    return ranking, length * both, ortho * cosine_similarity(w_quality, w_length, dim=0).abs()


def _pearson(a: Tensor, b: Tensor) -> Tensor:
    return cosine_similarity(a.to(b.dtype) - a.to(b.dtype).mean(), b - b.mean(), dim=0)
