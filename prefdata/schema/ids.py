"""Content ids: the same content has the same id in every file, on every machine, in every version.

    turn        two texts: role [" " + name, tool_calls, tool_call_id as JSON, if any is set], and content
    turns       number of turns, bytes of both texts of each turn, all first texts, all contents
    completion  sha256("completion\n" + turns)
    record      sha256(kind + "\n" + prompt turns + each part ["\n" + tools])

Numbers take four bytes, the lowest first; ids are the first 128 bits in lower-case hexadecimal. The parts are: chosen and rejected
turns (pair); completion turns and "true" or "false" (binary); the sorted completion ids joined by "\n" (listwise). Margins, scores,
source, split, meta and annotations do not change an id.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import polars as pl
import polars_hash as plh
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from prefdata.schema.records import Message, Record

EXTRAS = ("name", "tool_calls", "tool_call_id")


def _head(m: Message) -> str:
    extras = m.model_dump(include=set(EXTRAS))
    if all(v is None for v in extras.values()):
        return m.role
    return f"{m.role} {orjson.dumps(extras, option=orjson.OPT_SORT_KEYS).decode()}"


def _bytes(messages: list[Message]) -> bytes:
    heads, contents = [_head(m).encode() for m in messages], [m.content.encode() for m in messages]
    numbers = [len(messages), *(len(text) for turn in zip(heads, contents, strict=True) for text in turn)]
    return b"".join([struct.pack(f"<{len(numbers)}I", *numbers), *heads, *contents])


def completion_id(messages: list[Message]) -> str:
    """The id of a listwise candidate."""
    return hashlib.sha256(b"completion\n" + _bytes(messages)).hexdigest()[:32]


def record_id(record: Record) -> str:
    """The id that a record must have; Python form of `add_ids`."""
    from prefdata.schema.records import Binary, Listwise, Pair

    parts = [f"{type(record).__name__.lower()}\n".encode(), _bytes(record.prompt)]
    if isinstance(record, Pair):
        parts += [_bytes(record.chosen), _bytes(record.rejected)]
    elif isinstance(record, Binary):
        parts += [_bytes(record.completion), b"true" if record.label else b"false"]
    elif isinstance(record, Listwise):
        parts += ["\n".join(sorted(c.id for c in record.completions)).encode()]
    if record.tools is not None:
        parts += [b"\n", record.tools.encode()]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:32]


def flat_texts(texts: pl.Series) -> tuple[Any, Any]:
    """All texts in one buffer, and where they begin and end (int64). Null is as empty."""
    texts = texts.rechunk()
    return _in_place(texts) or _flat(texts.to_arrow(compat_level=pl.CompatLevel.oldest()))


def _in_place(texts: pl.Series) -> tuple[Any, Any] | None:
    """The same without a copy, where the texts already lie one behind the other, as a reader leaves them. A view of a text is its length,
    4 bytes, the buffer and the place in it; texts of up to 12 bytes lie in the view itself."""
    if texts.null_count() or not len(texts):
        return None
    array = texts.to_arrow(compat_level=pl.CompatLevel.newest())
    _, views, *data = array.buffers()
    sizes, _, _, places = np.frombuffer(views, "<i4").reshape(-1, 4)[array.offset : array.offset + len(array)].T
    bounds = np.append(places, places[-1] + sizes[-1]).astype(np.int64)
    if len(data) != 1 or sizes.min() <= 12 or (np.diff(bounds) != sizes).any():
        return None
    return data[0].slice(bounds[0], bounds[-1] - bounds[0]), bounds - bounds[0]


def _flat(array: Any) -> tuple[Any, Any]:
    if not len(array):
        return pa.py_buffer(b""), np.zeros(1, np.int64)
    _, offsets, data = array.buffers()
    return data or pa.py_buffer(b""), np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]


def arrow_of(turns: pl.Series) -> Any:
    """Lists of turns as one Arrow array with the texts end to end; null is the empty list. This copies all texts: do it once."""
    if turns.null_count():
        turns = turns.fill_null(pl.lit([], dtype=turns.dtype))
    return turns.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())


def flat_contents(lists: Any) -> tuple[Any, Any]:
    """The contents of all turns of an `arrow_of` in one buffer, and where they begin and end (int64)."""
    data, offsets = _flat(lists.values.flatten()[1])
    ends = _ends(lists)
    return data, offsets[ends[0] : ends[-1] + 1]


def _ends(lists: Any) -> Any:
    """Where the lists begin and end (int64). Not `to_numpy()`: pyarrow imports pandas for it, and for values of Python."""
    offsets = lists.offsets
    return np.frombuffer(offsets.buffers()[1], np.int64)[offsets.offset : offsets.offset + len(offsets)]


def _is_null(array: Any) -> Any:
    return pl.Series(pl.from_arrow(array)).is_null().to_numpy()


def _pieces(lists: Any) -> list[Any]:
    """The bytes of each list of turns as columns to be joined: numbers, first texts, contents. The texts of a list stand one behind the
    other in the flat column, so nothing is copied. A list with a null inside is null."""
    texts = dict(zip([f.name for f in lists.type.value_type], lists.values.flatten(), strict=True))
    head, content = texts["role"], texts["content"]
    if len(texts) > 2:
        flat = pl.DataFrame(pl.from_arrow(lists.values)).unnest("")
        head = flat.select(pl.col("role") + _tool_texts(flat))["role"].to_arrow(compat_level=pl.CompatLevel.oldest())
    ends = _ends(lists)
    (heads, h), (contents, c) = _flat(head), _flat(content)
    lengths = np.stack([np.diff(h), np.diff(c)], axis=1)[ends[0] : ends[-1]].astype("<u4")
    places = 2 * (ends - ends[0])
    numbers = np.insert(lengths.ravel(), places[:-1], np.diff(ends))
    bounds = 4 * (places + np.arange(len(ends)))
    missing = _is_null(head) | _is_null(content) if head.null_count or content.null_count else None
    valid = _valid(missing, ends)
    return [_binary(data, at, valid) for data, at in ((pa.py_buffer(numbers), bounds), (heads, h[ends]), (contents, c[ends]))]


def _valid(missing: Any, ends: Any) -> Any:
    """The validity bitmap of lists, by their flat elements; None where all are valid."""
    if missing is None:
        return None
    before = np.concatenate([[0], np.cumsum(missing)])
    return pa.py_buffer(np.packbits(before[ends[1:]] == before[ends[:-1]], bitorder="little"))


def _binary(data: Any, bounds: Any, valid: Any) -> Any:
    return pa.Array.from_buffers(pa.large_binary(), len(bounds) - 1, [valid, pa.py_buffer(np.ascontiguousarray(bounds)), data])


def _sha(pieces: list[Any]) -> pl.Series:
    """SHA-256 of the joined pieces of each row."""
    joined = pl.DataFrame({"b": pl.from_arrow(pc.binary_join_element_wise(*pieces, _constant("")))})
    return joined.select(plh.col("b").chash.sha2_256().alias("sha"))["sha"]


def _constant(text: str) -> Any:
    return _binary(pa.py_buffer(text.encode()), np.array([0, len(text.encode())]), None)[0]


def _column(s: pl.Series) -> Any:
    return s.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_binary())


def turns_key_of(turns: pl.Series) -> pl.Series:
    """SHA-256 of each list of turns."""
    return _sha(_pieces(arrow_of(turns)))


def _tool_texts(flat: pl.DataFrame) -> pl.Series:
    """ " " + the tool fields as JSON, "" where none is set. Such turns are rare, so Python does them."""
    missing = [name for name in EXTRAS if name not in flat.columns]
    extras = flat.with_columns(pl.lit(None).alias(name) for name in missing).select(EXTRAS)
    used = extras.select(pl.any_horizontal(pl.all().is_not_null()).alias("u"))["u"]
    out = [""] * flat.height
    for i, row in zip(used.arg_true().to_list(), extras.filter(used).iter_rows(named=True), strict=True):
        out[i] = f" {orjson.dumps(row, option=orjson.OPT_SORT_KEYS).decode()}"
    return pl.Series("_extras", out, dtype=pl.String)


def relist(flat: pl.Series, lengths: pl.Series) -> pl.Series:
    """Put a flat column back into lists of the given lengths (null lengths become empty lists)."""
    offsets = pl.concat([pl.Series([0], dtype=pl.Int64), lengths.fill_null(0).cum_sum().cast(pl.Int64)])
    return pl.Series(
        "l", pl.from_arrow(pa.LargeListArray.from_arrays(offsets.to_arrow(), flat.to_arrow(compat_level=pl.CompatLevel.newest())))
    )


def completion_ids(messages: pl.Series) -> pl.Series:
    """The completion id of each list of turns."""
    return _sha([_constant("completion\n"), *_pieces(arrow_of(messages))]).str.head(32).alias("id")


def add_completion_ids(df: pl.DataFrame) -> pl.DataFrame:
    """Fill `completions[].id` from the messages."""
    flat = df["completions"].list.explode(keep_nulls=False, empty_as_null=False).struct.unnest()
    flat = flat.with_columns(completion_ids(flat["messages"])).select("id", *[c for c in flat.columns if c != "id"])
    return df.with_columns(relist(flat.to_struct("c"), df["completions"].list.len()).alias("completions"))


def add_ids(df: pl.DataFrame, kind: str, arrow: Mapping[str, Any] | None = None) -> pl.DataFrame:
    """Put the `id` column (and, for listwise, the completion ids) in front of a frame of records. `arrow` has the columns of turns as
    `arrow_of` gives them, for who has them already."""
    given = arrow or {}
    if kind == "listwise":
        df = add_completion_ids(df)
    pieces = [_constant(f"{kind}\n"), *_pieces(given.get("prompt") or arrow_of(df["prompt"]))]
    for column in {"pair": ("chosen", "rejected"), "binary": ("completion",), "listwise": ()}[kind]:
        pieces += _pieces(given.get(column) or arrow_of(df[column]))
    if kind == "binary":
        label = pl.when("label").then(pl.lit("true")).otherwise(pl.lit("false"))
        pieces.append(_column(df.select(t=label)["t"]))
    if kind == "listwise":
        pieces.append(_column(df["completions"].list.eval(pl.element().struct.field("id").sort()).list.join("\n")))
    if "tools" in df.columns:
        pieces.append(_column(df.select(t=("\n" + pl.col("tools")).fill_null(""))["t"]))
    return df.drop("id", strict=False).insert_column(0, _sha(pieces).str.head(32).alias("id"))
