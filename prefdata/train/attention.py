"""Attention of the packed layout, as an attention function of transformers: a prompt sees itself, a completion its prompt and itself.

On a CPU it is one fused call per prompt and completion, so that no [T, T] mask exists; on a GPU it is one FlexAttention with a block mask
(which has no backward on CPUs in torch 2.13).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as sdpa

from prefdata.train.layout import Packed, Segment

NAME = "prefdata_packed"


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    plan: Sequence[Segment],
    mask: Any = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Query, key and value are [1, heads, T, D]; gives [1, T, heads, D]."""
    if mask is not None:
        out = _flex()(query, key, value, block_mask=mask, scale=scaling, enable_gqa=query.shape[1] != key.shape[1])
        return out.transpose(1, 2).contiguous(), None
    parts, seen = [], _seen(plan, query.dtype)
    grouped = query.shape[1] != key.shape[1]
    for (a, b), spans in plan:
        k, v = key[:, :, a:b], value[:, :, a:b]
        parts.append(sdpa(query[:, :, a:b], k, v, is_causal=True, scale=scaling, dropout_p=dropout, enable_gqa=grouped))
        for c, d in spans:
            keys, values = torch.cat([k, key[:, :, c:d]], 2), torch.cat([v, value[:, :, c:d]], 2)
            visible = seen.of(b - a, d - c)
            parts.append(sdpa(query[:, :, c:d], keys, values, attn_mask=visible, scale=scaling, dropout_p=dropout, enable_gqa=grouped))
    return torch.cat(parts, 2).transpose(1, 2).contiguous(), None


class _Seen(NamedTuple):
    """What completion tokens see, as numbers to add to scores, for the longest prompt and the longest completion. The mask of shorter ones
    is a view of it, fewer rows and columns that begin later; so all spans of all layers share one."""

    table: Tensor
    prompt: int

    def of(self, prompt: int, n: int) -> Tensor:
        """Of n tokens behind a prompt: 0 where they see, else -inf, [n, prompt + n]."""
        first = self.prompt - prompt
        return self.table[:n, first : first + prompt + n]


def _seen(plan: Sequence[Segment], dtype: torch.dtype) -> _Seen:
    prompt = max((b - a for (a, b), _ in plan), default=0)
    n = max((d - c for _, spans in plan for c, d in spans), default=0)
    return _band(-(-prompt // 256) * 256, -(-n // 256) * 256, dtype)  # in steps of 256, so that most batches find one


@lru_cache(maxsize=4)
def _band(prompt: int, n: int, dtype: torch.dtype) -> _Seen:
    return _Seen(torch.full((n, prompt + n), float("-inf"), dtype=dtype).triu_(prompt + 1), prompt)


def block_mask(batch: Packed) -> Any:
    """The FlexAttention mask of a batch on its device: same group, not later, and of other completions nothing."""
    from torch.nn.attention.flex_attention import create_block_mask

    n, device = len(batch.ids), batch.ids.device
    group, span = torch.empty(n, dtype=torch.int32), torch.full((n,), -1, dtype=torch.int32)
    for i, ((a, _), spans) in enumerate(batch.plan):
        group[a : spans[-1][1]] = i
        for j, (c, d) in enumerate(spans):
            span[c:d] = j
    group, span = group.to(device), span.to(device)

    def sees(b: Any, h: Any, q: Tensor, k: Tensor) -> Tensor:
        return (q >= k) & (group[q] == group[k]) & ((span[k] < 0) | (span[k] == span[q]))

    return create_block_mask(sees, None, None, n, n, device=device)


@lru_cache(maxsize=1)
def _flex() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True)


@contextmanager
def packed_attention(config: Any) -> Iterator[None]:
    """The model with this configuration attends by the plan while the block runs; after it, as before (it can generate)."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
