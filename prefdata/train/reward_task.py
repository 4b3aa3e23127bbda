"""What a reward model learns from a row: scores of answers, Bradley–Terry for pairs, Plackett–Luce for lists, with one head or one per
aspect.

With aspects a row's loss is the mean over those of its aspects that somebody judged; the other heads learn nothing from it. The single
score of an answer is the weighted mean of its heads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from prefdata.train.layout import laid_out
from prefdata.train.losses.rewards import bradley_terry, plackett_luce_by
from prefdata.train.metrics import Tally, of_scores
from prefdata.train.ragged import Numbers, filled, filled_by_name, ordered_right, placed
from prefdata.train.store import Store
from prefdata.train.task import Columns, Part


class RewardTask:
    """Scores of pairs or lists, [B, K, H] for H heads. What is known of them is NaN where nobody said anything: for pairs `label`, the
    probability that chosen is better, per head; for lists `label`, the score of each candidate, per head."""

    coupled = referenced = False

    def __init__(
        self,
        store: Store,
        layout: str,
        *,
        kind: str,
        soft: bool = True,
        center: float = 0.0,
        aspects: dict[str, float] | None = None,
    ) -> None:
        self.store, self.layout, self.kind, self.center = store, layout, kind, center
        self.aspects = dict(aspects or {})
        self.heads = max(1, len(self.aspects))
        given = np.array(list(self.aspects.values()) or [1.0])
        self.shares = torch.from_numpy(given / given.sum())
        self.sources = sorted({s for s in store.texts("source") if s is not None})
        numbers = {s: float(i) for i, s in enumerate(self.sources)}
        sizes = np.diff(store.completion_offsets()[0])
        self.width = int(sizes.max())
        self.constants: dict[str, Numbers] = {
            "row": np.arange(store.size, dtype=np.float64),
            "weight": store.numbers("weight", 1.0),
            "source": np.array([numbers.get(s or "", -1.0) for s in store.texts("source")]),
            "size": sizes.astype(np.float64),
        }
        for i, values in enumerate(self._labels(soft)):
            self.constants |= {f"label{i}.{k}": values[:, k] for k in range(values.shape[1])}
        self.known = 1 if kind == "pair" else self.width
        if kind == "pair" and not self.aspects:
            self.constants["margin"] = store.numbers("margin", 0.0)

    def _labels(self, soft: bool) -> list[Numbers]:
        """By head: of pairs [rows, 1], of lists [rows, K]."""
        if not self.aspects and self.kind == "pair":
            return [(self.store.numbers("p_chosen", 1.0) if soft else np.ones(self.store.size))[:, None]]
        if not self.aspects:
            return [filled(self.store.table.column("scores"), self.width)]
        width = 1 if self.kind == "pair" else self.width
        found = [filled_by_name(self.store.table.column("aspects"), name, width) for name in self.aspects]
        return found if soft or self.kind != "pair" else [np.where(np.isnan(v), v, (np.sign(v - 0.5) + 1) / 2) for v in found]

    def part(self, rows: list[int], device: torch.device) -> Part:
        groups = [self.store.group(i) for i in rows]
        columns = {name: torch.from_numpy(values[rows]) for name, values in self.constants.items()}
        return Part(laid_out(groups, self.layout).to(device), {n: c.to(device) for n, c in columns.items()})

    def values(self, model: Any, part: Part) -> Tensor:
        """Scores in order of the row's completions, [B, K, H], zeros beyond a list's end."""
        return placed(model(batch=part.batch), part.columns["size"].long(), self.width)

    def losses(self, columns: Columns, values: Tensor, tally: Tally | None = None) -> Tensor:
        """One loss per row, times its weight."""
        values = values.double()
        single = values @ self.shares.to(values.device)
        each, present = [], []
        for h in range(self.heads):
            label = torch.stack([columns[f"label{h}.{k}"] for k in range(self.known)], 1)
            loss, there = (self._pair if self.kind == "pair" else self._list)(values[:, :, h], label, columns)
            each.append(torch.where(there, loss, 0.0))
            present.append(there)
            if tally is not None and self.aspects:
                self._count(tally, list(self.aspects)[h], values[there, :, h].detach(), label[there])
        count = torch.stack(present).sum(0)
        found = torch.stack(each).sum(0) / count.clamp(min=1)
        if tally is not None and self.kind == "pair":
            of_scores(tally, single[:, 0], single[:, 1], found, columns["source"], self.sources)
        elif tally is not None:
            tally.add("loss", found)
            if not self.aspects:
                self._count(tally, "", single.detach(), label)
        return found * columns["weight"]

    def _pair(self, scores: Tensor, label: Tensor, columns: Columns) -> tuple[Tensor, Tensor]:
        p, there = label[:, 0].nan_to_num(0.5), ~label[:, 0].isnan()
        return bradley_terry(scores[:, 0], scores[:, 1], margin=columns.get("margin"), p_chosen=p, center=self.center), there

    def _list(self, scores: Tensor, label: Tensor, _: Columns) -> tuple[Tensor, Tensor]:
        loss = plackett_luce_by(scores, label)
        if self.center:
            loss = loss + self.center * scores.sum(1) ** 2
        return loss, (label[:, :, None] > label[:, None, :]).any((1, 2))

    def _count(self, tally: Tally, aspect: str, scores: Tensor, label: Tensor) -> None:
        """Of an aspect (or of lists without any): the share of comparisons that the scores order as people did; ties in the labels are
        none."""
        prefix = f"aspects/{aspect}/" if aspect else ""
        if self.kind == "pair":
            label = torch.cat([label, 1 - label], 1)
        some = (label[:, :, None] > label[:, None, :]).any((1, 2))
        share, margin = ordered_right(scores[some], label[some])
        tally.add(f"{prefix}accuracy", share)
        tally.add(f"{prefix}margin", margin)

    def state(self) -> dict[str, float]:
        return {}

    def take_up(self, state: dict[str, float]) -> None:
        """Nothing was remembered."""

    def after_step(self) -> None:
        """Nothing is remembered between steps."""
