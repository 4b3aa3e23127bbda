"""HH-RLHF transcripts to turns, columnar and exact: joining the turns with their markers gives the transcript back.

A turn begins at `\\n\\nHuman: ` or `\\n\\nAssistant: `. The bare words inside a turn are text, and so are blank lines. The prompt of a
pair is what precedes the last assistant turn, compared whole; it is never a common character prefix.

The markers are looked for in the flat bytes of a column, and turns are cut out as offsets into them, without copying text.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from prefdata.io.positions import bits_of, filled, next_of, places
from prefdata.schema.dtypes import TURNS
from prefdata.schema.ids import flat_texts, relist
from prefdata.sources.build import assistant

HUMAN, ASSISTANT = "\n\nHuman: ", "\n\nAssistant: "

Ints = Any
"""One-dimensional numpy array of int64."""


class Marks(NamedTuple):
    """The turn markers of a column of texts: where each begins and ends (bytes in `data`), whose turn it opens; and by text: where it
    begins and ends, its first marker and how many it has."""

    data: Any
    begin: Ints
    end: Ints
    is_user: Any
    text_begin: Ints
    text_end: Ints
    first: Ints
    count: Ints

    @property
    def last(self) -> Ints:
        """The last marker of each text (any marker where it has none; `count` tells)."""
        return np.clip(self.first + self.count - 1, 0, max(len(self.begin) - 1, 0))


def marks(texts: pl.Series) -> Marks:
    """Find all markers."""
    data, offsets = flat_texts(texts)
    breaks = bits_of(np.frombuffer(data, np.uint8), ord("\n"))
    some = filled(breaks)
    at = places(breaks[some] & next_of(breaks, some), some)  # blank lines
    human, assistant = _opens(data, at, HUMAN), _opens(data, at, ASSISTANT)
    begin = at[human | assistant]
    is_user = human[human | assistant]
    end = begin + np.where(is_user, len(HUMAN), len(ASSISTANT))
    text = np.searchsorted(offsets, begin, side="right") - 1
    inside = end <= offsets[np.minimum(text + 1, len(offsets) - 1)]  # not across the border of two texts
    begin, end, is_user, text = begin[inside], end[inside], is_user[inside], text[inside]
    count = np.bincount(text, minlength=len(texts)).astype(np.int64)
    return Marks(data, begin, end, is_user, offsets[:-1], offsets[1:], np.cumsum(count) - count, count)


def _opens(data: Any, at: Ints, marker: str) -> Any:
    """Which of the positions the marker stands at."""
    size = len(marker)
    if data.size < size:
        return np.zeros(len(at), dtype=bool)
    windows = np.ndarray(data.size - size + 1, f"S{size}", data, 0, (1,))  # the bytes behind every position
    return (windows[np.minimum(at, len(windows) - 1)] == marker.encode()) & (at < len(windows))


def _cut(data: Any, bounds: Ints, dtype: Any) -> pl.Series:
    """The texts (or bytes) between neighbouring bounds, as views of the data."""
    offsets = pa.py_buffer(np.ascontiguousarray(bounds))
    return pl.Series("t", pl.from_arrow(pa.Array.from_buffers(dtype, len(bounds) - 1, [None, offsets, data])))


def _half(data: Any, begin: Ints, middle: Ints, end: Ints, behind: bool, dtype: Any) -> pl.Series:
    """Each text's part before or behind a byte position; as bytes where the position may lie inside a character."""
    bounds = np.empty(2 * len(begin) + 1, np.int64)
    bounds[0:-1:2], bounds[1::2], bounds[-1] = begin, middle, end[-1] if len(end) else 0
    return _cut(data, bounds, dtype).gather_every(2, int(behind))


def _blank(texts: pl.Series, data: Any, begin: Ints, end: Ints) -> Any:
    """Which texts (of these bounds in `data`) are white space. The first byte tells for nearly all of them."""
    a = np.frombuffer(data, np.uint8)
    first = a[np.minimum(begin, len(a) - 1)] if len(a) else np.zeros(len(begin), np.uint8)
    blank = (begin == end) | (first <= 32) | (first >= 127)
    rest = np.flatnonzero(blank)
    blank[rest] = (texts.gather(rest).str.strip_chars() == "").to_numpy()
    return blank


def _roles(is_user: Any) -> pl.Series:
    role = pl.when("u").then(pl.lit("user")).otherwise(pl.lit("assistant"))
    return pl.DataFrame({"u": is_user}, schema={"u": pl.Boolean}).select(role.alias("role"))["role"]


def _turns(is_user: Any, contents: pl.Series, counts: Ints) -> pl.Series:
    flat = pl.DataFrame({"role": _roles(is_user), "content": contents}).to_struct("turns")
    return relist(flat, pl.Series(counts)).cast(TURNS)


