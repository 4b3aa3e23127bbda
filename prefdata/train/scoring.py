"""What a sequence classifier says of groups: the prompt of several answers is computed once, where that gives the model's own scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from prefdata.rewards.scores import Ints, Numbers, Room, forward, in_batches
from prefdata.rewards.texts import Text, shared
from prefdata.train.layout import Group, laid_out
from prefdata.train.load import LAYOUTS
from prefdata.train.model import scores

AGREE = {torch.float32: 1e-3, torch.bfloat16: 5e-2}
"""By which share of the largest score a layout may differ from the model's own forward."""


def group_of(texts: Sequence[Text]) -> Group:
    """Texts that begin alike as one group."""
    at = shared([t.ids for t in texts])
    return Group(texts[0].ids[:at], [t.ids[at:] for t in texts])


def texts_of(group: Group, typed: bool = False) -> list[Text]:
    """The group's texts, each whole. `typed`: answers are segments of their own."""
    at = len(group.prompt) if typed else None
    return [Text(np.concatenate([group.prompt, c]), len(c), at) for c in group.completions]


@torch.no_grad()
def layout_of(model: torch.nn.Module, groups: Sequence[Group], pad: int | None) -> str:
    """The fastest layout that gives the scores of the model's own forward on these texts, each alone; `own` when none does."""
    if not all(len(g.prompt) for g in groups):
        return "own"
    own = torch.from_numpy(np.concatenate([forward(model, [t], pad) for g in groups for t in texts_of(g)]))
    device, dtype = next(model.parameters()).device, next(model.parameters()).dtype
    for layout in LAYOUTS:
        try:
            found = scores(model, laid_out(groups, layout).to(device)).cpu()
        except (TypeError, ValueError, NotImplementedError, AttributeError):
            continue  # a model without places that could be told where its tokens stand
        if float((found - own).abs().max()) <= 1e-6 + AGREE[dtype] * float(own.abs().max()):
            return layout
    return "own"


@torch.no_grad()
def group_scores(
    model: torch.nn.Module,
    sizes: Ints,
    group: Callable[[int], Group],
    layout: str,
    room: Room,
    done: Callable[[list[int], Numbers], None],
) -> list[int]:
    """Score groups of so many tokens, `room` at a time. `done` gets the numbers of some groups and [answers, outputs], those of one group
    after those of another. Gives the groups that do not fit into memory."""
    device = next(model.parameters()).device

    def run(batch: list[int]) -> None:
        found = scores(model, laid_out([group(i) for i in batch], layout).to(device))
        done(batch, found.float().cpu().numpy())

    return in_batches(sizes, room, run, padded=False)
