"""Losses that need the log-probs of tokens, or the distribution over the vocabulary. One completion is a tensor of shape [T] or [T, V]."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid as ls

from prefdata.train.losses.batch import Pairs


def sequence_logp(logits: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
    """Log-probs of the tokens, 0 where the mask is: logit − logsumexp, never log(softmax). [.., T, V] and [.., T] to [.., T]."""
    picked = logits.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    return torch.where(mask.bool(), picked - torch.logsumexp(logits, -1), torch.zeros_like(picked))


def ld_sum(tokens: Tensor, shorter: int, alpha: float) -> Tensor:
    """Sum of the first `shorter` log-probs and α times the sum of the rest (LD-DPO, arXiv:2409.06411): policy and reference are
    both summed so, then it is DPO; `shorter` is the length of the shorter completion of the pair."""
    return tokens[:shorter].sum() + alpha * tokens[shorter:].sum()


def wpo_weight(chosen: Tensor, rejected: Tensor) -> Tensor:
    """exp(mean log π(chosen)) exp(mean log π(rejected)) without gradient, the weight of the pair in DPO (arXiv:2406.11827, without
    the alignment of sampled and greedy tokens)."""
    return torch.exp(chosen.mean() + rejected.mean()).detach()


def sequence_kl(policy: Tensor, reference: Tensor) -> Tensor:
    """Σ_t KL(π_ref(·|y_<t) ‖ π(·|y_<t)) from logits [T, V]."""
    p, q = torch.log_softmax(reference, -1), torch.log_softmax(policy, -1)
    return (p.exp() * (p - q)).sum()


def tdpo(x: Pairs, kl_chosen: Tensor, kl_rejected: Tensor, *, beta: float = 0.1, alpha: float = 0.5, version: int = 2) -> Tensor:
    """TDPO1: −ls(β (D − (K_r − K_c))); TDPO2: −ls(β (D − α (K_r − K_c))) with K_c without gradient (arXiv:2404.11999)."""
    if version == 1:
        return -ls(beta * (x.D - (kl_rejected - kl_chosen)))
    return -ls(beta * (x.D - alpha * (kl_rejected - kl_chosen.detach())))


def cringe(logits: Tensor, tokens: Tensor, picked: Tensor) -> Tensor:
    """−log(e^s* / (e^s* + e^s_y)) per token of an undesirable completion, s* the logit of the token drawn in its place, [T]
    (arXiv:2211.05826); a whole loss adds it, times α, to the cross-entropy of desirable ones."""
    other, own = (logits.gather(-1, t.unsqueeze(-1)).squeeze(-1) for t in (picked, tokens))
    return -ls(other - own)


def pairwise_cringe(
    ce_chosen: Tensor,
    cringe_rejected: Tensor,
    chosen: Tensor,
    rejected: Tensor,
    *,
    alpha: float = 0.005,
    b: float = -10.0,
    tau: float = 10.0,
) -> Tensor:
    """σ((b − (log π(chosen) − log π(rejected)))/τ) [CE(chosen) + α cringe(rejected)] (arXiv:2312.16682). The gate has no gradient."""
    gate = torch.sigmoid((b - (chosen - rejected)) / tau).detach()
    return gate * (ce_chosen + alpha * cringe_rejected)
