"""Every option of `prefdata score`: one model for the command line, the Python API and recipes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, FiniteFloat

from prefdata.errors import UsageError
from prefdata.llm.options import ClientOptions, Listed
from prefdata.options import Kind


def weights(value: Any) -> Any:
    """`a=1,b=0.5` as a table."""
    if not isinstance(value, str):
        return value
    parts = [p.partition("=") for p in value.split(",") if p.strip()]
    if not all(name.strip() and equals for name, equals, _ in parts):
        raise ValueError("weights are written as helpfulness=1,verbosity=-0.3")
    return {name.strip(): weight.strip() for name, _, weight in parts}


class ScoreOptions(ClientOptions):
    """Who scores candidates, and how several numbers become one."""

    reward_model: Listed = Field(
        default_factory=list, description="Folder of a sequence classifier, or of an ensemble of them; several with commas."
    )
    implicit: str | None = Field(None, description="Folder of a policy whose implicit reward scores: beta (log pi - log pi_ref).")
    reference: str | None = Field(None, description="Folder of the policy's reference.")
    beta: float = Field(0.1, gt=0, description="Scale of implicit rewards, as in the policy's training.")
    per_token: bool = Field(False, description="Implicit rewards as means per token instead of sums.")
    reward_server: Listed = Field(
        default_factory=list, description="Server of a reward model (vLLM), as http://localhost:8000; several with commas share the load."
    )
    reward_api: Literal["score", "classify", "pooling"] = Field("classify", description="What of the server is asked: /classify and so on.")
    tokenizer: str | None = Field(
        None, description="Folder of the server's tokenizer: its chat template is applied here; without one the server's is."
    )
    judge: Listed = Field(
        default_factory=list, description="Judge that scores single answers, as rubric; NAME@MODEL gives it its own model."
    )
    grader: Listed = Field(default_factory=list, description="Grader file (JSON or YAML), or file.py:function with --allow-code.")
    allow_code: bool = Field(False, description="Let graders that are functions run.")
    ending: Literal["auto", "eos", "template"] = Field(
        "auto",
        description="Last token of a text, where a classifier is read: eos: the end-of-sequence token, as prefdata train does; template: "
        "whatever the chat template ends with; auto: eos for models that prefdata trained.",
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="Of local models; in bfloat16 a score depends on what else is in the batch."
    )
    batch_tokens: int | None = Field(None, ge=1, description="Tokens of one forward pass; default: what the device has room for.")
    aggregate: Literal["mean", "min", "uncertainty"] = Field(
        "mean", description="Several scorers, or members of an ensemble: their mean, their minimum, or mean - penalty x standard deviation."
    )
    penalty: float = Field(1.0, ge=0, description="uncertainty: how much a standard deviation of the scorers costs.")
    aspect_weights: Annotated[dict[str, FiniteFloat], BeforeValidator(weights)] = Field(
        default_factory=dict,
        description="Several outputs or aspects become their weighted sum, as helpfulness=1,verbosity=-0.3; default: mean.",
    )
    standardise: Literal["none", "prompt", "model"] = Field(
        "none", description="Each scorer's numbers as z-scores among the candidates of a prompt, or of the model that wrote them."
    )
    temperature: float | None = Field(None, ge=0, le=2, description="Temperature of judges; default: the judge's.")
    votes: int = Field(1, ge=1, le=1000, description="Answers of a judge per candidate, of which the mean counts; needs a temperature.")
    resample: int = Field(1, ge=0, le=20, description="Second tries of a judge's answer that says nothing clear or was cut off.")
    structured: Literal["text", "json_schema"] = Field("text", description="Form of a judge's answers, as in label.")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="Seed of a judge's second tries.")
    kind: Kind | None = Field(None, description="Kind of the records; default: seen from the columns.")
    limit: int | None = Field(None, ge=1, description="Read only the first N rows.")
    force: bool = Field(False, description="Score again even if OUT is up to date (what the journal has is not computed again).")


def together(o: ScoreOptions, kind: str) -> None:
    """Options that do not fit each other. Raises UsageError with everything that is wrong."""
    wrong = []
    if not (o.reward_model or o.implicit or o.reward_server or o.judge or o.grader):
        wrong.append("score by what? --reward-model FOLDER, --judge NAME, --grader FILE, --implicit POLICY or --reward-server URL")
    if (o.implicit is None) != (o.reference is None):
        wrong.append("--implicit POLICY and --reference REF go together: the reward is beta (log pi - log pi_ref)")
    if o.batch is not None:
        wrong.append(f"--batch {o.batch}: scores are not asked for in batch files; label has them (label --judge rubric)")
    if o.tokenizer is not None and o.reward_api == "score":
        wrong.append("--tokenizer: /score takes prompt and answer as two texts, without a template; leave it out, or --reward-api classify")
    if o.standardise == "model" and kind != "listwise":
        wrong.append(f"--standardise model: {kind} records do not say which model wrote an answer; listwise records do")
    if o.penalty != 1.0 and o.aggregate != "uncertainty":
        wrong.append("--penalty is for --aggregate uncertainty")
    if wrong:
        raise UsageError("\n".join(wrong))
