"""The first rows of a file and its columns: what recognition and layouts go by."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import polars as pl

from prefdata.errors import InputError
from prefdata.io.columns import Column, Layout, layout_of_rows, layout_of_schema
from prefdata.io.plan import unpacked_chunks
from prefdata.io.sniff import Input
from prefdata.io.strict_json import BadJson, loads

ROWS = 200


class Probe(NamedTuple):
    """The columns of a file (with dtypes where the file states them) and some of its first rows."""

    rows: list[dict[str, Any]]
    schema: dict[str, pl.DataType] | None

    @property
    def columns(self) -> list[str]:
        return list(self.schema) if self.schema is not None else list(dict.fromkeys(k for row in self.rows for k in row))


def probe(inp: Input) -> Probe:
    """Look at the head of a file. A file in which no row can be read gives an empty probe."""
    if inp.format == "csv":
        from prefdata.io.delimited import delimited_shards, header_of

        names = header_of(inp)
        first = next(delimited_shards(inp, 1 << 16), None)
        rows = first.cells.head(ROWS).to_dicts() if first and first.cells is not None else []
        return Probe(rows, dict.fromkeys(names, pl.String()))
    if inp.format in ("parquet", "arrow"):
        from prefdata.io.columnar import columnar_shards, dtypes, read_table

        stated = dtypes(inp)
        known = [name for name, dtype in stated.items() if not isinstance(dtype, pl.Unknown)]
        first = next(columnar_shards(inp, 1), None)
        rows = read_table(first, known).head(ROWS).to_dicts() if first and known else []
        return Probe(rows, stated)
    if inp.format == "xml":
        return Probe([], None)
    return Probe(_json_rows(inp), None)


def _json_rows(inp: Input) -> list[dict[str, Any]]:
    head = inp.head
    if inp.format == "jsonl" and b"\n" not in head[:-1]:  # a first line longer than the head
        head = b""
        for chunk, _ in unpacked_chunks(inp, 1 << 20):
            head += chunk
            if b"\n" in chunk or len(head) > 64 << 20:
                break
    head = head.removeprefix(b"\xef\xbb\xbf")
    if inp.format == "json":
        return _array_head(head)
    rows = []
    lines = head.split(b"\n")
    for line in lines[: ROWS + 1]:
        try:
            row = loads(line)
        except BadJson:
            continue  # broken or cut by the end of the head: the reader will say
        if isinstance(row, dict):
            rows.append(row)
    return rows[:ROWS]


def _array_head(head: bytes) -> list[dict[str, Any]]:
    from prefdata.io.json_array import elements

    rows: list[dict[str, Any]] = []
    try:
        for _, element in elements(head.decode("utf-8", "replace"), ""):
            row = json.loads(element)
            if isinstance(row, dict):
                rows.append(row)
            if len(rows) >= ROWS:
                break
    except (InputError, ValueError):
        pass  # the head ends inside an element
    return rows


def layout(found: Probe, columns: dict[str, Column], tools: bool = False) -> Layout:
    """The layout in which a probed file is read."""
    if found.schema is not None and columns:
        return layout_of_schema(columns, found.schema)
    return layout_of_rows(columns, found.rows, tools)
