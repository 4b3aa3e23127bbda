"""Losses of pairs that need the sequence log-probs alone: a function from `Pairs` to one loss per pair, shape [B].

Letters are those of `batch.py`; σ is the sigmoid, `ls` its logarithm, always through the fused operation: log(σ(x)) is −inf below
−104 in float32. All arithmetic is done in the type of the log-probs, which is at least float32.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid as ls
from torch.nn.functional import softplus

from prefdata.train.losses.batch import Pairs

Convex = Literal["logistic", "exponential", "truncated_quadratic", "squared", "hinge", "savage"]
Divergence = Literal["reverse_kl", "forward_kl", "js", "alpha"]


def dpo(x: Pairs, *, beta: float = 0.1, label_smoothing: float = 0.0) -> Tensor:
    """−(1−ε) ls(βD) − ε ls(−βD): DPO (Rafailov 2023, arXiv:2305.18290); with ε > 0 conservative DPO (Mitchell 2023)."""
    z = beta * x.D
    return -(1 - label_smoothing) * ls(z) - label_smoothing * ls(-z)


def sdpo(x: Pairs, *, beta: float = 0.1) -> Tensor:
    """−ls(βD) with the model of the stage before as reference, stage by stage (sDPO, arXiv:2403.19270): DPO by the reference's name."""
    return dpo(x, beta=beta)


def robust(x: Pairs, *, beta: float = 0.1, label_smoothing: float = 0.1) -> Tensor:
    """[−(1−ε) ls(βD) + ε ls(−βD)]/(1−2ε): unbiased under flips at rate ε < ½ (arXiv:2403.00409). It can be negative."""
    z = beta * x.D
    return (-(1 - label_smoothing) * ls(z) + label_smoothing * ls(-z)) / (1 - 2 * label_smoothing)


def ipo(x: Pairs, *, tau: float = 0.1) -> Tensor:
    """(D − 1/(2τ))² on sums of log-probs (arXiv:2310.12036)."""
    return (x.D - 1 / (2 * tau)) ** 2


def ipo_mean(x: Pairs, *, tau: float = 0.1) -> Tensor:
    """(u_c/l_c − u_r/l_r − 1/(2τ))²: IPO on means per token; with the same τ another problem than `ipo`."""
    return (x.u_c / x.chosen_len - x.u_r / x.rejected_len - 1 / (2 * tau)) ** 2


def hinge(x: Pairs, *, beta: float = 0.1) -> Tensor:
    """max(0, 1 − βD): the hinge on log-ratios; with β = γ the hinge-norm of RSO (arXiv:2309.06657)."""
    return torch.relu(1 - beta * x.D)


def slic(x: Pairs, *, delta: float = 1.0, sft_weight: float = 0.5) -> Tensor:
    """max(0, δ − log π(chosen) + log π(rejected)) − λ log π(target): SLiC-HF, direct (arXiv:2305.10425). The target is the SFT
    target where there is one, else the chosen answer."""
    target = x.chosen if x.target is None else x.target
    return torch.relu(delta - x.chosen + x.rejected) - sft_weight * target


def rso(x: Pairs, *, gamma: float = 0.5) -> Tensor:
    """−ls(γD): sigmoid-norm of RSO (arXiv:2309.06657), the reference being the SFT model that the candidates came from."""
    return -ls(gamma * x.D)


def sigmoid_norm(x: Pairs, *, beta: float = 5.0) -> Tensor:
    """−ls(β (u_c/l_c − u_r/l_r)): length-normalised DPO (Tülu 3, arXiv:2411.15124)."""
    return -ls(beta * (x.u_c / x.chosen_len - x.u_r / x.rejected_len))


def dpop(x: Pairs, *, beta: float = 0.3, penalty: float = 50.0) -> Tensor:
    """−ls(β (D − λ max(0, −u_c))): DPO-positive, which keeps the chosen answer likely (arXiv:2402.13228)."""
    return -ls(beta * (x.D - penalty * torch.relu(-x.u_c)))


