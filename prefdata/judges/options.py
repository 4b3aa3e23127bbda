"""Every option of `prefdata label`: one model for the command line, the Python API and recipes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from prefdata.llm.options import ClientOptions, Listed
from prefdata.options import Kind


def _two(value: Any) -> Any:
    """`0.4,0.6` as a pair of numbers."""
    return tuple(v.strip() for v in value.split(",")) if isinstance(value, str) else value


def _rising(value: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= value[0] <= value[1] <= 1 or abs(sum(value) - 1) > 1e-9:
        raise ValueError("two probabilities around 0.5, the lower one first, as 0.4,0.6")
    return value


Bounds = Annotated[tuple[float, float], BeforeValidator(_two), AfterValidator(_rising)]


class JudgeOptions(ClientOptions):
    """Who judges, how it is asked and how its answers are settled: what `label` and `eval judge` share."""

    judge: Listed = Field(
        default_factory=lambda: ["pairwise"],
        min_length=1,
        description="Judge ('prefdata list judges'), a YAML of one or of a jury, or rm:FOLDER (a local reward model); NAME@MODEL gives it "
        "a model of its own; several with commas are a jury.",
    )
    jury: Literal["majority", "weighted", "dawid-skene"] = Field("majority", description="How several judges become one verdict.")
    constitution: str | None = Field(None, description="Constitution whose principles are drawn, for judges that take one; default: ours.")
    order: Literal["both", "random", "given"] = Field(
        "both", description="Order of the answers: both (two calls; a flip is a tie), one that is drawn, or as the data has them."
    )
    votes: int = Field(1, ge=1, le=1000, description="Answers per question; above 1 the judge needs a temperature.")
    resample: int = Field(1, ge=0, le=20, description="Second tries of an answer that says nothing clear or was cut off.")
    flip: Literal["tie", "average"] = Field(
        "tie", description="Orders that disagree: a tie with p = 0.5, or the mean of both in logit space (needs log-probs)."
    )
    seed: int = Field(0, ge=0, le=2**63 - 1, description="Seed of every draw (principles, orders, second tries).")
    temperature: float | None = Field(None, ge=0, le=2, description="Temperature; default: the judge's.")
    logprobs: Literal["auto", "off"] = Field("auto", description="auto: ask for log-probs where the judge wants them; off: never.")
    structured: Literal["text", "json_schema"] = Field(
        "text", description="Form of the answers: a last line that is read strictly, or JSON by a schema where the server offers it."
    )
    clamp: Bounds | None = Field(
        None, description="Bounds for the probability of a judge that reasons first, as 0.4,0.6; default: the judge's."
    )
    min_p_valid: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Answers whose valid labels have less probability in all are counted: the model does not keep to the form.",
    )
    pairs: Literal["all", "adjacent", "best-worst"] = Field(
        "all", description="Comparisons of a list: all, or neighbours only; best-worst: compare all, decide on the two ends."
    )
    kind: Kind | None = Field(None, description="Kind of the records; default: seen from the columns.")
    limit: int | None = Field(None, ge=1, description="Read only the first N rows.")


class LabelOptions(JudgeOptions):
    """Who judges, and what becomes of what it says."""

    decide: Literal["none", "hard", "soft"] = Field(
        "none", description="none: append annotations; hard: write pairs of the decided; soft: pairs with p_chosen."
    )
    ties: Literal["drop", "soft"] = Field("drop", description="Ties under --decide soft: drop them (counted), or pairs with p_chosen 0.5.")
    gold: str | None = Field(None, description="Records whose labels are known: the judge labels them first, with the same journal.")
    min_agreement: float | None = Field(None, ge=0, le=1, description="Agreement with --gold below which nothing more is spent, as 0.75.")
    force: bool = Field(False, description="Label again even if OUT is up to date (replies of the journal are not asked again).")
