"""A batch for one forward pass: every prompt once, its completions behind it, all in one row without padding.

    tokens      p p p c c c r r | p p c c r r r
    positions   0 1 2 3 4 5 3 4 | 0 1 2 3 2 3 4       a completion goes on where its prompt ends
    attention   a prompt sees itself, a completion its prompt and itself (`attention.py`)

Log-probs and gradients are those of one padded row per completion; only the prompt is computed once instead of once per completion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

Ids = np.ndarray[Any, np.dtype[np.int32]]


class Group(NamedTuple):
    """A prompt and its completions, as token ids; the completions end with their end-of-sequence token."""

    prompt: Ids
    completions: Sequence[Ids]


class Segment(NamedTuple):
    """Where a group lies in the row: `prompt` and `spans` are half-open ranges."""

    prompt: tuple[int, int]
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Packed:
    """T tokens of S completions, N of them scored. Completions are in order of groups."""

    ids: Tensor
    """[T]"""
    positions: Tensor
    """[T]"""
    plan: list[Segment]
    source: Tensor
    """[N] the place whose hidden state predicts a scored token; both completions of a prompt begin with its last place."""
    labels: Tensor
    """[N] the scored tokens"""
    owner: Tensor
    """[N] the completion of each"""
    lengths: Tensor
    """[S] number of completion tokens"""
    last: Tensor
    """[S] the place of the last token of each completion, where a reward model reads its score"""

    def to(self, device: torch.device) -> Packed:
        moved: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            moved[f.name] = value.to(device) if isinstance(value, Tensor) else value
        return Packed(**moved)


def packed(groups: Sequence[Group]) -> Packed:
    """Groups in one row."""
    ids, positions, plan = [], [], []
    source, lengths, last = [], [], []
    at = 0
    for prompt, completions in groups:
        begin, end = at, at + len(prompt)
        ids.append(prompt)
        positions.append(np.arange(len(prompt)))
        at, spans = end, []
        for c in completions:
            ids.append(c)
            positions.append(np.arange(len(prompt), len(prompt) + len(c)))
            places = np.arange(at - 1, at + len(c) - 1)
            places[0] = end - 1  # the prompt's last token predicts the first one
            source.append(places)
            spans.append((at, at + len(c)))
            at += len(c)
            lengths.append(len(c))
            last.append(at - 1)
        plan.append(Segment((begin, end), tuple(spans)))
    n = np.asarray(lengths)
    return Packed(
        _long(ids),
        _long(positions),
        plan,
        _long(source),
        _long([c for g in groups for c in g.completions]),
        torch.from_numpy(np.repeat(np.arange(len(n)), n)),
        torch.from_numpy(n),
        torch.tensor(last),
    )


def alone(groups: Sequence[Group]) -> list[Group]:
    """Every completion with a prompt of its own, for models whose layers mix along the row (or to check the shared layout)."""
    return [Group(g.prompt, [c]) for g in groups for c in g.completions]


def _long(parts: Sequence[Any]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts).astype(np.int64))


@dataclass(frozen=True)
class Padded:
    """One right-padded row per completion, as other trainers do: S rows of L places. For models that cannot be packed."""

    ids: Tensor
    """[S, L]"""
    mask: Tensor
    """[S, L] 1 where a token is"""
    source: Tensor
    """[N] the place, in the flat [S * L], that predicts a scored token"""
    labels: Tensor
    owner: Tensor
    lengths: Tensor
    last: Tensor
    """[S] the place of the last token of each completion, in the flat [S * L]"""

    def to(self, device: torch.device) -> Padded:
        return Padded(*(getattr(self, f.name).to(device) for f in fields(self)))


def padded(groups: Sequence[Group]) -> Padded:
    """Padding is token 0; the mask hides it."""
    pairs = [(g.prompt, c) for g in groups for c in g.completions]
    longest = max(len(p) + len(c) for p, c in pairs)
    ids = np.zeros((len(pairs), longest), np.int64)
    mask = np.zeros_like(ids)
    source, last = [], []
    for i, (p, c) in enumerate(pairs):
        ids[i, : len(p)], ids[i, len(p) : len(p) + len(c)] = p, c
        mask[i, : len(p) + len(c)] = 1
        source.append(i * longest + np.arange(len(p) - 1, len(p) + len(c) - 1))
        last.append(i * longest + len(p) + len(c) - 1)
    n = np.asarray([len(c) for _, c in pairs])
    owner = torch.from_numpy(np.repeat(np.arange(len(n)), n))
    tensors = torch.from_numpy(ids), torch.from_numpy(mask), _long(source), _long([c for _, c in pairs])
    return Padded(*tensors, owner, torch.from_numpy(n), torch.tensor(last))


Batch = Packed | Padded


def laid_out(groups: Sequence[Group], layout: str) -> Batch:
    """A batch in the layout `shared`, `packed` or `padded`."""
    if layout == "padded":
        return padded(groups)
    return packed(groups if layout == "shared" else alone(groups))