def r_dpo(x: Pairs, *, beta: float = 0.1, alpha: float = 0.05) -> Tensor:
    """−ls(βD + α (l_c − l_r)): length-regularised DPO (arXiv:2403.19159); lengths in tokens."""
    return -ls(beta * x.D + alpha * (x.chosen_len - x.rejected_len))


def simpo(x: Pairs, *, beta: float = 2.0, gamma: float = 1.0) -> Tensor:
    """−ls(β m_c − β m_r − γ), m = mean log-prob per token: no reference (arXiv:2405.14734)."""
    return -ls(beta * (x.mean_chosen - x.mean_rejected) - gamma)


def alphapo(x: Pairs, *, beta: float = 2.5, gamma: float = 0.3, alpha: float = 0.25) -> Tensor:
    """−ls(β (r_c − r_r) − γ), r = (1 − e^(−αm))/α of the mean log-prob m (arXiv:2501.03884). The exponent is bounded at 80."""

    def reward(mean: Tensor) -> Tensor:
        return (1 - torch.exp((-alpha * mean).clamp(max=80))) / alpha

    return -ls(beta * (reward(x.mean_chosen) - reward(x.mean_rejected)) - gamma)


def cpo(x: Pairs, *, beta: float = 0.1, sft_weight: float = 1.0) -> Tensor:
    """−ls(β (log π(chosen) − log π(rejected))) − w log π(chosen), the last per sequence (arXiv:2401.08417)."""
    return -ls(beta * (x.chosen - x.rejected)) - sft_weight * x.chosen


def orpo(x: Pairs, *, lam: float = 0.1) -> Tensor:
    """−m_c − λ ls(log odds(chosen) − log odds(rejected)), log odds = m − log(1 − e^m) of the mean log-prob (arXiv:2403.07691)."""
    c, r = x.mean_chosen, x.mean_rejected
    return -c - lam * ls((c - _log1mexp(c)) - (r - _log1mexp(r)))


def _log1mexp(m: Tensor) -> Tensor:
    """log(1 − e^m) for m < 0. `where` differentiates both branches, so neither may be infinite: m stays below −1e−6."""
    m = m.clamp(max=-1e-6)
    return torch.where(m > -log(2), torch.log(-torch.expm1(m)), torch.log1p(-torch.exp(m)))


def nca(x: Pairs, *, beta: float = 0.1) -> Tensor:
    """−ls(βu_c) − ½ ls(−βu_c) − ½ ls(−βu_r): noise-contrastive alignment of a pair (arXiv:2402.05369)."""
    c, r = beta * x.u_c, beta * x.u_r
    return -ls(c) - 0.5 * ls(-c) - 0.5 * ls(-r)


def bco(x: Pairs, *, beta: float = 0.1, delta: float | Tensor = 0.0) -> Tensor:
    """−ls(βu_c − δ) − ls(−(βu_r − δ)), δ a running mean of rewards without gradient (arXiv:2404.04656)."""
    return -ls(beta * x.u_c - delta) - ls(-(beta * x.u_r - delta))


def apo_zero(x: Pairs, *, beta: float = 0.1) -> Tensor:
    """1 − σ(βu_c) + σ(βu_r): chosen answers better than the model's own (arXiv:2408.06266)."""
    return 1 - torch.sigmoid(beta * x.u_c) + torch.sigmoid(beta * x.u_r)


def apo_down(x: Pairs, *, beta: float = 0.1) -> Tensor:
    """σ(βu_c) + 1 − σ(βD): chosen answers worse than the model's own (arXiv:2408.06266)."""
    return torch.sigmoid(beta * x.u_c) + 1 - torch.sigmoid(beta * x.D)


def sppo(x: Pairs, *, beta: float = 0.1) -> Tensor:
    """(u_c − 1/(2β))² + (u_r + 1/(2β))²: SPPO with hard labels (arXiv:2405.00675)."""
    half = 1 / (2 * beta)
    return (x.u_c - half) ** 2 + (x.u_r + half) ** 2


