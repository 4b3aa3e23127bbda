"""What a reward model learns from a row: scores of answers, Bradley–Terry for pairs, Plackett–Luce for lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from prefdata.train.layout import laid_out
from prefdata.train.losses.rewards import bradley_terry, plackett_luce
from prefdata.train.metrics import Tally, of_scores
from prefdata.train.store import Store
from prefdata.train.task import Columns, Part


class RewardTask:
    """Scores of pairs, [B, 2]; or of lists, [B, K] with places beyond a list's end masked by the column `size`."""

    coupled = False

    def __init__(self, store: Store, layout: str, *, kind: str, soft: bool = True, center: float = 0.0) -> None:
        self.store, self.layout, self.kind, self.center = store, layout, kind, center
        self.sources = sorted({s for s in store.texts("source") if s is not None})
        numbers = {s: float(i) for i, s in enumerate(self.sources)}
        self.constants = {
            "row": np.arange(store.size, dtype=np.float64),
            "weight": store.numbers("weight", 1.0),
            "source": np.array([numbers.get(s or "", -1.0) for s in store.texts("source")]),
        }
        if kind == "pair":
            self.constants["margin"] = store.numbers("margin", 0.0)
        if kind == "pair" and soft:
            self.constants["p_chosen"] = store.numbers("p_chosen", 1.0)

    def part(self, rows: list[int], device: torch.device) -> Part:
        groups = [self.store.group(i) for i in rows]
        columns = {name: torch.from_numpy(values[rows]) for name, values in self.constants.items()}
        columns["size"] = torch.tensor([len(g.completions) for g in groups], dtype=torch.float64)
        return Part(laid_out(groups, self.layout).to(device), {n: c.to(device) for n, c in columns.items()})

    def values(self, model: Any, part: Part) -> Tensor:
        """Scores in order of the row's completions, [B, K]."""
        found = model(batch=part.batch)[:, 0]
        sizes = part.columns["size"].long()
        out = found.new_zeros(len(sizes), int(sizes.max()))
        real = torch.arange(out.shape[1], device=out.device) < sizes[:, None]
        placed: Tensor = out.masked_scatter(real, found)
        return placed

    def losses(self, columns: Columns, values: Tensor, tally: Tally | None = None) -> Tensor:
        """One loss per row, times its weight."""
        values = values.double()
        if self.kind == "pair":
            chosen, rejected = values.unbind(1)
            found = bradley_terry(chosen, rejected, margin=columns["margin"], p_chosen=columns.get("p_chosen"), center=self.center)
            if tally is not None:
                of_scores(tally, chosen, rejected, found, columns["source"], self.sources)
        else:
            found = plackett_luce(values, torch.arange(values.shape[1], device=values.device) < columns["size"][:, None])
            if tally is not None:
                tally.add("loss", found)
        return found * columns["weight"]

    def state(self) -> dict[str, float]:
        return {}

    def take_up(self, state: dict[str, float]) -> None:
        """Nothing was remembered."""

    def after_step(self) -> None:
        """Nothing is remembered between steps."""
