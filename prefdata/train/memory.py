"""How much memory a training takes, before it takes it: what --dry-run says, and what decides about gradient checkpointing."""

from __future__ import annotations

import os
from functools import partial
from typing import Any, NamedTuple

import torch

from prefdata.train.head import chunk_numbers

TOKENS = (16_384, 8_192, 4_096, 2_048)
"""Tokens of one forward pass, the most first."""
CPU_ACTIVATIONS = 1 << 27
"""Bytes."""
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
    says. A decoder layer keeps about 14 hidden and 4 intermediate numbers a token (counted with `saved_tensors_hooks` on Qwen2, float32 and
    bfloat16); under autocast 6 of the 14 stay float32, and so does a copy of each weight in the narrower type. A checkpointed layer keeps
    its input alone."""
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    hidden, layers = config.hidden_size, config.num_hidden_layers
    inner = getattr(config, "intermediate_size", 4 * hidden)
    per_token = (24 + 8 * bytes_per_number) * hidden + 4 * bytes_per_number * inner
    kept = layers * hidden * 4 + per_token if checkpointing else layers * per_token
    if trained is None:
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    copies = sum(p.numel() * bytes_per_number for p in model.parameters() if p.element_size() == 4 > bytes_per_number)
    logits = 3 * 4 * chunk_numbers(next(model.parameters()).device.type)
    return Estimate(weights, trained * STATES, tokens * kept + copies, logits)


def tokens_at_a_time(
    model: Any, device: torch.device, *, bytes_per_number: int, coupled: bool, checkpointing: str = "auto", trained: int | None = None
) -> int:
    """The default of --micro-tokens. On a CPU few tokens are as fast as many, unless the model is so small that calls cost more than
    numbers: as many as keep activations within CPU_ACTIVATIONS, at least 1,024 (but a step of several micro-batches is run twice for losses
    that couple records). On a GPU as many as it holds, rather without than with checkpointing. Its total memory counts and not the free
    one, so that a resumed training runs the same micro-batches."""
    needed = partial(estimate, model, bytes_per_number=bytes_per_number, trained=trained)
    if device.type != "cuda":
        fit = [n for n in (*TOKENS, 1_024) if needed(n, checkpointing=False).activations <= CPU_ACTIVATIONS]
        return TOKENS[0] if coupled else next(iter(fit), 1_024)
    room = 0.9 * torch.cuda.get_device_properties(device).total_memory
    for c in {"on": (True,), "off": (False,)}.get(checkpointing, (False, True)):
        for tokens in TOKENS:
            if needed(tokens, checkpointing=c).total <= room:
                return tokens
    return TOKENS[-1]


def available(device: torch.device) -> int:
    """Free bytes of the device: of a GPU, or of this machine."""
    if device.type == "cuda":
        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
