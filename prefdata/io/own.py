"""prefdata's own files: their columns as readers name them, and how such a file is told and read."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import polars as pl

from prefdata.errors import UsageError
from prefdata.io.columns import TOOL_FIELDS, Column, Layout, as_dtype
from prefdata.io.probe import Probe, layout, probe
from prefdata.io.sniff import Input
from prefdata.schema import dtypes

KEY_COLUMNS = {"pair": {"chosen", "rejected"}, "binary": {"completion", "label"}, "listwise": {"completions"}}
"""Columns by which the kind of a file is seen."""


class OwnFile(NamedTuple):
    """The kind of a file of records and how its rows are read."""

    kind: str
    columns: dict[str, Column]
    layout: Layout


def kinds_of(found: Probe) -> list[str]:
    """The kinds whose columns a file has."""
    return [k for k, columns in KEY_COLUMNS.items() if columns <= set(found.columns)]


def has_ids(rows: list[dict[str, Any]]) -> bool:
    """Whether most of some rows have content hashes as ids (a file without rows may be anybody's)."""
    good = sum(bool(re.fullmatch("[0-9a-f]{32}", str(r["id"])) if r.get("id") else False) for r in rows)
    return not rows or 2 * good > len(rows)


def is_own(found: Probe) -> bool:
    """Whether the columns are of a kind and the ids are content hashes. Of a file without rows that can be read nobody knows."""
    fits = bool(kinds_of(found)) and {"id", "prompt"} <= set(found.columns)
    return fits and (found.schema is not None or bool(found.rows)) and has_ids(found.rows)


def own_file(inp: Input, kind: str | None, found: Probe | None = None) -> OwnFile:
    """How a file of prefdata is read. Raises UsageError when its kind cannot be seen."""
    found = found or probe(inp)
    if kind is None:
        fits = kinds_of(found)
        if not fits:
            seen = ", ".join(found.columns[:10]) or "none that could be read"
            raise UsageError(f"{inp.name} is not a prefdata file (columns: {seen}); convert it first, or say --kind pair|binary|listwise")
        kind = fits[0]
    stated = found.schema is not None  # else a column may also appear later
    own = columns(kind).items()
    named = {c: Column(column.types, False) for c, column in own if not stated or c in found.columns or column.required or c == "id"}
    return OwnFile(kind, named, layout(found, named))


def _without_tools(dtype: pl.DataType) -> pl.DataType:
    if isinstance(dtype, pl.List):
        return pl.List(_without_tools(dtype.inner))  # type: ignore[arg-type]
    if isinstance(dtype, pl.Struct):
        fields = {f.name: _without_tools(f.dtype) for f in dtype.fields}  # type: ignore[arg-type]
        return dtypes.TURN if "tool_calls" in fields else pl.Struct(fields)
    return dtype


def slim(df: pl.DataFrame, stated: list[str]) -> pl.DataFrame:
    """Records without the optional columns and tool fields that no row uses, unless the file states the column."""
    df = df.drop(c for c in df.columns if c not in stated and df[c].null_count() == df.height)
    wide = {c: t for c, t in df.schema.items() if _without_tools(t) != t and not _uses_tools(df[c])}
    return df.with_columns(as_dtype(pl.col(c), t, _without_tools(t)).alias(c) for c, t in wide.items())


def _uses_tools(s: pl.Series) -> bool:
    if isinstance(s.dtype, pl.List):
        return _uses_tools(s.list.explode(keep_nulls=False, empty_as_null=False))
    if isinstance(s.dtype, pl.Struct):
        fields = s.struct.unnest()
        if "tool_calls" in fields.columns:
            return any(fields[c].null_count() < len(s) for c in TOOL_FIELDS)
        return any(_uses_tools(fields[c]) for c in fields.columns)
    return False


def columns(kind: str) -> dict[str, Column]:
    """Every column of a kind; turns with or without tool fields."""
    required = set(dtypes.required(kind)) - {"id"}
    out = {}
    for name, full in dtypes.schema(kind).items():
        plain = _without_tools(full)
        out[name] = Column((full,) if plain == full else (plain, full), name in required)
    return out
