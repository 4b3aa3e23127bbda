"""How much memory a training takes, before it takes it: what --dry-run says, and what decides about gradient checkpointing."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import torch

STATES = 12
"""Bytes per trained weight beside the weight: gradient and two moments of AdamW in float32."""


class Estimate(NamedTuple):
    """Bytes."""

    weights: int
    states: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        return sum(self)

    def words(self) -> str:
        parts = ", ".join(f"{name} {value / 2**30:.2f}" for name, value in self._asdict().items())
        return f"{self.total / 2**30:.2f} GiB ({parts})"


def estimate(model: Any, tokens: int, *, bytes_per_number: int, checkpointing: bool, trained: int | None = None) -> Estimate:
    """Of one process that runs `tokens` tokens at a time, and trains all weights that have gradients, or as many new ones as `trained`
    says. Activations are counted from the shapes of a decoder layer: its inputs and the
    outputs of its projections, about (14 hidden + 3 intermediate) numbers a token; a checkpointed layer keeps its input alone."""
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    hidden, layers = config.hidden_size, config.num_hidden_layers
    inner = getattr(config, "intermediate_size", 4 * hidden)
    per_token = 14 * hidden + 3 * inner
    kept = layers * hidden + per_token if checkpointing else layers * per_token
    if trained is None:
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return Estimate(weights, trained * STATES, tokens * kept * bytes_per_number, 3 * (1 << 26))


def available(device: torch.device) -> int:
    """Free bytes of the device: of a GPU, or of this machine."""
    if device.type == "cuda":
        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
