"""What a forward pass keeps, next to the estimate; the mask that all spans share; how many tokens a CPU takes at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prefdata.train import memory
from prefdata.train.attention import _seen
from prefdata.train.layout import Group, Segment, laid_out
from prefdata.train.model import token_logps
from tests.train import tiny


def kept(model: torch.nn.Module, groups: list[Group], bf16: bool) -> tuple[int, int]:
    """Bytes that the forward pass saves for the backward one beside the weights, and its tokens."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    seen: dict[int, tuple[int, torch.Tensor]] = {}

    def pack(t: torch.Tensor) -> torch.Tensor:
        storage = t.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage.nbytes(), t
        return t

    batch = laid_out(groups, "shared")
    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t)
    with hooks, torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        token_logps(model, batch)
    return sum(n for n, _ in seen.values()), len(batch.ids)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_activations_are_what_is_estimated(bf16: bool, family: str) -> None:
    rng = np.random.default_rng(0)

    def tokens(n: int) -> np.ndarray:
        return rng.integers(5, 300, n).astype(np.int32)

    model = tiny.model(family, 300, hidden=128, layers=3)
    found, n = kept(model, [Group(tokens(300), [tokens(150), tokens(100)]) for _ in range(2)], bf16)
    said = memory.estimate(model, n, bytes_per_number=2 if bf16 else 4, checkpointing=False)
    assert said.activations == pytest.approx(found, rel=0.2)


def test_one_mask_serves_all_spans() -> None:
    """Token i behind a prompt of P sees the prompt and the tokens up to itself, whatever longer ones the mask was made for."""
    plan = [Segment((0, 5), ((5, 8), (8, 15))), Segment((15, 315), ((315, 335), (335, 592)))]
    seen = _seen(plan, torch.float32)
    for (a, b), spans in plan:
        for c, d in spans:
            here = seen.of(b - a, d - c)
            wanted = [[0.0 if j <= b - a + i else -torch.inf for j in range(b - a + d - c)] for i in range(d - c)]
            assert here.tolist() == wanted


def test_tokens_of_a_forward_pass() -> None:
    """A tiny model gets the most; a larger one what keeps 128 MB of activations, 1,024 tokens at least; coupled losses a whole step."""
    small, large = tiny.model("qwen2", 300, hidden=32), tiny.model("qwen2", 300, hidden=512, layers=8)
    cpu = torch.device("cpu")
    assert memory.tokens_at_a_time(small, cpu, bytes_per_number=4, coupled=False) == 16_384
    assert memory.tokens_at_a_time(large, cpu, bytes_per_number=4, coupled=False) == 1_024
    assert memory.tokens_at_a_time(large, cpu, bytes_per_number=4, coupled=True) == 16_384
