"""Shards to frames, strictly. The fast reader (pyarrow with an explicit schema) takes a shard whole or not at all; a shard that it
refuses, or whose rows might not be its lines, is read again row by row, which names the line and the reason.

Why not polars' NDJSON reader: it turns lone surrogates into NUL, numbers and objects into text, and drops fields, silently.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from prefdata.errors import InputError
from prefdata.io.columns import Column, Layout, Misfit, coerce, conform
from prefdata.io.json_lines import line_starts, read_fast
from prefdata.io.plan import MAX_LINE, Shard, read_range, still_the_same
from prefdata.io.rejects import Reject
from prefdata.io.strict_json import BadJson, loads

BOM = b"\xef\xbb\xbf"
RAW = "json"
"""The one column of a layout without columns: the text of each row, for sources whose rows only Python can walk."""


@dataclass
class Batch:
    """The rows of a shard that could be read, and the ones that could not."""

    df: pl.DataFrame
    rejects: list[Reject] = field(default_factory=list)
    lines: list[int] | None = None
    """Line of each row of `df`, counted from the shard's start; None where row i is line i."""
    line_count: int = 0
    """Lines of the shard: what the next shard's line numbers start behind."""
    raw: Callable[[int], bytes] = lambda i: b""
    """The text of row i as it stands in the file."""

    @property
    def read(self) -> int:
        return self.df.height + len(self.rejects)

    def line_of(self, row: int) -> int:
        return row if self.lines is None else self.lines[row]


def read_shard(shard: Shard, layout: Layout, columns: dict[str, Column]) -> Batch:
    """Read one shard with the layout of its file."""
    if shard.cells is not None:
        return _cells(shard, layout, columns)
    if shard.input.format in ("parquet", "arrow"):
        return _table(shard, layout, columns)
    data = read_range(shard)
    if shard.lines is not None:
        return _on_lines(_json(data, layout, columns), shard.lines)
    if shard.start == 0 and shard.index == 0 and data[: len(BOM)] == BOM:
        data = data[len(BOM) :]
    batch = _json(data, layout, columns)
    if shard.data is None:
        still_the_same(shard.input)
    return batch


def _json(data: bytes | memoryview, layout: Layout, columns: dict[str, Column]) -> Batch:
    if layout.dtypes:
        starts = line_starts(data)
        df = read_fast(data, layout, starts) if starts is not None else None
        if df is not None:
            return _with_lines(df, data, starts)
    return _slow(bytes(data), layout, columns)


def _on_lines(batch: Batch, lines: tuple[int, ...]) -> Batch:
    """Rows that begin on these lines of the file (counted from 1); the next shard's lines are counted from the file's start, too."""
    batch.rejects = [r._replace(line=lines[r.line] - 1) for r in batch.rejects]
    batch.lines = [lines[batch.line_of(i)] - 1 for i in range(batch.df.height)]
    batch.line_count = 0
    return batch


def _with_lines(df: pl.DataFrame, data: bytes | memoryview, starts: Any) -> Batch:
    ends = np.append(starts[1:], len(data))
    return Batch(df, line_count=df.height, raw=lambda i: bytes(data[starts[i] : ends[i]]).removesuffix(b"\n").removesuffix(b"\r"))


def _slow(data: bytes, layout: Layout, columns: dict[str, Column]) -> Batch:
    lines = data.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    batch = fit_rows(_objects(lines), layout, columns)
    kept = batch.lines or []
    batch.line_count = len(lines)
    batch.raw = lambda i: lines[kept[i]].removesuffix(b"\r")
    batch.rejects = [r._replace(raw=lines[r.line][: 1 << 20 if r.code == "line-too-long" else None]) for r in batch.rejects]
    return batch


def _objects(lines: list[bytes]) -> Iterator[tuple[int, Any]]:
    """`(line, object or Reject)`; a blank line is not a row."""
    for i, line in enumerate(lines):
        if not line or line.isspace():
            continue
        if len(line) > MAX_LINE:
            yield i, Reject(i, "line-too-long", f"the line is longer than {MAX_LINE >> 20} MiB")
            continue
        try:
            row = loads(line)
        except BadJson as e:
            yield i, Reject(i, e.code, e.reason)
            continue
        yield i, row if isinstance(row, dict) else Reject(i, "not-an-object", "a row must be a JSON object")


