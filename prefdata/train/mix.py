"""The loss of a training: one or more losses with weights, their options checked before anything is loaded, and what they remember
between steps."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from prefdata.errors import UsageError
from prefdata.train.losses import LOSSES, OTHERS, Lists, Loss, Pairs, Unpaired, method_of, soft
from prefdata.train.losses.batches import beta_dpo_filter
from prefdata.train.losses.unpaired import kto_z0

MOMENTUM = 0.9


class Part(NamedTuple):
    """One loss of the mix."""

    name: str
    weight: float
    loss: Loss
    options: dict[str, Any]


class Mix:
    """Losses with weights. `state` is saved with checkpoints."""

    def __init__(self, parts: list[Part], seed: int = 0) -> None:
        self.parts = parts
        self.state: dict[str, float] = {"delta": 0.0, "mean": 0.0, "std": 0.0, "steps": 0.0}
        self.seed = seed

    @property
    def reference(self) -> bool:
        return any(p.loss.reference for p in self.parts)

    @property
    def coupled(self) -> bool:
        return any(p.loss.coupled for p in self.parts)

    @property
    def mismatched(self) -> bool:
        """Whether completions of other prompts are scored too (KTO's z0)."""
        return any(p.name == "kto" for p in self.parts)

    @property
    def margins(self) -> bool:
        """Whether pairs need a positive distance of their scores (odpo)."""
        return any(p.name == "odpo" for p in self.parts)

    @property
    def beta(self) -> float:
        """The factor of logged rewards: the first loss's beta."""
        first = self.parts[0]
        default = inspect.signature(first.loss.function).parameters.get("beta")
        return float(first.options.get("beta", default.default if default else 1.0))

    def at_start(self) -> float | None:
        """The loss when policy and reference are equal, None where nobody knows."""
        if any(p.loss.at_start is None for p in self.parts):
            return None
        wanted = 0.0
        for p in self.parts:
            assert p.loss.at_start is not None
            wanted += p.weight * p.loss.at_start(**{k: v for k, v in p.options.items() if k in ("beta", "tau")} if _takes(p) else {})
        return wanted

    def pairs(self, x: Pairs, p_chosen: Tensor | None) -> Tensor:
        """The loss of each pair."""
        total = torch.zeros_like(x.chosen)
        for part in self.parts:
            function = partial(part.loss.function, **part.options, **self._remembered(part, x))
            total = total + part.weight * (function(x) if p_chosen is None or part.name == "sft" else soft(function, x, p_chosen))
        return total

    def lists(self, x: Lists) -> Tensor:
        """The loss of each list; all have K candidates."""
        total = x.logps.new_zeros(x.logps.shape[:-1])
        for part in self.parts:
            total = total + part.weight * part.loss.function(x, **part.options)
        return total

    def unpaired(self, x: Unpaired, mismatched: Tensor | None, ref_mismatched: Tensor | None) -> Tensor:
        """The loss of each completion."""
        total = torch.zeros_like(x.logps)
        for part in self.parts:
            extra: dict[str, Any] = {}
            if part.name == "kto":
                assert mismatched is not None and ref_mismatched is not None
                extra["z0"] = kto_z0(mismatched, ref_mismatched)
            elif part.name == "bco-unpaired":
                extra["delta"] = self.state["delta"]
            total = total + part.weight * part.loss.function(x, **part.options, **extra)
        return total

    def _remembered(self, part: Part, x: Pairs) -> dict[str, Any]:
        if part.name == "bco":
            return {"delta": self.state["delta"]}
        if part.name == "beta-dpo" and not (self.state["steps"] and len(x.D)):
            return {"threshold": x.D.detach().mean()}  # nothing is known yet: beta as given, no filter
        if part.name == "beta-dpo":
            generator = torch.Generator().manual_seed(self.seed + int(self.state["steps"]))  # so that a resumed training draws the same
            keep = beta_dpo_filter(x.D.detach().cpu(), self.state["mean"], self.state["std"], generator=generator)
            return {"threshold": self.state["mean"], "keep": keep.to(x.chosen.device)}
        return {}

    def after_step(self, u_c: Tensor, u_r: Tensor) -> None:
        """Moves the running statistics by a step's log-ratios: means and standard deviations with momentum 0.9, corrected for their start
        at zero by beginning with the first step's values."""
        if not any(p.name in ("bco", "bco-unpaired", "beta-dpo") for p in self.parts):
            return
        both = torch.cat([u_c, u_r])
        margin = u_c - u_r if len(u_c) == len(u_r) else both
        now = {"delta": self.beta * float(both.mean()), "mean": float(margin.mean()), "std": float(margin.std(correction=0))}
        share = MOMENTUM if self.state["steps"] else 0.0
        self.state = {k: share * self.state[k] + (1 - share) * v for k, v in now.items()} | {"steps": self.state["steps"] + 1}


def _takes(part: Part) -> bool:
    """Whether the closed form has options."""
    return any(
        p.kind is not inspect.Parameter.VAR_KEYWORD for p in inspect.signature(part.loss.at_start or (lambda **_: 0)).parameters.values()
    )


def mix_of(weights: dict[str, float], arguments: dict[str, Any], rows: str, seed: int = 0) -> Mix:
    """The mix that the options name. Raises UsageError with every unknown loss, option and wrong kind of rows."""
    problems, parts, used = [], [], set[str]()
    for name, weight in weights.items():
        loss, other = LOSSES.get(name), OTHERS.get(name)
        if loss is None and other is not None:
            problems.append(f"--loss: {name} is not for this method: {other.why}")
            continue
        if loss is None:
            near = get_close_matches(name, LOSSES, n=1)
            problems.append(f"--loss: no loss is called {name!r}{f'; did you mean {near[0]}?' if near else ''} ('prefdata list losses')")
            continue
        if loss.rows != rows:
            on = f"{loss.rows} records ('train {method_of(loss)}')"
            problems.append(f"--loss: {name} is a loss of {on}, these are {rows} records")
        takes = options_of(loss)
        given = {k: _typed(k, v, takes[k], problems) for k, v in arguments.items() if k in takes}
        used |= given.keys()
        parts.append(Part(name, weight, loss, given))
    known = sorted({k for p in parts for k in options_of(p.loss)})
    for name in arguments.keys() - used:
        near = get_close_matches(name, known, n=1)
        problems.append(
            f"--loss-args: {'none of the losses has' if known else 'no loss has'} {name!r}{f'; did you mean {near[0]}?' if near else ''}"
        )
    if problems:
        raise UsageError("\n".join(problems))
    return Mix(parts, seed)


def options_of(loss: Loss) -> dict[str, Any]:
    """The options of a loss that users set, with their defaults. What may be a tensor (z0, delta, …) is given by the trainer."""
    found = inspect.signature(loss.function).parameters.values()
    return {p.name: p.default for p in found if p.kind is inspect.Parameter.KEYWORD_ONLY and "Tensor" not in str(p.annotation)}


def _typed(name: str, value: Any, default: Any, problems: list[str]) -> Any:
    if isinstance(default, str):
        return str(value)
    try:
        return float(value)
    except ValueError:
        problems.append(f"--loss-args: {name} is a number, not {value!r}")
        return default
