"""What a judge is: a YAML of words and labels, independent of the model that reads them. The shipped ones are in `recipes/judges/`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from prefdata.options import Options

Ask = Literal["compare", "score", "aspects", "checklist", "rank"]
"""What one call asks for, and so how its answer is read (`parse.py`):

compare    which of two answers is better: the last line `Answer: A`, `Answer: B` or `Answer: tie`
score      a number for one answer: the last line `Score: 7`
aspects    a number for each aspect of one answer: the last lines `name: 4`
checklist  yes or no for each criterion for one answer: the last lines `1: yes`
rank       an order of all answers: the last line `Ranking: 2 > 1 = 3`
"""

PLACEHOLDERS = {
    "compare": {"prompt", "first", "second", "principle", "reference"},
    "score": {"prompt", "answer", "principle", "reference"},
    "aspects": {"prompt", "answer", "aspects", "reference"},
    "checklist": {"prompt", "answer", "criteria", "reference"},
    "rank": {"prompt", "answers", "principle", "reference"},
}


class Aspect(Options):
    """One thing that is scored."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
    about: str


class Criterion(Options):
    """One question of a checklist, with its weight; a negative weight is a pitfall."""

    text: str
    weight: float = 1.0


class Judge(Options):
    """A judge. `version` goes up when its labels could change."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    version: int = Field(ge=1)
    ask: Ask
    about: str = Field(description="One sentence for 'prefdata list judges'.")
    system: str | None = None
    prompt: str = Field(description="The user message; {prompt}, {first} ... are filled in one pass, texts are fenced.")
    principles: bool = Field(False, description="Whether a principle of a constitution is drawn for every comparison.")
    reasoning: bool = Field(False, description="Whether the judge writes its reasons before the verdict.")
    scale: tuple[int, int] = Field((1, 10), description="Lowest and highest score.")
    rescale: tuple[float, float] | None = Field(None, description="The stored score is the scale mapped onto this range.")
    aspects: list[Aspect] = Field(default_factory=list)
    criteria: list[Criterion] = Field(default_factory=list, description="Of a checklist, where records bring none in meta.checklist.")
    max_tokens: int = Field(16, ge=1)
    temperature: float = Field(0.0, ge=0, le=2)
    top_logprobs: int | None = Field(None, ge=1, le=20, description="Log-probs to ask for: soft labels and expected scores; null: none.")
    clamp: tuple[float, float] | None = Field(None, description="Bounds of the probability of a reasoning judge, as 0.4 and 0.6.")

    @model_validator(mode="after")
    def _whole(self) -> Judge:
        from prefdata.judges.fill import placeholders

        used = placeholders(self.prompt)
        allowed = PLACEHOLDERS[self.ask]
        if used - allowed:
            raise ValueError(f"the prompt uses {sorted(used - allowed)}; a judge that asks for '{self.ask}' has {sorted(allowed)}")
        needed = {"compare": {"first", "second"}, "rank": {"answers"}}.get(self.ask, {"answer"})
        if needed - used:
            raise ValueError(f"the prompt lacks {sorted(needed - used)}")
        if self.principles != ("principle" in used):
            raise ValueError("'principles: true' and {principle} in the prompt go together")
        if self.ask == "aspects" and not self.aspects:
            raise ValueError("a judge that asks for aspects names them")
        if self.scale[0] >= self.scale[1]:
            raise ValueError("the scale goes from its lowest to its highest score")
        if self.rescale and (self.ask != "score" or self.rescale[0] >= self.rescale[1]):
            raise ValueError("'rescale' goes from the lowest to the highest stored score, of a judge that asks for 'score'")
        if self.clamp and not (0 <= self.clamp[0] <= 0.5 and abs(sum(self.clamp) - 1) < 1e-9):
            raise ValueError("the bounds of 'clamp' lie around 0.5, as 0.4 and 0.6: else a label would depend on which answer comes first")
        if len({a.name for a in self.aspects}) < len(self.aspects):
            raise ValueError("two aspects have the same name")
        if self.criteria and not any(c.weight > 0 for c in self.criteria):
            raise ValueError("some criterion needs a positive weight: the score is the share of what is met")
        return self

    def annotator(self, model: str) -> str:
        """Who an annotation is by."""
        return f"{self.name}-v{self.version}:{model}"


def load(name: str) -> Judge:
    """A shipped judge by name or a user's by path. Raises UsageError that names every wrong key and its nearest right one."""
    from prefdata.yaml_files import read

    found: Judge = read(Judge, "judges", name)
    return found


def as_yaml(judge: Judge) -> dict[str, Any]:
    """What decides its labels, for manifests."""
    return judge.model_dump(exclude_defaults=True, mode="json")