def _turn_bounds(m: Marks) -> Ints:
    """Bounds of markers and contents in turn. The content behind a text's last marker runs too far: it is cut out elsewhere."""
    bounds = np.empty(2 * len(m.begin) + 1, np.int64)
    bounds[0:-1:2], bounds[1::2], bounds[-1] = m.begin, m.end, m.data.size
    return bounds


def _begins(m: Marks) -> Any:
    """Whether each text begins with a Human marker."""
    first = np.clip(m.first, 0, max(len(m.begin) - 1, 0))
    return (m.count > 0) & (m.begin[first] == m.text_begin) & m.is_user[first] if len(m.begin) else m.count > 0


def _alternates(m: Marks) -> Any:
    """Whether no speaker has two turns in a row."""
    again = np.flatnonzero(m.is_user[1:] == m.is_user[:-1]) + 1
    again = again[~np.isin(again, m.first)]
    out = np.ones(len(m.count), dtype=bool)
    out[np.searchsorted(m.first + m.count, again, side="right")] = False
    return out


class Parsed(NamedTuple):
    """The turns of each transcript, whether it begins with a Human marker, and whether the speakers take turns."""

    turns: pl.Series
    begins: pl.Series
    alternates: pl.Series


def parse(texts: pl.Series) -> Parsed:
    """Cut whole transcripts into turns."""
    m = marks(texts)
    bounds = _turn_bounds(m)
    contents = _cut(m.data, bounds, pa.large_string()).gather_every(2, 1) if len(m.begin) else pl.Series("t", [], dtype=pl.String)
    last = m.last[m.count > 0]
    middle = np.where(m.count > 0, m.end[m.last] if len(m.begin) else 0, m.text_begin)
    tails = _half(m.data, m.text_begin, middle, m.text_end, True, pa.large_string())
    contents = contents.scatter(last, tails.filter(pl.Series(m.count > 0))) if len(last) else contents
    return Parsed(_turns(m.is_user, contents, m.count), pl.Series(_begins(m)), pl.Series(_alternates(m)))


def pairs(chosen: pl.Series, rejected: pl.Series) -> pl.DataFrame:
    """`prompt, chosen, rejected` (turns) and `fate` of two transcripts that should differ only in their last turn.

    `chosen` is cut into turns; what precedes its answer must be how `rejected` begins, byte for byte, and no turn may begin behind it.
    """
    c = marks(chosen)
    data, offsets = flat_texts(rejected)
    none = np.zeros(len(c.count), np.int64)
    size = np.where(c.count > 0, c.end[c.last], c.text_begin) - c.text_begin if len(c.begin) else none
    answered = (c.count > 0) & ~c.is_user[c.last] if len(c.begin) else none > 0
    text, raw = pa.large_string(), pa.large_binary()
    base = _half(c.data, c.text_begin, c.text_begin + size, c.text_end, False, raw)
    answer = _half(c.data, c.text_begin, c.text_begin + size, c.text_end, True, text)
    room = size <= np.diff(offsets)
    other_base = _half(data, offsets[:-1], offsets[:-1] + np.where(room, size, 0), offsets[1:], False, raw)
    same = (base == other_base).to_numpy() & room
    other = _half(data, offsets[:-1], offsets[:-1] + np.where(same, size, 0), offsets[1:], True, text)
    in_prompt = np.ones(len(c.begin), dtype=bool)
    in_prompt[c.last[c.count > 0]] = False
    contents = pl.Series("t", [], pl.String)
    if len(c.begin):
        contents = _cut(c.data, _turn_bounds(c), text).gather(2 * np.flatnonzero(in_prompt) + 1)
    goes_on = pl.DataFrame({"o": other}).select(pl.col("o").str.contains_any([HUMAN, ASSISTANT]))["o"].to_numpy()
    blank = _blank(answer, c.data, c.text_begin + size, c.text_end)
    blank |= _blank(other, data, offsets[:-1] + np.where(same, size, 0), offsets[1:])
    cases = {
        "no-human-turn": ~_begins(c),
        "no-assistant-answer": ~answered,
        "context-mismatch": ~same | goes_on,
        "empty-answer": blank,
        "same-speaker-twice": ~_alternates(c),
    }
    which = np.select(list(cases.values()), list(range(len(cases))), len(cases))
    return pl.DataFrame(
        {
            "prompt": _turns(c.is_user[in_prompt], contents, np.maximum(c.count - 1, 0)),
            "chosen": answer,
            "rejected": other,
            "fate": pl.Series([*cases, None], dtype=pl.String).gather(which),
        }
    ).with_columns(assistant("chosen").alias("chosen"), assistant("rejected").alias("rejected"))
