"""Draws of tokens that do not depend on what else is in the batch.

argmax over tokens of log p + g, with g from the standard Gumbel distribution, is a draw from p (Gumbel-max). Each row has its own
generator, seeded by its request; transformers' own multinomial draws for all rows from one, so that a row's text depends on its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

SMALLEST = 2.0**-25
"""Of the exponential variates: torch's may be 0 in 32 bits, which would make a token certain."""


class Gumbel(LogitsProcessor):  # type: ignore[misc]
    """Adds Gumbel noise, row by row; call it once per step and take the argmax. `seeds`: one of 64 bits for each row."""

    def __init__(self, seeds: Sequence[int], device: Any) -> None:
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """scores: [rows, vocabulary], the logits after temperature, top-k and top-p; -inf stays -inf."""
        noise = torch.empty(scores.shape, dtype=torch.float32, device=scores.device)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores.float() - noise.clamp_(min=SMALLEST).log_()


def processors(temperature: float, top_k: int | None, top_p: float, seeds: Sequence[int], device: Any) -> LogitsProcessorList:
    """What turns logits into scores whose argmax is the next token. At temperature 0: nothing, the likeliest token is taken."""
    out = LogitsProcessorList()
    if temperature == 0:
        return out
    if temperature != 1:
        out.append(TemperatureLogitsWarper(temperature))
    if top_k is not None:
        out.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        out.append(TopPLogitsWarper(top_p))
    out.append(Gumbel(seeds, device))
    return out


class Ends(StoppingCriteria):  # type: ignore[misc]
    """Rows end at their own most tokens, or when a stop text is written. `began` is the length of the padded prompts."""

    def __init__(self, began: int, most: Sequence[int], stop: Sequence[str], decode: Callable[[list[int]], str], device: Any) -> None:
        self._began, self._most, self._stop, self._decode = began, torch.tensor(most, device=device), tuple(stop), decode
        self._ended = torch.zeros(len(most), dtype=torch.bool, device=device)
        # a token is one byte at least; the first of a slice may be half a character
        self._tail = max((len(s.encode()) for s in stop), default=0) + 4
        self.steps = 0

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        self.steps = input_ids.shape[1] - self._began
        self._ended |= self._most <= self.steps
        if self._stop:
            tails = input_ids[:, max(self._began, input_ids.shape[1] - self._tail) :].tolist()
            hit = [any(s in text for s in self._stop) for text in map(self._decode, tails)]
            self._ended |= torch.tensor(hit, device=self._ended.device)
        return self._ended
