"""Log-probs of given tokens from hidden states, in chunks: the logits of the whole batch never exist."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK_NUMBERS = {"cpu": 1 << 22, "cuda": 1 << 27}
"""Logits that exist at a time: 16 MB in float32 on a CPU, near its caches and without fresh pages for every chunk; 512 MB on a GPU, where
each chunk reads and writes the whole gradient of the head's weight."""


class TokenLogps(torch.autograd.Function):
    """log softmax(h Wᵀ)[y] of N hidden states [N, H] and the head's weight [V, H]. The backward computes each chunk's logits again."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
        device = hidden.device.type
        ctx.dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        out = torch.empty(len(labels), dtype=torch.float32, device=hidden.device)
        lse = torch.empty_like(out)
        with torch.autocast(device, enabled=False):
            h, w = hidden.to(ctx.dtype), weight.to(ctx.dtype)
            for part in _chunks(labels, len(weight)):
                logits = (h[part] @ w.t()).float()
                lse[part] = torch.logsumexp(logits, -1)
                out[part] = logits.gather(1, labels[part, None]).squeeze(1) - lse[part]
        ctx.save_for_backward(hidden, weight, labels, lse)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        hidden, weight, labels, lse = ctx.saved_tensors
        h, w = hidden.to(ctx.dtype), weight.to(ctx.dtype)
        d_hidden = torch.empty_like(hidden)
        d_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device) if ctx.needs_input_grad[1] else None
        for part in _chunks(labels, len(weight)):
            p = (h[part] @ w.t()).float().sub_(lse[part, None]).exp_()
            p.scatter_add_(1, labels[part, None], p.new_full((len(p), 1), -1.0))
            p = p.mul_(-grad[part, None]).to(ctx.dtype)
            d_hidden[part] = (p @ w).to(hidden.dtype)
            if d_weight is not None and ctx.dtype == torch.float32:
                d_weight.addmm_(p.t(), h[part])
            elif d_weight is not None:
                d_weight += p.t() @ h[part]
        return d_hidden, None if d_weight is None else d_weight.to(weight.dtype), None


def chunk_numbers(device: str) -> int:
    """Logits that exist at a time on this type of device."""
    return CHUNK_NUMBERS["cpu" if device == "cpu" else "cuda"]


def _chunks(labels: Tensor, vocabulary: int) -> list[slice]:
    n, size = len(labels), max(64, chunk_numbers(labels.device.type) // vocabulary)
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]


def sums(tokens: Tensor, owner: Tensor, count: int) -> Tensor:
    """Token log-probs summed by completion, in float64: adding 250 tokens one by one in float32 is off by 1e-3 at 2,000 nats."""
    return torch.zeros(count, dtype=torch.float64, device=tokens.device).index_add(0, owner, tokens.double())
