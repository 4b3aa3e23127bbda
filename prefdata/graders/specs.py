"""What a grader file may say. `string_check` to `multi` are OpenAI's grader objects, the others are ours in the same shape."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from prefdata.graders.template import Template
from prefdata.options import Options

ANSWER = "{{ sample.output_text }}"
Metric = Literal[
    "fuzzy_match", "bleu", "gleu", "meteor", "cosine", "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l"
]  # fmt: skip


class Spec(Options):
    """What all graders have."""

    name: str | None = Field(None, description="What the grader is called in annotations.")
    invalid_grade: float | None = Field(
        None, allow_inf_nan=False, description="The score of an answer that lacks the form that is graded (no JSON, no final answer)."
    )


class Documented(Spec):
    """OpenAI's own. What makes an answer pass is for its evals; scores do not change with it."""

    pass_threshold: float | None = Field(None, description="Kept for other tools; it changes no score.")


class StringCheck(Documented):
    """1 when the input is (ne: is not) the reference, or contains it (like; ilike: in any case); else 0."""

    type: Literal["string_check"] = "string_check"
    input: Template
    reference: Template
    operation: Literal["eq", "ne", "like", "ilike"]


class Timed(Spec):
    """Graded in a process of its own."""

    timeout: float = Field(10.0, gt=0, le=3600, description="Most seconds for one answer.")
    memory_mb: int = Field(2048, ge=64, description="Most memory of the process.")


def _local(metric: str) -> str:
    if metric == "cosine":
        raise ValueError(
            "cosine compares embeddings of OpenAI's text-embedding-3-large, which prefdata does not ask for; "
            "take rouge_l or fuzzy_match, or a score_model grader for meaning"
        )
    return metric


class TextSimilarity(Documented, Timed):
    """How alike input and reference are, from 0 to 1: fuzzy_match (rapidfuzz), bleu, gleu, meteor, rouge_1 to rouge_5, rouge_l."""

    type: Literal["text_similarity"] = "text_similarity"
    input: Template
    reference: Template
    evaluation_metric: Annotated[Metric, AfterValidator(_local)]


class Text(Options):
    """A text block of a message."""

    type: Literal["input_text", "output_text", "text"] = "input_text"
    text: Template


def _blocks(content: Any) -> Any:
    """A text, a block or a list of them as a list of blocks."""
    blocks = [{"text": b} if isinstance(b, str) else b for b in (content if isinstance(content, list) else [content])]
    for block in blocks:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind in ("input_image", "input_audio", "image_url"):
            raise ValueError(f"{kind}: graders here see text only")
    return blocks


class Message(Options):
    """A message to the grader model."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[list[Text], BeforeValidator(_blocks), Field(min_length=1)]


class Sampling(Options):
    """How the grader model is sampled."""

    seed: int | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_completions_tokens: int | None = Field(None, ge=1)
    max_tokens: int | None = Field(None, ge=1, description="An older name of max_completions_tokens.")
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None


class Asks(Documented):
    """Asks a model."""

    model: Annotated[str, Field(min_length=1)]
    input: Annotated[list[Message], Field(min_length=1)]
    sampling_params: Sampling = Field(default_factory=Sampling)


class ScoreModel(Asks):
    """A number that a model gives, cut to the range."""

    type: Literal["score_model"] = "score_model"
    range: tuple[float, float] = (0.0, 1.0)

    @model_validator(mode="after")
    def _ordered(self) -> ScoreModel:
        if not self.range[0] < self.range[1]:
            raise ValueError("range: goes from the lowest to the highest score")
        return self


class LabelModel(Asks):
    """1 when a model gives one of the passing labels, 0 for another label."""

    type: Literal["label_model"] = "label_model"
    labels: Annotated[list[str], Field(min_length=2)]
    passing_labels: Annotated[list[str], Field(min_length=1)]

    @model_validator(mode="after")
    def _subset(self) -> LabelModel:
        wrong = [x for x in self.passing_labels if x not in self.labels]
        if wrong or len(set(self.labels)) < len(self.labels):
            raise ValueError(f"passing_labels: {wrong} are no labels" if wrong else "labels: one stands there twice")
        return self


class Multi(Documented):
    """A formula over the scores of several graders: + - * / ^, min, max, abs, floor, ceil, exp, sqrt, log."""

    type: Literal["multi"] = "multi"
    graders: Annotated[dict[str, Any], Field(min_length=1)]
    calculate_output: str


class MathAnswer(Timed):
    """1 when the final answer is mathematically equal to the reference (math-verify, SymPy), else 0."""

    type: Literal["math_answer"] = "math_answer"
    input: Template = ANSWER
    reference: Template
    boxed: bool = Field(False, description="Only what stands in \\boxed{} is a final answer; else the last expression is.")
    digits: int = Field(6, ge=1, le=50, description="Decimals that are compared.")


def bits(flags: str) -> int:
    """Flags of `re` by their letters."""
    return sum(getattr(re, f.upper()) for f in set(flags))


class Regex(Timed):
    """1 when the pattern (Python's `re`) matches somewhere in the input, else 0; with `group`, when that group is the reference."""

    type: Literal["regex"] = "regex"
    input: Template = ANSWER
    pattern: str
    flags: Annotated[str, Field(pattern="^[imsx]*$")] = Field(
        "", description="i: any case, m: ^ and $ at lines, s: . takes line ends, x: spaces."
    )
    match: Literal["search", "fullmatch"] = "search"
    group: int | str | None = Field(None, description="The group that is compared with the reference; of several matches the last.")
    reference: Template | None = None

    @model_validator(mode="after")
    def _whole(self) -> Regex:
        try:
            found = re.compile(self.pattern, bits(self.flags))
        except (re.error, RecursionError, OverflowError) as e:
            raise ValueError(f"pattern: is no regular expression ({e})") from None
        if (self.group is None) != (self.reference is None):
            raise ValueError("'group' and 'reference' go together")
        if isinstance(self.group, str) and self.group not in found.groupindex:
            raise ValueError(f"group: the pattern has no group {self.group!r}")
        if isinstance(self.group, int) and not 0 <= self.group <= found.groups:
            raise ValueError(f"group: the pattern has {found.groups} groups")
        return self


class JsonSchema(Timed):
    """1 when the input is JSON that the schema allows, else 0."""

    type: Literal["json_schema"] = "json_schema"
    input: Template = ANSWER
    schema_: Annotated[dict[str, Any] | bool, Field(alias="schema")]


class RankPosition(Spec):
    """1/(1 + rank) of the reference in a ranked answer, counted from 0; 0 when it is not there."""

    type: Literal["rank_position"] = "rank_position"
    input: Template = ANSWER
    reference: Template
    format: Literal["json", "lines"] = Field(
        "json", description="json: a list; lines: one item a line, numbers and dashes before it are taken off."
    )
    case_sensitive: bool = False


class Function(Timed):
    """What a Python function `grade(sample, item)` of a file returns; needs --allow-code."""

    type: Literal["function"] = "function"
    function: Annotated[str, Field(pattern=r"^.+\.py:[A-Za-z_]\w*$", description="file.py:function, from the grader file's folder.")]


TYPES: dict[str, type[Spec]] = {
    "string_check": StringCheck,
    "text_similarity": TextSimilarity,
    "score_model": ScoreModel,
    "label_model": LabelModel,
    "multi": Multi,
    "math_answer": MathAnswer,
    "regex": Regex,
    "json_schema": JsonSchema,
    "rank_position": RankPosition,
    "function": Function,
}
