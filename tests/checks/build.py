"""Records for tests of rules, and what a planted case is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from prefdata.schema import ids
from prefdata.schema.records import KINDS


class Case(NamedTuple):
    """Rows with planted damage: `lines` are the damaged ones (0: the file as a whole), and no other may be flagged. `also` are findings
    of other rules that the same damage brings. A row that is a text is written as it stands; bytes are the whole file."""

    rows: list[Any] | bytes
    lines: list[int]
    field: str | None = None
    also: dict[str, int] = {}  # noqa: RUF012 - never changed
    options: dict[str, Any] = {}  # noqa: RUF012


def turn(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def pair(chosen: Any = "Yes.", rejected: Any = "No.", prompt: Any = "Q", **more: Any) -> dict[str, Any]:
    """A pair; texts stand for one turn."""
    sides = {"prompt": _turns("user", prompt), "chosen": _turns("assistant", chosen), "rejected": _turns("assistant", rejected)}
    return with_id({**sides, **more}, "pair")


def binary(completion: Any = "Yes.", label: bool = True, prompt: Any = "Q", **more: Any) -> dict[str, Any]:
    sides = {"prompt": _turns("user", prompt), "completion": _turns("assistant", completion)}
    return with_id({**sides, "label": label, **more}, "binary")


def listwise(
    *texts: str, prompt: Any = "Q", scores: list[Any] | None = None, ranks: list[Any] | None = None, **more: Any
) -> dict[str, Any]:
    """Candidates, all with score 1 unless scores or ranks are given."""
    scores = scores or [None if ranks else 1.0] * len(texts)
    completions = [
        {"id": "0" * 32, "messages": _turns("assistant", t), "model": None, "score": s, "rank": r}
        for t, s, r in zip(texts, scores, ranks or [None] * len(texts), strict=True)
    ]
    for c in completions:
        checked = KINDS["listwise"](id="0" * 32, prompt=[turn("user", "Q")], completions=[c])
        c["id"] = ids.completion_id(checked.completions[0].messages)  # type: ignore[attr-defined]
    return with_id({"prompt": _turns("user", prompt), "completions": completions, **more}, "listwise")


def _turns(role: str, value: Any) -> Any:
    return [turn(role, value)] if isinstance(value, str) else value


def with_id(row: dict[str, Any], kind: str) -> dict[str, Any]:
    """The row with its true id, where it is valid."""
    try:
        return {"id": ids.record_id(KINDS[kind](id="0" * 32, **row)), **row}
    except ValueError:
        return {"id": "0" * 32, **row}


def write(path: Path, rows: list[Any] | bytes) -> str:
    if isinstance(rows, bytes):
        path.write_bytes(rows)
    else:
        path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows), encoding="utf-8")
    return str(path)


A, B = [turn("assistant", "A")], [turn("assistant", "B")]
GOOD = pair()
