"""Losses of K candidates of one prompt: one number per list."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import log_softmax
from torch.nn.functional import logsigmoid as ls

from prefdata.train.losses.batch import Lists


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


def lipo(x: Lists, *, beta: float = 0.05) -> Tensor:
    """Σ over ψ_i > ψ_j of |2^ψ_i − 2^ψ_j| |1/log(1+rank_i) − 1/log(1+rank_j)| (−ls(s_i − s_j)), s = βu, ranks by s without gradient
    (LiPO-λ, arXiv:2402.01878); the rewards are the labels ψ."""
    s = beta * x.u
    order = torch.argsort(s.detach(), descending=True)
    rank = torch.empty_like(s).scatter_(0, order, torch.arange(1, len(s) + 1, dtype=s.dtype, device=s.device))
    gain, discount = 2**x.rewards, 1 / torch.log1p(rank)
    weight = (gain[:, None] - gain).abs() * (discount[:, None] - discount).abs()
    better = x.rewards[:, None] > x.rewards
    return -(weight * ls(s[:, None] - s))[better].sum()


def pro(means: Tensor, rewards: Tensor, best_logp: Tensor, *, sft_weight: float = 0.05) -> tuple[Tensor, Tensor]:
    """Preference ranking optimisation (arXiv:2306.17492): candidates best first, their mean log-probs and rewards, and the summed
    log-prob of the best. Gives the ranking part and the whole loss."""
    n = len(means)
    ranking = means.new_zeros(())
    for t in range(n - 1):
        gaps = rewards[t] - rewards[t + 1 :]
        scaled = torch.cat([(means[t] * gaps.max())[None], means[t + 1 :] * gaps])
        ranking = ranking + torch.logsumexp(scaled, 0) - scaled[0]
    return ranking, ranking - sft_weight * (n - 1) ** 2 * best_logp


def rloo(rewards: Tensor, logps: Tensor) -> tuple[Tensor, Tensor]:
    """Leave-one-out advantages r_i − mean of the others, and −mean(A log π) (arXiv:2402.14740)."""
    advantages = (rewards - rewards.mean()) * len(rewards) / (len(rewards) - 1)
    return advantages, -(advantages.detach() * logps).mean()
