"""Metrics of training as sums that stay on the device: one copy to the host for each line of the log. Names are those of TRL."""

from __future__ import annotations

from math import exp
from typing import Any

import torch
from torch import Tensor

from prefdata.train.losses import Pairs, Unpaired

PERPLEXITY = "perplexity"
"""e to the mean of what is added under this name: the negative log-probs of tokens."""


class Tally:
    """Weighted sums by name; means over all rows and ranks since the last line, so that a short batch weighs what it holds."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, Tensor] = {}

    def add(self, name: str, values: Tensor, of: Tensor | None = None) -> None:
        """Values of rows; or sums over parts of rows, whose numbers are `of`."""
        values = values.detach().double()
        count = values.numel() if of is None else of.sum()
        self.sums[name] = self.sums.get(name, torch.zeros((), dtype=torch.float64, device=values.device)) + values.sum()
        self.counts[name] = self.counts.get(name, torch.zeros((), dtype=torch.float64, device=values.device)) + count

    def take(self, reduce: Any = None) -> dict[str, float]:
        """The means; then it is empty. `reduce` sums a tensor over the ranks (all of them have the same names)."""
        found = self.state(reduce)
        self.sums, self.counts = {}, {}
        means = {name: s / n for name, (s, n) in found.items() if n}
        return {name: exp(min(mean, 700.0)) if name == PERPLEXITY else mean for name, mean in means.items()}

    def state(self, reduce: Any = None) -> dict[str, tuple[float, float]]:
        """Sum and count of each name over the ranks."""
        if not self.sums:
            return {}
        names = sorted(self.sums)
        both = torch.stack([torch.stack([self.sums[n], self.counts[n]]) for n in names])
        both = both if reduce is None else reduce(both)
        return {name: (s, n) for name, (s, n) in zip(names, both.tolist(), strict=True)}

    def take_up(self, state: dict[str, tuple[float, float]], share: float, device: torch.device) -> None:
        """Go on from a state; `share` of it is this rank's."""
        for name, (s, n) in state.items():
            self.sums[name], self.counts[name] = torch.tensor([share * s, share * n], dtype=torch.float64, device=device).unbind()


class Worst:
    """The records with the highest losses of an epoch, by row. (Another epoch may see a row on another rank: what this rank knows of it
    would then be old.)"""

    def __init__(self, keep: int = 50) -> None:
        self.keep = keep
        self.epoch = 0
        self.losses: dict[int, float] = {}

    def begin(self, epoch: int) -> None:
        """Forget another epoch's."""
        if epoch != self.epoch:
            self.epoch, self.losses = epoch, {}

    def add(self, rows: Tensor, losses: Tensor) -> None:
        k = min(self.keep, len(losses))
        values, at = torch.topk(losses.detach().double(), k)
        for row, value in zip(rows[at].tolist(), values.tolist(), strict=True):
            self.losses[int(row)] = value
        if len(self.losses) > 4 * self.keep:
            self.losses = dict(self.top())

    def top(self) -> list[tuple[int, float]]:
        return sorted(self.losses.items(), key=lambda item: -item[1])[: self.keep]


def alarms(first: dict[str, float], now: dict[str, float], step: int, *, reference: bool) -> list[str]:
    """What looks wrong in a line of metrics, by the first line: words for the log. Without a reference rewards are log-probs, which fall
    by many points for many reasons."""
    out = []
    if reference and now.get("rewards/chosen", 0.0) < first.get("rewards/chosen", 0.0) - 1.0:
        words = "the model unlearns chosen answers too (rpo, dpop or dpo:1,sft:0.1 hold them)"
        out.append(f"the reward of chosen answers has fallen to {now['rewards/chosen']:.2f}: {words}")
    if now.get("rewards/accuracies", now.get("accuracy", 0.0)) >= 0.999 and step <= 50:
        out.append("every pair is ranked right after a few steps: look for a giveaway in the data ('prefdata validate')")
    return out


def of_pairs(tally: Tally, x: Pairs, beta: float, losses: Tensor, reference: bool, source: Tensor, sources: list[str]) -> None:
    """Rewards are β log-ratios, or β log-probs where there is no reference; a tie counts one half in accuracies. `source` numbers the
    sources of the rows, −1 is none."""
    c, r = (beta * x.u_c, beta * x.u_r) if reference else (beta * x.chosen, beta * x.rejected)
    margins = (c - r).detach()
    accuracy = (torch.sign(margins) + 1) / 2
    values = {
        "loss": losses,
        "rewards/chosen": c,
        "rewards/rejected": r,
        "rewards/margins": margins,
        "rewards/accuracies": accuracy,
        "logps/chosen": x.chosen,
        "logps/rejected": x.rejected,
        "saturated": (margins.abs() > 10).double(),
    }
    for name, value in values.items():
        tally.add(name, value)
    for i, name in enumerate(sources):
        tally.add(f"sources/{name}/accuracies", accuracy[source == i])
        tally.add(f"sources/{name}/margins", margins[source == i])


def of_sft(tally: Tally, logps: Tensor, lengths: Tensor, losses: Tensor) -> None:
    """Of single completions that are learnt as they are: there is nothing to compare them with."""
    tally.add("loss", losses)
    tally.add("logps/chosen", logps)
    tally.add(PERPLEXITY, -logps, lengths)


def of_unpaired(tally: Tally, x: Unpaired, beta: float, losses: Tensor) -> None:
    """Desirable completions as chosen, the others as rejected, as KTO's trainers name them."""
    tally.add("loss", losses)
    for name, mask in (("chosen", x.desirable), ("rejected", ~x.desirable)):
        tally.add(f"rewards/{name}", beta * x.u[mask])
        tally.add(f"logps/{name}", x.logps[mask])


def of_scores(tally: Tally, chosen: Tensor, rejected: Tensor, losses: Tensor, source: Tensor, sources: list[str]) -> None:
    """Of a reward model, as TRL names them, and by source."""
    margin = (chosen - rejected).detach()
    accuracy = (torch.sign(margin) + 1) / 2
    both = torch.cat([chosen, rejected])
    for name, value in {"loss": losses, "accuracy": accuracy, "margin": margin, "mean_reward": both}.items():
        tally.add(name, value)
    for i, name in enumerate(sources):
        tally.add(f"sources/{name}/accuracy", accuracy[source == i])
        tally.add(f"sources/{name}/margin", margin[source == i])