def fit_rows(rows: Iterator[tuple[int, Any]], layout: Layout, columns: dict[str, Column]) -> Batch:
    """Rows of Python objects into the layout, one by one; what does not fit is rejected with its field."""
    values: dict[str, list[Any]] = {name: [] for name in layout.dtypes or (RAW,)}
    lines: list[int] = []
    rejects: list[Reject] = []
    for i, row in rows:
        if isinstance(row, Reject):
            rejects.append(row)
            continue
        try:
            fitted = [coerce(row.get(name), dtype, columns[name], name) for name, dtype in layout.dtypes.items()] or [_dump(row)]
        except Misfit as e:
            rejects.append(Reject(i, "wrong-type", str(e), e.path))
            continue
        lines.append(i)
        for column, value in zip(values.values(), fitted, strict=True):
            column.append(value)
    return Batch(pl.DataFrame(values, schema=layout.dtypes or {RAW: pl.String}, strict=True), rejects, lines)


def _dump(row: Any) -> str:
    import orjson

    try:
        return orjson.dumps(row).decode()
    except TypeError:  # an integer beyond 64 bits
        return json.dumps(row, ensure_ascii=False)


def _cells(shard: Shard, layout: Layout, columns: dict[str, Column]) -> Batch:
    """CSV: every cell is a text; numbers and booleans are parsed exactly, an empty cell is null where a number may be missing."""
    assert shard.cells is not None
    cells, lines = shard.cells, list(shard.lines or ())
    typed, bad = [], []
    for name, dtype in layout.dtypes.items():
        if name not in cells.columns:
            typed.append(pl.lit(None, dtype).alias(name))
        elif isinstance(dtype, pl.String):
            typed.append(pl.col(name))
        elif isinstance(dtype, (pl.List, pl.Struct)):
            typed.append(pl.lit(None, dtype).alias(name))
            bad.append(pl.when(pl.col(name).is_not_null()).then(pl.lit(name)))
        else:
            text = pl.when(pl.col(name).str.strip_chars() != "").then(pl.col(name).str.strip_chars())
            value = (
                text.str.to_lowercase().replace_strict(
                    {"true": True, "false": False, "1": True, "0": False}, default=None, return_dtype=pl.Boolean
                )
                if isinstance(dtype, pl.Boolean)
                else text.cast(dtype, strict=False)
            )
            typed.append(value.alias(name))
            bad.append(pl.when(text.is_not_null() & value.is_null()).then(pl.lit(name)))
    df = (
        cells.with_columns(typed).select(list(layout.dtypes))
        if typed
        else cells.select(pl.struct(pl.all()).struct.json_encode().alias(RAW))
    )
    raw = lambda i: "\t".join(v or "" for v in cells.row(i)).encode()  # noqa: E731
    batch = Batch(df, list(shard.rejects), lines=[n - 1 for n in lines], line_count=0, raw=raw)
    return _without_bad(batch, cells.select(pl.coalesce(bad).alias("bad"))["bad"], layout) if bad else batch


def _without_bad(batch: Batch, bad: pl.Series, layout: Layout) -> Batch:
    assert batch.lines is not None
    for i in bad.is_not_null().arg_true():
        name = bad[i]
        wants = {pl.Boolean: "true or false", pl.List: "a list, which no CSV cell is", pl.Struct: "an object, which no CSV cell is"}
        want = wants.get(type(layout.dtypes[name]), "a number")
        batch.rejects.append(Reject(batch.lines[i], "wrong-type", f"{name} must be {want}", name, batch.raw(i)))
    keep = bad.is_null().arg_true().to_list()
    before, lines = batch.raw, batch.lines
    return Batch(batch.df[keep], sorted(batch.rejects), [lines[i] for i in keep], batch.line_count, lambda i: before(keep[i]))


def _table(shard: Shard, layout: Layout, columns: dict[str, Column]) -> Batch:
    from prefdata.io.columnar import read_table

    full = read_table(shard, list(layout.dtypes))
    raw = lambda i: _dump_row(full, i)  # noqa: E731
    try:
        df = conform(full, layout) if layout.dtypes else full.select(pl.struct(pl.all()).struct.json_encode().alias(RAW))
    except pl.exceptions.PanicException:  # bytes have no JSON form
        raise InputError(f"{shard.input.name}: a column cannot be written as JSON, which this source needs (binary?)") from None
    except pl.exceptions.PolarsError:
        df = None  # some value does not fit: find out which, row by row
    if df is not None:
        return Batch(df, line_count=full.height, raw=raw)
    batch = fit_rows(enumerate(full.iter_rows(named=True)), layout, columns)
    kept = batch.lines or []
    batch.line_count = full.height
    batch.raw = lambda i: _dump_row(full, kept[i])
    batch.rejects = [r._replace(raw=_dump_row(full, r.line)) for r in batch.rejects]
    return batch


def _dump_row(df: pl.DataFrame, i: int) -> bytes:
    import orjson

    return orjson.dumps(df.row(i, named=True), default=str)
