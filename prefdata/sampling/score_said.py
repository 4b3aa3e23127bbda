"""What a scorer says of one candidate, its number, and its annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

Dict = dict[str, Any]
Candidates = list[list[Dict]]
NO_REPLY = "no-reply"
WORDS = {
    "template": "the chat template refuses the record",
    "boundary": "the rendered prompt is not the beginning of the rendered conversation",
    "context-length": "prompt and answer are longer than the model takes",
    "out-of-memory": "the text alone does not fit into memory",
    "not-a-number": "the model gave NaN or infinity",
    "no-score": "the server's reply has no score in it",
    "no-aspect": "an aspect with a weight was not scored",
    "empty-completion": "the answer has no tokens",
    NO_REPLY: "the server did not answer; the same command asks again",
    "not-scored": "the run was stopped before; the same command goes on",
}
"""Why there is no score; judges and graders have their own words."""


class Said(NamedTuple):
    """One statement: a number, or why there is none; `aspects` by name (None: does not apply)."""

    score: float | None = None
    aspects: Mapping[str, float | None] = {}
    why: str | None = None
    rationale: str | None = None
    request: str | None = None


def candidates(row: Dict, kind: str) -> Candidates:
    """The answers of a record."""
    if kind == "pair":
        return [row["chosen"], row["rejected"]]
    return [row["completion"]] if kind == "binary" else [c["messages"] for c in row["completions"]]


def names(row: Dict, kind: str) -> list[list[str]]:
    """What annotations call each of them."""
    if kind == "pair":
        return [["chosen"], ["rejected"]]
    return [[]] if kind == "binary" else [[c["id"]] for c in row["completions"]]


def weighed(aspects: Mapping[str, float | None], weights: Mapping[str, float]) -> Said:
    """Aspects with their weighted sum; without weights with the mean of those that apply."""
    if not all(v is None or isfinite(v) for v in aspects.values()):
        return Said(why="not-a-number")
    wanted = [aspects.get(name) for name in weights] if weights else [v for v in aspects.values() if v is not None]
    given = [v for v in wanted if v is not None]
    if not given or len(given) < len(wanted):
        return Said(None, aspects, "no-aspect")
    total = sum(w * v for w, v in zip(weights.values(), given, strict=True)) if weights else sum(given) / len(given)
    return Said(total, aspects)


def number(said: Sequence[Said]) -> float | None:
    """The mean of what a scorer said; None where it said nothing usable."""
    given = [s.score for s in said if s.score is not None]
    return sum(given) / len(given) if given else None


def noted(said: Sequence[Said], annotator: str, kind: str, about: list[str]) -> list[Dict]:
    """A number is one annotation, and each aspect another; what failed is `invalid`, has its reason and no score."""
    out = []
    for s in said:
        plain = {"annotator": annotator, "kind": kind, "completions": about, "request": s.request}
        if s.score is None:
            out.append(annotation(**plain, outcome="invalid", rationale=s.why))
        else:
            out.append(annotation(**plain, score=s.score, rationale=s.rationale))
        for name, value in s.aspects.items():
            out.append(annotation(**plain, aspect=name, score=value, outcome="abstain" if value is None else None))
    return out


def annotation(**given: Any) -> Dict:
    empty = {"aspect": None, "outcome": None, "score": None, "p_first": None, "rationale": None, "request": None}
    return {**empty, **given}
