"""Does a file that somebody else wrote fit its reader? `prefdata validate FILE --target NAME`, line by line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple, Protocol

from prefdata.errors import InputError, UsageError
from prefdata.io.strict_json import BadJson, loads
from prefdata.readers.align import AlignAnything
from prefdata.readers.llama_factory import LlamaFactory
from prefdata.readers.openai import OpenAI
from prefdata.readers.report import Found, Inspected, Report
from prefdata.readers.trl import TRL
from prefdata.readers.words import Words, by_code

MARK = b"\xef\xbb\xbf"
NOT_TEXT = {
    b"\xff\xfe": "the file is UTF-16",
    b"\xfe\xff": "the file is UTF-16",
    b"\x1f\x8b": "the file is compressed (gzip)",
    b"\x28\xb5\x2f\xfd": "the file is compressed (zstd)",
    b"PK\x03\x04": "the file is a zip archive",
    b"PAR1": "the file is Parquet, not JSON lines",
}
CODES = {"bad-json": "PD805", "bad-utf8": "PD806", "lone-surrogate": "PD806", "duplicate-key": "PD807", "not-finite": "PD808"}


class Check(Protocol):
    """Looks at the rows of one file, in order."""

    def row(self, row: dict[str, Any]) -> None: ...


class Reader(NamedTuple):
    """How a target reads files."""

    check: Callable[[Report], Check]
    mark: Mapping[bool, str] = MappingProxyType({})
    """The rule that a file breaks which has the mark (True), or has it not (False)."""
    blank: bool = False
    """Whether it stops at blank lines."""
    names: tuple[str, ...] = ()
    """The suffixes that it takes; none: any."""
    array: bool = True
    """Whether a file may be one JSON array."""
    max_bytes: int | None = None
    min_rows: int = 1


SERVICE: dict[str, Any] = {"blank": True, "names": (".jsonl",), "array": False, "max_bytes": 512_000_000, "min_rows": 10}
READERS = {
    "azure-dpo": Reader(lambda r: OpenAI(r, azure=True), {False: "PD801"}, **SERVICE),
    "openai-dpo": Reader(lambda r: OpenAI(r, azure=False), {True: "PD803"}, **SERVICE),
    "align-anything": Reader(AlignAnything, {True: "PD802"}, True, ("json", "jsonl")),
    "trl": Reader(TRL),
    "llama-factory": Reader(LlamaFactory),
}


def inspect(paths: str | list[str], target: str, show: int | None = None) -> Inspected:
    """Check files against the rules of their reader. With `show`, only that many findings of each rule are kept (all are counted).
    Raises UsageError for a target whose files cannot be inspected and InputError for a file that cannot be opened."""
    if target not in READERS:
        near = get_close_matches(target, READERS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"files of {', '.join(READERS)} can be"
        raise UsageError(f"files of {target!r} cannot be inspected: {hint}")
    report, rows = Report(show), 0
    for path in [paths] if isinstance(paths, str) else paths:
        report.file, report.line, report.unit = path, 0, "line"
        try:
            with open(path, "rb") as f:
                rows += _file(f, path, READERS[target], report)
        except OSError as e:
            raise InputError(f"{path}: {e.strerror or e}") from None
    return Inspected(rows, report.counts, report.findings)


def _file(f: BinaryIO, path: str, reader: Reader, report: Report) -> int:
    """Check one file; the number of its rows that are objects."""
    size = os.fstat(f.fileno()).st_size
    if reader.names and not path.endswith(reader.names):
        report.add("PD812", f"the name must end in {' or '.join(reader.names)}")
    if reader.max_bytes is not None and size >= reader.max_bytes:
        report.add("PD810", f"the file has {size:,} bytes; it must have less than {reader.max_bytes:,}")
    head = f.read(4)
    if not_text := next((words for magic, words in NOT_TEXT.items() if head.startswith(magic)), None):
        report.add("PD806", not_text)
        return 0
    marked = head.startswith(MARK)
    if size and marked in reader.mark:
        report.add(reader.mark[marked], line=1)
    f.seek(len(MARK) if marked else 0)
    check, rows = reader.check(report), 0
    for row in _rows(f, path, reader, report):
        if isinstance(row, dict):
            rows += 1
            check.row(row)
        else:
            report.add("PD809")
    report.line = 0
    if rows < reader.min_rows:
        report.add("PD811", f"the file has {rows} rows; it must have at least {reader.min_rows}")
    return rows


def _rows(f: BinaryIO, path: str, reader: Reader, report: Report) -> Iterator[Any]:
    """The values of a file; what cannot be read is reported. Which line it is stands in the report."""
    if reader.array and path.endswith(".json"):
        start = f.tell()
        is_array = f.read(4096).lstrip().startswith(b"[")
        f.seek(start)
        if is_array or reader.names:
            yield from _array(f.read(), report)
            return
    for number, line in enumerate(f, 1):
        report.line = number
        if not line.strip():
            if reader.blank:
                report.add("PD804")
            continue
        try:
            value = loads(line)
        except BadJson as e:
            report.add(CODES[e.code], e.reason)
            continue
        yield value


def _array(data: bytes, report: Report) -> Iterator[Any]:
    """The elements of the one array that a .json file holds."""
    report.line = 1
    try:
        value = loads(data)
    except BadJson as e:
        report.add(CODES[e.code], e.reason)
        return
    if not isinstance(value, list):
        report.add("PD809", "a .json file must hold one array of objects")
        return
    report.unit = "row"
    for number, row in enumerate(value, 1):
        report.line = number
        yield row


__all__ = ["READERS", "Found", "Inspected", "Words", "by_code", "inspect"]
