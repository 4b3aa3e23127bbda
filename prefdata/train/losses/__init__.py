"""Every loss by name. A loss is a pure function; what the trainer has to provide stands in its entry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from torch import Tensor

from prefdata.train.losses import batches, lists, pairs, rewards, tokens, unpaired
from prefdata.train.losses.batch import Lists, Pairs, Unpaired


class Loss(NamedTuple):
    """A loss that needs sequence log-probs only: which rows it takes, and what else."""

    function: Callable[..., Tensor]
    rows: Literal["pair", "binary", "listwise"] = "pair"
    reference: bool = True
    """Whether it looks at the reference's log-probs."""
    coupled: bool = False
    """Whether the rows of a step depend on each other, or a running mean of whole steps is kept: then a step is seen whole."""
    at_start: Callable[..., float] | None = None
    """Its value when policy and reference are equal, by its options; None where that depends on the data."""


def _ln2(**_: Any) -> float:
    return 0.6931471805599453


LOSSES: dict[str, Loss] = {
    "dpo": Loss(pairs.dpo, at_start=_ln2),
    "sdpo": Loss(pairs.sdpo, at_start=_ln2),
    "robust": Loss(pairs.robust, at_start=_ln2),
    "ipo": Loss(pairs.ipo, at_start=lambda tau=0.1: 1 / (4 * tau**2)),
    "ipo-mean": Loss(pairs.ipo_mean, at_start=lambda tau=0.1: 1 / (4 * tau**2)),
    "hinge": Loss(pairs.hinge, at_start=lambda **_: 1.0),
    "slic": Loss(pairs.slic, reference=False),
    "rso": Loss(pairs.rso, at_start=_ln2),
    "dpop": Loss(pairs.dpop, at_start=_ln2),
    "beta-dpo": Loss(batches.beta_dpo, coupled=True, at_start=_ln2),
    "gpo": Loss(pairs.gpo),
    "r-dpo": Loss(pairs.r_dpo),
    "simpo": Loss(pairs.simpo, reference=False),
    "alphapo": Loss(pairs.alphapo, reference=False),
    "cpo": Loss(pairs.cpo, reference=False),
    "orpo": Loss(pairs.orpo, reference=False),
    "nca": Loss(pairs.nca, at_start=lambda **_: 2 * _ln2()),
    "bco": Loss(pairs.bco, coupled=True, at_start=lambda **_: 2 * _ln2()),
    "aot": Loss(batches.aot, coupled=True, at_start=_ln2),
    "aot-unpaired": Loss(batches.aot_unpaired, coupled=True, at_start=_ln2),
    "apo-zero": Loss(pairs.apo_zero, at_start=lambda **_: 1.0),
    "apo-down": Loss(pairs.apo_down, at_start=lambda **_: 1.0),
    "exo": Loss(pairs.exo),
    "discopop": Loss(pairs.discopop, at_start=lambda **_: 0.5 * _ln2() + 0.5),
    "f-dpo": Loss(pairs.f_dpo, at_start=_ln2),
    "sppo": Loss(pairs.sppo, at_start=lambda beta=0.1: 0.5 / beta**2),
    "odpo": Loss(pairs.odpo),
    "rpo": Loss(pairs.rpo),
    "wpo": Loss(pairs.wpo),
    "sigmoid-norm": Loss(pairs.sigmoid_norm, at_start=_ln2),
    "sft": Loss(pairs.sft, reference=False),
    "kto": Loss(unpaired.kto, rows="binary", coupled=True),
    "bco-unpaired": Loss(unpaired.bco_unpaired, rows="binary", coupled=True, at_start=_ln2),
    "dpo-pl": Loss(lists.dpo_pl, rows="listwise"),
    "infonca": Loss(lists.infonca, rows="listwise"),
    "nca-list": Loss(lists.nca_list, rows="listwise"),
    "exo-list": Loss(lists.exo_list, rows="listwise"),
    "lipo": Loss(lists.lipo, rows="listwise"),
    "pro": Loss(lists.pro_list, rows="listwise", reference=False),
}


class OtherLoss(NamedTuple):
    """A loss that `--loss` does not name: one of reward models, or a function that no training calls."""

    function: Callable[..., Any]
    method: str | None
    rows: str
    why: str


OTHERS: dict[str, OtherLoss] = {
    "bradley-terry": OtherLoss(rewards.bradley_terry, "rm", "pair", "what rm does on pairs"),
    "plackett-luce": OtherLoss(rewards.plackett_luce_by, "rm", "listwise", "what rm does on lists"),
    "odin": OtherLoss(rewards.odin, None, "pair", "needs a second head, for length"),
    "tdpo": OtherLoss(tokens.tdpo, None, "pair", "needs the distributions of policy and reference over the vocabulary"),
    "cringe": OtherLoss(tokens.cringe, None, "binary", "needs logits"),
    "pairwise-cringe": OtherLoss(tokens.pairwise_cringe, None, "pair", "needs logits"),
    "dro-v": OtherLoss(unpaired.dro_v, None, "binary", "needs a value model"),
    "rloo": OtherLoss(lists.rloo, None, "listwise", "for samples of the policy itself, drawn during training"),
}


def method_of(loss: Loss) -> str:
    """The `prefdata train` method that runs it."""
    return "kto" if loss.rows == "binary" else "dpo"


def soft(function: Callable[..., Tensor], x: Pairs, p_chosen: Tensor, **options: Any) -> Tensor:
    """The expected loss under soft labels: p L(chosen ≻ rejected) + (1 − p) L(rejected ≻ chosen). For DPO it is the cross-entropy between
    p and σ(βD)."""
    return p_chosen * function(x, **options) + (1 - p_chosen) * function(x.swapped(), **options)


__all__ = ["LOSSES", "OTHERS", "Lists", "Loss", "OtherLoss", "Pairs", "Unpaired", "method_of", "soft"]
