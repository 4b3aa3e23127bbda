"""Every option of `prefdata eval rm`: one model for the command line and the Python API."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, FiniteFloat

from prefdata.options import Options
from prefdata.sampling.score_options import weights


class EvalRmOptions(Options):
    """Which model gives the rewards, how texts become tokens, and which figures are asked for."""

    model: str = Field(
        description="Folder of a sequence classifier (a reward model), of an ensemble of them, or of a causal model: its rewards are "
        "beta (log pi - log pi_ref)."
    )
    reference: str | None = Field(
        None, description="Folder of the reference of a causal model; without one its rewards are beta log pi (reference-free)."
    )
    tokenizer: str | None = Field(None, description="Folder of the tokenizer; default: the model's.")
    beta: float = Field(0.1, gt=0, description="Scale of a causal model's rewards, as in its training.")
    per_token: bool = Field(False, description="A causal model's log-probs as means per token instead of sums (SimPO, ORPO).")
    head: int | None = Field(None, ge=0, description="Which output of a classifier with several is the reward, counted from 0.")
    aspect_weights: Annotated[dict[str, FiniteFloat], BeforeValidator(weights)] = Field(
        default_factory=dict,
        description="Several outputs become their weighted sum, as helpfulness=1,verbosity=-0.3; default: the weights of its training.",
    )
    aggregate: Literal["mean", "min", "uncertainty"] = Field(
        "mean", description="Members of an ensemble: their mean, their minimum, or mean - penalty x standard deviation."
    )
    penalty: float = Field(1.0, ge=0, description="uncertainty: how much a standard deviation of the members costs.")
    ending: Literal["auto", "eos", "template"] = Field(
        "auto",
        description="Last token of a text, where a classifier is read: eos: the end-of-sequence token, as prefdata train does; template: "
        "whatever the chat template ends with; auto: eos for models that prefdata trained, and for causal ones.",
    )
    max_length: int | None = Field(
        None, ge=2, description="Most tokens of prompt and answer, longer pairs are left out; default: what the model takes."
    )
    hard_labels: bool = Field(False, description="Take chosen as right also where records have p_chosen.")
    by: str | None = Field(None, description="Figures per value of a column (split, source) or of a key of meta (subset) as well.")
    min_accuracy: float | None = Field(None, ge=0, le=1, description="Accuracy below which the exit code is 1, as 0.7.")
    worst: int = Field(20, ge=0, description="Pairs with the lowest margins that the page shows.")
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="Of the computation; in bfloat16 a score depends on what else is in the batch."
    )
    micro_tokens: int = Field(16_384, ge=1, description="Tokens of one forward pass.")
    limit: int | None = Field(None, ge=1, description="Read only the first N rows.")
    force: bool = Field(False, description="Replace an output folder that something else wrote.")
