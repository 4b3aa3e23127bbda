"""How a file is read as a source: options that every command which reads foreign files shares."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from prefdata.options import Options


def _weights(value: Any) -> Any:
    """`a=1,b=-0.5` as a dict; anything else as it is."""
    if not isinstance(value, str):
        return value
    pairs = [item.partition("=") for item in value.split(",") if item.strip()]
    if not pairs or any(not sep for _, sep, _ in pairs):
        raise ValueError("expected name=weight,name=weight")
    return {name.strip(): weight.strip() for name, _, weight in pairs}


class SourceOptions(Options):
    """What a file is read as, and what its preference is about."""

    from_: str = Field("auto", alias="from", description="Source of the rows ('prefdata list sources'); auto looks at the columns.")
    dimension: str | None = Field(
        None, description="What the preference is about, where a source has several (PKU: better or safer; UltraFeedback: an aspect)."
    )
    weights: Annotated[dict[str, float], BeforeValidator(_weights)] = Field(
        default_factory=dict, description="Weights of rating columns, as name=weight,name=weight (HelpSteer)."
    )
    threshold: float | None = Field(None, description="Scores at or above it are desirable (listwise or ratings to binary).")
    map: str | None = Field(None, description="YAML file that maps columns to fields, for --from table.")
    system: str | None = Field(None, description="table: column of the system text.")
    prompt: str | None = Field(None, description="table: column (or path such as question.text) of the prompt.")
    chosen: str | None = Field(None, description="table: column of the chosen answer.")
    rejected: str | None = Field(None, description="table: column of the rejected answer.")
    first: str | None = Field(None, description="table: column of the answer shown first.")
    second: str | None = Field(None, description="table: column of the answer shown second.")
    preferred: str | None = Field(None, description="table: column that says which answer is better.")
    first_is: str | None = Field(
        None, description="table: values of --preferred that mean the first, comma-separated (0, a, model_a, 1 ...)."
    )
    second_is: str | None = Field(None, description="table: values of --preferred that mean the second.")
    tie_is: str | None = Field(None, description="table: values of --preferred that mean a tie.")
    completion: str | None = Field(None, description="table: column of the one answer (binary), or of a candidate (listwise).")
    label: str | None = Field(None, description="table: column of the label: true/false, 1/0 or 1/-1.")
    score: str | None = Field(None, description="table: column of the score of --completion.")
    score_first: str | None = Field(None, description="table: column of the first answer's score; the higher one is chosen.")
    score_second: str | None = Field(None, description="table: column of the second answer's score.")
    margin: str | None = Field(None, description="table: column of the margin of chosen over rejected.")
    tools: bool = Field(False, description="Keep tool calls, also where the first rows have none.")
