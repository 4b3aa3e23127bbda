"""Fields that a source does not name, read along with the ones that it names: the strict reader refuses what no schema names, and to skip
the rest unread would let duplicate keys, NaN and broken bytes through. Their types are taken from some rows of the shard; where that does
not fit all rows, the shard is read row by row, with the same result."""

from __future__ import annotations

from typing import Any

import orjson
import pyarrow as pa

from prefdata.io.columns import TOOL_FIELDS

FEW, MANY = 8, 64
"""Rows of a shard that are looked at: to see that a schema will not do, and to make one that does."""
DEPTH = 32
"""Types nested deeper than Arrow's schemas go (64) make no schema."""


def sample(data: bytes | memoryview, starts: Any, n: int) -> list[dict[str, Any]]:
    """About n rows from all over the shard."""
    rows = []
    for i in range(0, len(starts), max(1, len(starts) // n)):
        end = starts[i + 1] if i + 1 < len(starts) else len(data)
        try:
            rows.append(orjson.loads(data[starts[i] : end]))
        except orjson.JSONDecodeError:
            return []
    return rows


def widened(schema: pa.Schema, rows: list[dict[str, Any]]) -> pa.Schema | None:
    """The schema with the other fields of these rows, also inside objects; None where they have no one type."""
    try:
        found = pa.array(rows).type
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return None
    if not pa.types.is_struct(found) or _depth(found) > DEPTH:
        return None
    return pa.schema(_join(pa.struct(list(schema)), found))


def _depth(dtype: Any) -> int:
    """How deep lists and objects are nested in a type."""
    deepest, layer = 0, [dtype]
    while layer:  # no recursion: the depth is the data's
        deepest += 1
        layer = [dtype.field(i).type for dtype in layer if pa.types.is_nested(dtype) for i in range(dtype.num_fields)]
    return deepest


def _join(named: Any, found: Any) -> Any:
    """The named type with what else was found in it. Tool fields are never let in: a turn that has them unannounced must be seen."""
    if pa.types.is_list(named) and pa.types.is_list(found):
        return pa.list_(_join(named.value_type, found.value_type))
    if not (pa.types.is_struct(named) and pa.types.is_struct(found)):
        return named
    names = {f.name for f in named}
    fields = [pa.field(f.name, _join(f.type, found.field(f.name).type) if found.get_field_index(f.name) >= 0 else f.type) for f in named]
    barred = TOOL_FIELDS if names == {"role", "content"} else ()
    return pa.struct(fields + [pa.field(f.name, _loose(f.type)) for f in found if f.name not in names and f.name not in barred])


def _loose(dtype: Any) -> Any:
    """Whole numbers as numbers (a later one may have a fraction), nulls as texts."""
    if pa.types.is_integer(dtype):
        return pa.float64()
    if pa.types.is_null(dtype):
        return pa.string()
    if pa.types.is_list(dtype):
        return pa.list_(_loose(dtype.value_type))
    if pa.types.is_struct(dtype):
        return pa.struct([pa.field(f.name, _loose(f.type)) for f in dtype])
    return dtype
