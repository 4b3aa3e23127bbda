"""Graders that need neither a model nor a process of their own, and what the process of the others is given."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from prefdata.graders.child import Job
from prefdata.graders.graded import Failed, Row
from prefdata.graders.rows import parsed
from prefdata.graders.specs import Function, JsonSchema, MathAnswer, RankPosition, Regex, Spec, StringCheck, TextSimilarity, Timed
from prefdata.graders.template import fill, written

_LISTED = re.compile(r"^\s*(?:\(?\d{1,4}[.):]|[-*•])\s+")


def string_check(spec: StringCheck, row: Row) -> float:
    """`like` and `ilike`: the input contains the reference. An empty reference is in every text, so it says nothing."""
    text, reference = fill(spec.input, row), fill(spec.reference, row)
    if spec.operation in ("like", "ilike"):
        if not reference.strip():
            raise Failed("empty-reference", "every text contains an empty one")
        any_case = spec.operation == "ilike"
        return float((reference.casefold() in text.casefold()) if any_case else (reference in text))
    return float((text == reference) == (spec.operation == "eq"))


def rank_position(spec: RankPosition, row: Row) -> float:
    """The first place counts where the item stands several times."""
    text, wanted = fill(spec.input, row), _item(fill(spec.reference, row), spec)
    if not wanted:
        raise Failed("empty-reference", "no item is looked for")
    if spec.format == "json":
        found = parsed(text)
        if not isinstance(found, list) or not found:
            raise Failed("no-answer", "there is no JSON list of items")
        items = [written(x) for x in found]
    else:
        items = [_LISTED.sub("", line) for line in re.split(r"[\r\n]+", text) if line.strip()]
        if not items:
            raise Failed("no-answer", "there are no lines")
    said = [_item(x, spec) for x in items]
    return 1 / (1 + said.index(wanted)) if wanted in said else 0.0


def _item(text: str, spec: RankPosition) -> str:
    text = " ".join(text.split())
    return text if spec.case_sensitive else text.casefold()


LOCAL: dict[type[Spec], Callable[[Any, Row], float]] = {StringCheck: string_check, RankPosition: rank_position}


def texts(spec: Timed, row: Row) -> dict[str, Any]:
    """What a process is given of a row. Raises Failed."""
    if isinstance(spec, Function):
        return row
    out = {name: fill(text, row) for name in ("input", "reference") if (text := getattr(spec, name, None)) is not None}
    if "reference" in out and not out["reference"].strip():
        raise Failed("empty-reference", "there is nothing to compare with")
    return out


def job_of(spec: Timed, path: str = "") -> Job:
    """How the process of a grader is set up; `path`: the file of a function."""
    return Job(spec.type, _setup(spec, path), spec.timeout, spec.memory_mb)  # type: ignore[attr-defined]


def _setup(spec: Timed, path: str) -> dict[str, Any]:
    match spec:
        case Function():
            return {"path": path, "name": spec.function.rpartition(":")[2]}
        case JsonSchema():
            return {"schema": spec.schema_}
        case Regex():
            return {"pattern": spec.pattern, "flags": spec.flags, "group": spec.group, "match": spec.match}
        case MathAnswer():
            return {"boxed": spec.boxed, "digits": spec.digits}
        case TextSimilarity():
            return {"evaluation_metric": spec.evaluation_metric}
    raise AssertionError(spec)
