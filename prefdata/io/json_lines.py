"""A whole shard of JSON lines at once, by pyarrow with an explicit schema; or not at all, when anything in it is out of order."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from prefdata.io.columns import Layout, conform
from prefdata.io.plan import MAX_LINE
from prefdata.io.positions import bits_of, filled, next_of, places
from prefdata.io.widen import FEW, MANY, sample, widened

BLOCK = 2 * 1024 * 1024
NEWLINE, OPEN, CLOSE, RETURN = b"\n{}\r"
_SUSPECT = np.isin(np.arange(256), list(b" \t\rn{"))
_MORE = re.compile(rb"[ \t\r]*(?:null|\{)")
_MORE_BEHIND = re.compile(rb"\}" + _MORE.pattern)


def line_starts(data: bytes | memoryview) -> Any:
    """Where each line begins (int64), or None unless every line begins with "{" and ends with "}" and nothing seems to stand behind an
    object: pyarrow takes objects and lines as they come, and crashes on a bare `null` row, so it must never see one."""
    if len(data) > MAX_LINE or data[:1] != b"{":
        return None
    a = np.frombuffer(data, np.uint8)
    newline, close = bits_of(a, NEWLINE), bits_of(a, CLOSE)
    starts = places(newline) + 1
    at = filled(close)
    behind = places(close[at] & ~next_of(newline, at), at) + 1
    if len(starts) and starts[-1] == len(a):
        starts = starts[:-1]
    ends = np.append(starts - 2, len(a) - 1 - (data[-1:] == b"\n"))
    ends = ends - (a[ends] == RETURN)
    if (a[starts] != OPEN).any() or (a[ends] != CLOSE).any() or _more_behind(data, a, behind[behind < len(a)]):
        return None
    return np.concatenate([[0], starts])


def _more_behind(data: bytes | memoryview, a: Any, behind: Any) -> bool:
    """Whether an object or null may follow at one of the places behind closing braces, on the same line."""
    suspects = behind[_SUSPECT[a[behind]]]
    if len(suspects) > len(a) >> 12:  # program code: one search is faster than many looks
        return _MORE_BEHIND.search(data) is not None
    return any(_MORE.match(data, at) for at in suspects.tolist())


def read_fast(data: bytes | memoryview, layout: Layout, starts: Any) -> pl.DataFrame | None:
    """The layout's columns of every line, or None. Fields that the layout does not name are read as strictly, and left out."""
    if not _is_utf8(data):
        return None
    schema = pa.schema([(k, arrow_type(v)) for k, v in layout.dtypes.items()])
    seen = pa.schema([f for f in schema if f.name in layout.present])  # empty columns cost time; rows with other fields do not fit
    some = {name for row in sample(data, starts, FEW) for name in row}
    named = [] if layout.extras else [seen] if seen == schema else [seen, schema]
    table = next((t for s in named if some <= {*s.names} and (t := _parse(data, s)) is not None), None)
    if table is None:
        wide = widened(schema, sample(data, starts, MANY))
        table = _parse(data, wide) if wide is not None and wide != schema else None
    if table is None or table.num_rows != len(starts) or not all(map(_finite, table.columns)):
        return None
    df = pl.DataFrame(pl.from_arrow(table))
    return df if dict(df.schema) == layout.dtypes else conform(df, layout)


def _finite(values: Any) -> bool:
    """Whether no number inside is NaN or infinite: pyarrow reads them, JSON does not have them."""
    if pa.types.is_floating(values.type):
        return bool(pc.all(pc.is_finite(values)).as_py() is not False)
    if pa.types.is_list(values.type):
        return _finite(pc.list_flatten(values))
    if pa.types.is_struct(values.type):
        parts = values.flatten() if isinstance(values, pa.Array) else [c for chunk in values.chunks for c in chunk.flatten()]
        return all(map(_finite, parts))
    return True


def _is_utf8(data: bytes | memoryview) -> bool:
    """The reader lets bytes through that are not UTF-8; what it makes of escapes is UTF-8. So one look at the whole is enough."""
    ends = pa.py_buffer(np.array([0, len(data)], np.int32))
    try:
        pa.Array.from_buffers(pa.string(), 1, [None, ends, pa.py_buffer(data)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _parse(data: bytes | memoryview, schema: pa.Schema) -> pa.Table | None:
    flat = not any(map(pa.types.is_nested, schema.types))
    for block in (len(data) + 1,) if flat else (BLOCK, len(data) + 1):  # flat texts stay where they are, which saves a copy later
        try:
            table = pj.read_json(
                pa.BufferReader(data),
                read_options=pj.ReadOptions(block_size=block, use_threads=False),
                parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
            )
            table.validate()
            return table
        except pa.ArrowInvalid as e:
            if "straddling" not in str(e):
                return None
    return None


def arrow_type(dtype: pl.DataType) -> pa.DataType:
    """The plain Arrow type (string and list, not large_string and large_list, which half of the readers refuse)."""
    if isinstance(dtype, pl.List):
        return pa.list_(arrow_type(dtype.inner))  # type: ignore[arg-type]
    if isinstance(dtype, pl.Struct):
        return pa.struct([(f.name, arrow_type(f.dtype)) for f in dtype.fields])  # type: ignore[arg-type]
    return {pl.String: pa.string(), pl.Int64: pa.int64(), pl.Float64: pa.float64(), pl.Boolean: pa.bool_()}[type(dtype)]
