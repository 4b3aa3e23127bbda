"""Grading: rows to scores. What asks a model is asked first (`asking.plan_of`), and what it said comes in with the rows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from prefdata.graders import formula
from prefdata.graders.asking import plan_of
from prefdata.graders.child import grade_all
from prefdata.graders.graded import ANSWERS_FAULT, Failed, Graded, Row, failed
from prefdata.graders.load import Grader, load_grader
from prefdata.graders.local import LOCAL, job_of, texts
from prefdata.graders.rows import row_of
from prefdata.graders.specs import Asks, Spec, Timed

__all__ = ["Graded", "Grader", "grade_rows", "load_grader", "plan_of", "row_of"]

Said = Mapping[str, Graded]
"""What the parts that ask a model said of a row: the result of its plan."""


def grade_rows(grader: Grader, rows: Sequence[Row], said: Sequence[Said] | None = None, *, workers: int | None = None) -> list[Graded]:
    """The scores of rows (`rows.row_of`), in their order.

    `said`: for graders that ask a model, the result of each row's plan ({} where a reply is missing). `workers`: processes at once, by
    default as many as the machine has cores, 8 at most. The score of a row depends on that row alone.

    Raises UsageError when a user's function cannot be loaded. Whatever it does to a row is that row's failed score.
    """
    workers = workers or min(8, os.cpu_count() or 1)
    whole = [i for i, row in enumerate(rows) if not _cut_off(row)]
    columns: dict[str, dict[int, Graded]] = {}
    for name, spec in grader.parts.items():
        if isinstance(spec, Asks):
            found = [(said[i] if said is not None else {}).get(name) or failed("not-asked") for i in whole]
        else:
            found = _graded(grader, name, spec, [rows[i] for i in whole], workers)
        columns[name] = {i: _replaced(g, spec) for i, g in zip(whole, found, strict=True)}
    out = [failed("cut-off")] * len(rows)
    for i in whole:
        out[i] = _combined(grader, {name: column[i] for name, column in columns.items()})
    return out


def _cut_off(row: Row) -> bool:
    choices = row["sample"].get("choices")
    return bool(choices) and choices[0].get("finish_reason") == "length"


def _graded(grader: Grader, name: str, spec: Spec, rows: Sequence[Row], workers: int) -> list[Graded]:
    """The scores of one part that asks nobody."""
    out: list[Graded | None] = [None] * len(rows)
    given, places = [], []
    for i, row in enumerate(rows):
        try:
            if isinstance(spec, Timed):
                given.append(texts(spec, row))
                places.append(i)
            else:
                out[i] = Graded(LOCAL[type(spec)](spec, row))
        except Failed as e:
            out[i] = Graded(None, str(e))
    if given:
        assert isinstance(spec, Timed)
        scores = grade_all(job_of(spec, grader.code.get(name, ("", ""))[0]), given, min(workers, 1 + len(given) // 8))
        for i, score in zip(places, scores, strict=True):
            out[i] = Graded(None, str(score)) if isinstance(score, Failed) else Graded(score)
    return [g or failed("exited") for g in out]


def _combined(grader: Grader, parts: Said) -> Graded:
    if grader.formula is None:
        return next(iter(parts.values()))
    scores = {name: g.score for name, g in parts.items() if g.score is not None}
    for name in sorted(grader.formula.names - scores.keys()):
        lacking = Graded(None, f"{parts[name].why} (grader {name})", scores)
        return _replaced(lacking, grader.multi) if grader.multi else lacking
    try:
        return Graded(formula.value(grader.formula, scores), None, scores)
    except Failed as e:
        return Graded(None, str(e), scores)


def _replaced(graded: Graded, spec: Spec) -> Graded:
    """The score that the grader's author gives to answers without the form that is graded."""
    code = (graded.why or "").partition(":")[0]
    return Graded(spec.invalid_grade, None, graded.parts) if spec.invalid_grade is not None and code in ANSWERS_FAULT else graded
