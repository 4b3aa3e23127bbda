"""What a policy learns from a list: losses of the log-probs of K candidates and of their scores (or ranks)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from prefdata.train.head import sums
from prefdata.train.layout import laid_out
from prefdata.train.losses import Lists
from prefdata.train.metrics import Tally
from prefdata.train.mix import Mix
from prefdata.train.ragged import filled, ordered_right, placed
from prefdata.train.store import Store
from prefdata.train.task import Columns, Part, summed


class ListTask:
    """Losses of lists. Candidates without a score are left out of the loss; lists of equal length are computed together."""

    coupled = False

    def __init__(self, store: Store, mix: Mix, layout: str, reference: Any = None) -> None:
        self.store, self.mix, self.layout = store, mix, layout
        ends, _ = store.completion_offsets()
        sizes = np.diff(ends)
        self.width = int(sizes.max())
        self.constants = {
            "row": np.arange(store.size, dtype=np.float64),
            "weight": store.numbers("weight", 1.0),
            "size": sizes.astype(np.float64),
        }
        scores = filled(store.table.column("scores"), self.width)
        self.constants |= {f"score{k}": scores[:, k] for k in range(self.width)}
        self.referenced = reference is not None
        if reference is not None:
            found = placed(summed(reference)[0], torch.from_numpy(sizes.copy()), self.width).numpy()
            self.constants |= {f"reference{k}": found[:, k] for k in range(self.width)}

    def part(self, rows: list[int], device: torch.device) -> Part:
        groups = [self.store.group(i) for i in rows]
        columns = {name: torch.from_numpy(values[rows]) for name, values in self.constants.items()}
        for k in range(self.width):
            columns[f"length{k}"] = torch.tensor([len(g.completions[k]) if k < len(g.completions) else 1 for g in groups]).double()
        return Part(laid_out(groups, self.layout).to(device), {n: c.to(device) for n, c in columns.items()})

    def values(self, model: Any, part: Part) -> Tensor:
        """Log-probs of the candidates, [B, K] in float64, zeros beyond a list's end."""
        found = sums(model(batch=part.batch), part.batch.owner, len(part.batch.lengths))
        return placed(found, part.columns["size"].long(), self.width)

    def losses(self, columns: Columns, values: Tensor, tally: Tally | None = None) -> Tensor:
        """One loss per list, times its weight."""
        values = values.double()
        scores, lengths = (torch.stack([columns[f"{name}{k}"] for k in range(self.width)], 1) for name in ("score", "length"))
        reference = torch.zeros_like(values)
        if self.referenced:
            reference = torch.stack([columns[f"reference{k}"] for k in range(self.width)], 1)
        scored = ~scores.isnan()
        found = values[:, 0] * 0  # of a rank without rows, too, gradients can be taken
        counts = scored.sum(1)
        for n in sorted(set(counts.tolist())):
            rows = torch.nonzero(counts == n)[:, 0]
            here = scored[rows]
            x = Lists(*(t[rows][here].view(-1, n) for t in (values, reference, scores, lengths)))
            found = found.index_put((rows,), self.mix.lists(x))
        if tally is not None:
            self._count(tally, self.mix.beta * (values - reference).detach(), values.detach(), scores, found)
        return found * columns["weight"]

    def _count(self, tally: Tally, rewards: Tensor, logps: Tensor, scores: Tensor, losses: Tensor) -> None:
        """As of pairs: chosen is the best candidate, rejected the worst; accuracies are over all ordered pairs of candidates."""
        share, margin = ordered_right(rewards, scores)
        best = torch.where(scores.isnan(), -torch.inf, scores).argmax(1, keepdim=True)
        worst = torch.where(scores.isnan(), torch.inf, scores).argmin(1, keepdim=True)
        values = {
            "loss": losses,
            "rewards/accuracies": share,
            "rewards/margins": margin,
            "rewards/chosen": rewards.gather(1, best),
            "rewards/rejected": rewards.gather(1, worst),
            "logps/chosen": logps.gather(1, best),
            "logps/rejected": logps.gather(1, worst),
        }
        for name, value in values.items():
            tally.add(name, value)

    def state(self) -> dict[str, float]:
        return {}

    def take_up(self, state: dict[str, float]) -> None:
        """Nothing was remembered."""

    def after_step(self) -> None:
        """Nothing is remembered between steps."""
