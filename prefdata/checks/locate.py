"""Where in a foreign row does a flagged text stand? Records are made from the rows of a file; a finding must name the file's own field.

The text is looked up among the row's values: this works for every source without a table of names, and is exact where a verdict
decides which of two fields is the chosen one. Only findings that are listed are looked up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson


def text_of(record: dict[str, Any], field: str, turn: int | None) -> str | None:
    """The text of a field of a record: of one turn, or of the one that matters most (a prompt's last, an answer's first)."""
    value = record.get(field)
    if field == "completions" and isinstance(value, list):
        value = [m for c in value for m in c["messages"]]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        at = turn if turn is not None else -1 if field == "prompt" else 0
        value = value[at].get("content")
    return value if isinstance(value, str) else None


def locate(row: dict[str, Any], field: str, text: str | None) -> str:
    """The path of the value that is the text, or else contains it; the field itself where there is none. Values under the field's own
    name come first."""
    if text is not None:
        found = list(_texts(row, ""))
        found.sort(key=lambda leaf: not leaf[0].startswith(field))
        equal = [path for path, leaf in found if leaf == text]
        return next(iter(equal or [path for path, leaf in found if text.strip() and text in leaf]), field)
    return field


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for k, v in value.items():
            yield from _texts(v, f"{path}.{k}" if path else str(k))
    elif isinstance(value, list):
        for i, v in enumerate(value):
            yield from _texts(v, f"{path}[{i}]")


def row_of(raw: bytes) -> dict[str, Any]:
    """A raw row as an object; empty when it cannot be read."""
    try:
        row = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return row if isinstance(row, dict) else {}