def exo(x: Pairs, *, beta: float = 0.1, label_smoothing: float = 1e-3) -> Tensor:
    """KL of (σ(βD), σ(−βD)) to the smoothed label (1−ε, ε), ε > 0 (arXiv:2402.00856)."""
    z = beta * x.D
    first = torch.sigmoid(z) * (ls(z) - log(1 - label_smoothing))
    return first + torch.sigmoid(-z) * (ls(-z) - log(label_smoothing))


def discopop(x: Pairs, *, beta: float = 0.05, tau: float = 0.05) -> Tensor:
    """(1−m)(−ls(z)) + m e^(−z), z = βD, m = σ(z/τ) (arXiv:2406.08414). m e^(−z) is one exponential, which is finite for τ < 1
    where the product of the two factors is not (and bounded for τ > 1, where it grows without end)."""
    z = beta * x.D
    return torch.sigmoid(-z / tau) * softplus(-z) + torch.exp((-z + ls(z / tau)).clamp(max=80))


def odpo(x: Pairs, *, beta: float = 0.1, alpha: float = 1.0) -> Tensor:
    """−ls(βD − α log(s_c − s_r)): DPO with an offset by the scores' distance, which must be positive (arXiv:2402.10571)."""
    if x.score_chosen is None or x.score_rejected is None:
        raise ValueError("odpo needs scores of both answers")
    return -ls(beta * x.D - alpha * torch.log(x.score_chosen - x.score_rejected))


def wpo(x: Pairs, *, beta: float = 0.1) -> Tensor:
    """−w ls(βD), w = exp(m_c) exp(m_r) without gradient: pairs that the policy would write count more (arXiv:2406.11827, without the
    alignment of sampled and greedy tokens)."""
    return torch.exp(x.mean_chosen + x.mean_rejected).detach() * dpo(x, beta=beta)


def rpo(x: Pairs, *, beta: float = 0.1, alpha: float = 1.0) -> Tensor:
    """−ls(βD) − α m_c: DPO and the mean log-prob of the chosen answer (iterative RPO, arXiv:2404.19733)."""
    return -ls(beta * x.D) - alpha * x.mean_chosen


def gpo(x: Pairs, *, beta: float = 0.1, f: Convex = "logistic") -> Tensor:
    """f(βD) for a convex f (arXiv:2402.05749). The same β regularises differently strong across f."""
    z = beta * x.D
    convex: dict[str, Callable[[], Tensor]] = {
        "logistic": lambda: -ls(z),
        "exponential": lambda: torch.exp((-z).clamp(max=80)),
        "truncated_quadratic": lambda: torch.relu(1 - z) ** 2,
        "squared": lambda: (1 - z) ** 2,
        "hinge": lambda: torch.relu(1 - z),
        "savage": lambda: torch.sigmoid(-z) ** 2,
    }
    return convex[f]()


def f_dpo(x: Pairs, *, beta: float = 0.1, divergence: Divergence = "reverse_kl", alpha: float = 0.5) -> Tensor:
    """−ls(β (f'(e^u_c) − f'(e^u_r))) (arXiv:2309.16240); α in (0, 1) as in the paper. Exponents are bounded at 80."""
    if divergence == "reverse_kl":
        return -ls(beta * x.D)
    derivatives: dict[str, Callable[[Tensor], Tensor]] = {
        "forward_kl": lambda u: -torch.exp((-u).clamp(max=80)),
        "js": lambda u: log(2) + ls(u),
        "alpha": lambda u: (1 - torch.exp((-alpha * u).clamp(max=80))) / alpha,
    }
    derivative = derivatives[divergence]
    return -ls(beta * (derivative(x.u_c) - derivative(x.u_r)))


def sft(x: Pairs) -> Tensor:
    """−m_c: mean negative log-prob per token of the target, or of the chosen answer."""
    return -x.mean_chosen
