"""Rows that could not be used, kept with the reason. Nothing that was read is thrown away unseen."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, BinaryIO, NamedTuple

import orjson

from prefdata.io.write import replacing


class Reject(NamedTuple):
    """One unusable row: where it stands, a stable code, words for people, and the row itself.

    `line` counts from 1 (a row number where `unit` is "row"). `raw` is the text as it stands in the file; bytes that are
    not UTF-8 are kept in `raw_base64` of the rejects file.
    """

    line: int
    code: str
    reason: str
    field: str | None = None
    raw: bytes | None = None


def to_jsonl(rejects: Iterable[Reject], file: str, unit: str, first_line: int) -> bytes:
    """The rejects of one shard as lines of the rejects file; `first_line` is the shard's first line in its file."""
    out = []
    for r in rejects:
        row: dict[str, object] = {"file": file, unit: first_line + r.line, "code": r.code, "reason": r.reason}
        if r.field is not None:
            row["field"] = r.field
        if r.raw is not None:
            row |= _raw(r.raw)
        out.append(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    return b"".join(out)


def _raw(raw: bytes) -> dict[str, object]:
    import base64

    try:
        return {"raw": raw.decode()}
    except UnicodeDecodeError:
        return {"raw_base64": base64.b64encode(raw).decode()}


class RejectsFile:
    """The rejects file, made when there is a first reject."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._stack = ExitStack()
        self._file: BinaryIO | None = None

    def write(self, lines: bytes) -> None:
        if lines and self._file is None:
            temporary = self._stack.enter_context(replacing(self._path))
            self._file = self._stack.enter_context(open(temporary, "wb"))  # noqa: SIM115 - closed by the stack
        if lines and self._file is not None:
            self._file.write(lines)

    def __enter__(self) -> RejectsFile:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)
