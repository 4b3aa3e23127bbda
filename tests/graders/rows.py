"""Short ways to a row and to its score."""

from __future__ import annotations

from typing import Any

from prefdata.graders.run import Graded, grade_rows, load_grader, row_of


def row(text: str, finish_reason: str | None = None, **item: Any) -> dict[str, Any]:
    """An answer to a record with these fields."""
    return row_of(item, [{"role": "assistant", "content": text}], finish_reason)


def graded(spec: Any, *rows: dict[str, Any], allow_code: bool = False, workers: int = 1) -> list[Graded]:
    return grade_rows(load_grader(spec, allow_code=allow_code), rows, workers=workers)


def scores(spec: Any, *rows: dict[str, Any], allow_code: bool = False) -> list[float | None]:
    return [g.score for g in graded(spec, *rows, allow_code=allow_code)]


def codes(spec: Any, *rows: dict[str, Any], allow_code: bool = False) -> list[str]:
    """Why there is no score; "" where there is one."""
    return [(g.why or "").partition(":")[0] for g in graded(spec, *rows, allow_code=allow_code)]
