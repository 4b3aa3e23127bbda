"""Losses of K candidates of one prompt: one number per list, [..., K] to [...]."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import log_softmax
from torch.nn.functional import logsigmoid as ls

from prefdata.train.losses.batch import Lists
from prefdata.train.losses.rewards import plackett_luce_by


def infonca(x: Lists, *, beta: float = 0.1, reward_temperature: float = 1.0) -> Tensor:
    """−Σ softmax(r/α)_i log softmax(βu)_i (arXiv:2402.05369)."""
    wanted = torch.softmax(x.rewards / reward_temperature, -1)
    return -(wanted * log_softmax(beta * x.u, -1)).sum(-1)


def nca_list(x: Lists, *, beta: float = 0.1, reward_temperature: float = 1.0) -> Tensor:
    """−Σ softmax(r/α)_i ls(βu_i) − (1/K) Σ ls(−βu_i) (arXiv:2402.05369)."""
    wanted, m = torch.softmax(x.rewards / reward_temperature, -1), beta * x.u
    return -(wanted * ls(m)).sum(-1) - ls(-m).mean(-1)


def exo_list(x: Lists, *, beta: float = 0.5, reward_temperature: float = 0.5) -> Tensor:
    """KL(softmax(β_π u) ‖ softmax(r/β_r)) (arXiv:2402.00856)."""
    m = log_softmax(beta * x.u, -1)
    return (m.exp() * (m - log_softmax(x.rewards / reward_temperature, -1))).sum(-1)


def dpo_pl(x: Lists, *, beta: float = 0.1) -> Tensor:
    """Plackett–Luce on βu in the order of the rewards: DPO of rankings (arXiv:2305.18290, appendix A.3); K = 2 is DPO. Candidates of equal
    reward are not compared."""
    return plackett_luce_by(beta * x.u, x.rewards)


def lipo(x: Lists, *, beta: float = 0.05) -> Tensor:
    """Σ over ψ_i > ψ_j of |2^ψ_i − 2^ψ_j| |1/log(1+rank_i) − 1/log(1+rank_j)| (−ls(s_i − s_j)), s = βu, ranks by s without gradient
    (LiPO-λ, arXiv:2402.01878); the rewards are the labels ψ."""
    s = beta * x.u
    order = torch.argsort(s.detach(), descending=True)
    rank = torch.empty_like(s).scatter_(-1, order, torch.arange(1, s.shape[-1] + 1, dtype=s.dtype, device=s.device).expand_as(s))
    gain, discount = 2**x.rewards, 1 / torch.log1p(rank)
    weight = (gain[..., :, None] - gain[..., None, :]).abs() * (discount[..., :, None] - discount[..., None, :]).abs()
    better = x.rewards[..., :, None] > x.rewards[..., None, :]
    return -(weight * better * ls(s[..., :, None] - s[..., None, :])).sum((-1, -2))


def pro(means: Tensor, rewards: Tensor, best_logp: Tensor, *, sft_weight: float = 0.05) -> tuple[Tensor, Tensor]:
    """Preference ranking optimisation (arXiv:2306.17492): candidates best first, their mean log-probs and rewards, and the summed
    log-prob of the best. Gives the ranking part and the whole loss."""
    n = means.shape[-1]
    ranking = means.new_zeros(means.shape[:-1])
    for t in range(n - 1):
        gaps = rewards[..., t : t + 1] - rewards[..., t + 1 :]
        scaled = torch.cat([means[..., t : t + 1] * gaps.amax(-1, keepdim=True), means[..., t + 1 :] * gaps], -1)
        ranking = ranking + torch.logsumexp(scaled, -1) - scaled[..., 0]
    return ranking, ranking - sft_weight * (n - 1) ** 2 * best_logp


def pro_list(x: Lists, *, sft_weight: float = 0.05) -> Tensor:
    """Preference ranking optimisation (arXiv:2306.17492): Σ_t −log softmax of the t-th best candidate's mean log-prob among the rest,
    scaled by the distances of the rewards, and λ(K−1)² of the best one's log-prob. No reference."""
    if x.lengths is None:
        raise ValueError("pro needs the lengths of the candidates")
    order = torch.argsort(x.rewards, descending=True, stable=True)
    means, best = (x.logps / x.lengths).gather(-1, order), x.logps.gather(-1, order)[..., 0]
    return pro(means, x.rewards.gather(-1, order), best, sft_weight=sft_weight)[1]


def rloo(rewards: Tensor, logps: Tensor) -> tuple[Tensor, Tensor]:
    """Leave-one-out advantages r_i − mean of the others, and −mean(A log π) (arXiv:2402.14740)."""
    advantages = (rewards - rewards.mean()) * len(rewards) / (len(rewards) - 1)
    return advantages, -(advantages.detach() * logps).mean()
