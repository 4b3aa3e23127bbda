"""What is learnt from a row: how a model's answers become losses. A task turns rows into a batch with columns of constants, and columns
with the model's values into one loss per row; the trainer does not know more.

Values are [B, K]: K log-probs (or scores) per row. Columns are named, [B] each, in float64; both can be gathered over ranks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from prefdata.errors import UsageError
from prefdata.train.head import sums
from prefdata.train.layout import Batch, laid_out
from prefdata.train.losses import Pairs, Unpaired
from prefdata.train.metrics import Tally, of_pairs, of_sft, of_unpaired
from prefdata.train.mix import Mix
from prefdata.train.store import Store

Columns = dict[str, Tensor]
HARD = {
    "aot": "compares sorted margins and not pairs",
    "aot-unpaired": "compares sorted margins and not pairs",
    "odpo": "takes the scores' distance, which has no opposite",
}
"""Losses that have no soft labels, and why."""


class Part(NamedTuple):
    """Rows that one forward pass takes."""

    batch: Batch
    columns: Columns


class PolicyTask:
    """Losses of log-probs, of pairs (K = 2: chosen, rejected) or of single completions (K = 1, or 2 with a mismatched one for KTO)."""

    def __init__(
        self, store: Store, mix: Mix, layout: str, reference: Any = None, *, soft: bool = True, ld_alpha: float | None = None
    ) -> None:
        self.store, self.mix, self.layout, self.ld_alpha = store, mix, layout, ld_alpha
        self.paired = mix.parts[0].loss.rows == "pair"
        self.coupled, self.referenced = mix.coupled, reference is not None
        self.sources = sorted({s for s in store.texts("source") if s is not None})
        numbers = {s: float(i) for i, s in enumerate(self.sources)}
        self.constants = {
            "row": np.arange(store.size, dtype=np.float64),
            "weight": store.numbers("weight", 1.0),
            "source": np.array([numbers.get(s or "", -1.0) for s in store.texts("source")]),
        }
        p_chosen = store.numbers("p_chosen", 1.0)
        if self.paired and soft and (p_chosen < 1).any():
            for part in mix.parts:
                if part.name in HARD:
                    raise UsageError(f"--loss {part.name} {HARD[part.name]}, so it cannot use soft labels (p_chosen); add --hard-labels")
            self.constants["p_chosen"] = p_chosen
        if mix.margins:
            self.constants["margin"] = store.numbers("margin", 0.0)
        if not self.paired:
            self.constants["label"] = store.numbers("label", 0)
        self.reference = None if reference is None else self._summed(reference)

    def part(self, rows: list[int], device: torch.device) -> Part:
        groups = [self.store.group(i) for i in rows]
        columns = {name: torch.from_numpy(values[rows]) for name, values in self.constants.items()}
        for k in range(len(groups[0].completions)):
            columns[f"length{k}"] = torch.tensor([len(g.completions[k]) for g in groups], dtype=torch.float64)
            if self.reference is not None:
                columns[f"reference{k}"] = torch.from_numpy(self.reference[rows, k])
        return Part(laid_out(groups, self.layout).to(device), {n: c.to(device) for n, c in columns.items()})

    def values(self, model: Any, part: Part) -> Tensor:
        """Log-probs of the completions, [B, K] in float64."""
        tokens = model(batch=part.batch)
        if self.ld_alpha is not None:
            tokens = tokens * self._ld_weights(part.batch.lengths, part.batch.owner)
        rows = len(part.columns["weight"])
        return sums(tokens, part.batch.owner, len(part.batch.lengths)).view(rows, -1)

    def losses(self, columns: Columns, values: Tensor, tally: Tally | None = None) -> Tensor:
        """One loss per row, times its weight."""
        values = values.double()
        zeros = torch.zeros_like(values[:, 0])
        reference = [columns.get(f"reference{k}", zeros) for k in range(values.shape[1])]
        if self.paired:
            r = values.shape[1] - 1  # SFT has chosen answers alone
            x = Pairs(values[:, 0], values[:, r], reference[0], reference[r], columns["length0"], columns[f"length{r}"])
            if "margin" in columns:
                x = replace(x, score_chosen=columns["margin"], score_rejected=zeros)
            found = self.mix.pairs(x, columns.get("p_chosen"))
            if tally is not None and not r:
                of_sft(tally, values[:, 0], columns["length0"], found)
            elif tally is not None:
                of_pairs(tally, x, self.mix.beta, found, self.referenced, columns["source"], self.sources)
            self._seen = x.u_c.detach(), x.u_r.detach()
        else:
            y = Unpaired(values[:, 0], reference[0], columns["label"].bool())
            other = (values[:, 1].detach(), reference[1]) if values.shape[1] > 1 else (None, None)
            found = self.mix.unpaired(y, *other)
            if tally is not None:
                of_unpaired(tally, y, self.mix.beta, found)
            self._seen = y.u.detach()[y.desirable], y.u.detach()[~y.desirable]
        return found * columns["weight"]

    def state(self) -> dict[str, float]:
        """What the losses remember between steps."""
        return self.mix.state

    def take_up(self, state: dict[str, float]) -> None:
        """Go on with what was remembered."""
        self.mix.state = dict(state)

    def after_step(self) -> None:
        self.mix.after_step(*self._seen)

    def _summed(self, tokens: Any) -> Any:
        """The reference's log-probs of completions, [rows, K], from those of tokens."""
        weights = None if self.ld_alpha is None else self._ld_weights
        found, ends = summed(tokens, weights)
        return found.view(len(ends) - 1, -1).numpy()

    def _ld_weights(self, lengths: Tensor, owner: Tensor) -> Tensor:
        """1 for the tokens up to the length of the pair's shorter completion, α beyond (LD-DPO)."""
        shorter = lengths.view(-1, 2).min(1).values.repeat_interleave(2)
        place = torch.arange(len(owner), device=owner.device) - (lengths.cumsum(0) - lengths)[owner]
        return torch.where(place < shorter[owner], 1.0, float(self.ld_alpha or 0.0))


def summed(tokens: Any, weights: Any = None) -> tuple[Tensor, Any]:
    """Log-probs of all completions, one after the other, from list<list<float32>> of their tokens; and where each row's begin. `weights` of
    the tokens are a function of the completions' lengths and each token's completion."""
    flat = tokens.combine_chunks() if hasattr(tokens, "combine_chunks") else tokens
    ends, inner = flat.offsets.to_numpy(), flat.values
    values = torch.from_numpy(inner.values.to_numpy().copy())
    lengths = torch.from_numpy(np.diff(inner.offsets.to_numpy()))
    owner = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    if weights is not None:
        values = values * weights(lengths, owner)
    return sums(values, owner, len(lengths)), ends


def gathered(values: Tensor, columns: Columns, accelerator: Any) -> tuple[Tensor, Columns, slice]:
    """Values and columns of all ranks, in order of ranks, and where this rank's are."""
    if accelerator.num_processes == 1:
        return values, columns, slice(0, len(values))
    counts = accelerator.gather(torch.tensor([len(values)], device=values.device)).tolist()
    names = sorted(columns)
    table = torch.cat([values, torch.stack([columns[n] for n in names], 1)], 1)
    table = accelerator.gather(torch.nn.functional.pad(table, (0, 0, 0, max(counts) - len(table))))
    table = torch.cat([rows[:n] for rows, n in zip(table.split(max(counts)), counts, strict=True)])
    before = sum(counts[: accelerator.process_index])
    k = values.shape[1]
    return table[:, :k], {n: table[:, k + i] for i, n in enumerate(names)}, slice(before, before + len(values))
