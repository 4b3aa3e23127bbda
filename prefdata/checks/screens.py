"""Looking for rare things in many texts without looking at every text.

The texts of a column are laid end to end and cut into blocks at text borders: a block is scanned at the speed of memory, where one
text at a time would cost more for the call than for its characters. Only the texts of blocks with a hit are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, cached_property
from weakref import WeakKeyDictionary

import numpy as np
import polars as pl
import pyarrow as pa

from prefdata.checks.view import Hits, Ints, Turns, View
from prefdata.schema.ids import flat_contents

BLOCK = 4 * 1024
"""Bytes in a block."""

TEXT = pl.col("content")


class Blocks:
    """The texts of a column, end to end."""

    def __init__(self, turns: Turns, size: int = BLOCK) -> None:
        data, offsets = flat_contents(turns.arrow)
        start, end = int(offsets[0]), int(offsets[-1])
        data = pa.py_buffer(data).slice(start, end - start)
        self.offsets: Ints = offsets - start
        self.bytes = np.frombuffer(data, dtype=np.uint8)
        at = np.searchsorted(self.offsets, np.arange(0, end - start, size))
        self.cuts: Ints = np.unique(np.append(at, len(self.offsets) - 1))
        borders = pa.py_buffer(self.offsets[self.cuts].tobytes())
        blocks = pa.LargeStringArray.from_buffers(len(self.cuts) - 1, borders, data)
        self.frame = pl.DataFrame({"content": pl.Series(blocks, dtype=pl.String)})

    def inside(self, blocks: Ints) -> Ints:
        """Numbers of the texts in these blocks."""
        sizes = self.cuts[blocks + 1] - self.cuts[blocks]
        ends = np.cumsum(sizes)
        found: Ints = np.arange(ends[-1] if len(ends) else 0) + np.repeat(self.cuts[blocks] - ends + sizes, sizes)
        return found

    def owners(self, places: Ints) -> Ints:
        """Numbers of the texts with a byte at one of these places."""
        found: Ints = np.unique(np.searchsorted(self.offsets, places, side="right") - 1)
        return found


class Texts:
    """The texts of all columns of a view, one column after the other: a call costs as much as looking at hundreds of texts, so a question
    is asked of all of them at once. Column i has the numbers from `starts[i]` on."""

    def __init__(self, v: View) -> None:
        self.columns = v.columns
        self.turns = [v.turns(c) for c in v.columns]
        self.starts: Ints = np.cumsum([0, *(len(t.flat) for t in self.turns)])
        self.flat = pl.concat([t.flat.select("role", "content") for t in self.turns], rechunk=True).with_row_index("n")

    @cached_property
    def blocks(self) -> list[Blocks]:
        return [Blocks(t) for t in self.turns]

    @cached_property
    def _frame(self) -> pl.DataFrame:
        return pl.concat([b.frame for b in self.blocks])

    @cached_property
    def _first(self) -> Ints:
        """Numbers of the first block of each column."""
        found: Ints = np.cumsum([0, *(b.frame.height for b in self.blocks)])
        return found

    def screened(self, screen: pl.Expr, columns: range) -> Ints:
        """Numbers of the texts in blocks that satisfy an expression over `content`. It must not be anchored: a block is no text."""
        start, end = self._first[columns.start], self._first[columns.stop]
        at = np.flatnonzero(self._frame[start:end].select(screen).to_series().to_numpy()) + start
        return np.concatenate([self.starts[i] + self.blocks[i].inside(own) for i, own in self._split(at, self._first, columns)])

    def hits(self, numbers: Ints, note: str | None = None) -> Iterator[Hits]:
        """The rows of texts (numbers in ascending order), by columns."""
        for i, at in self._split(numbers, self.starts, range(len(self.turns))):
            if len(at):
                yield self.turns[i].hits_at(at, self.columns[i], note)

    def _split(self, numbers: Ints, starts: Ints, columns: range) -> Iterator[tuple[int, Ints]]:
        borders = np.searchsorted(numbers, starts)
        return ((i, numbers[borders[i] : borders[i + 1]] - starts[i]) for i in columns)

    def range_of(self, columns: tuple[str, ...] | None) -> range:
        """The places of columns that stand side by side."""
        return range(self.columns.index(columns[0]), self.columns.index(columns[-1]) + 1) if columns else range(len(self.columns))


_TEXTS: WeakKeyDictionary[View, Texts] = WeakKeyDictionary()


def texts_of(v: View) -> Texts:
    """The texts of a view; they are laid out once."""
    if v not in _TEXTS:
        _TEXTS[v] = Texts(v)
    return _TEXTS[v]


def sift(v: View, *steps: pl.Expr, screen: pl.Expr | None = None, columns: tuple[str, ...] | None = None) -> pl.DataFrame:
    """The texts (`n` is their number, `role`, `content`) that satisfy one expression after the other: each step sees only what the one
    before left. The screen, which sees blocks, comes before all."""
    texts = texts_of(v)
    part = texts.range_of(columns)
    if screen is None:
        start, end = texts.starts[part.start], texts.starts[part.stop]
        left = texts.flat[start:end]
    else:
        left = texts.flat[texts.screened(screen, part)]
    for step in steps:
        if not left.height:
            break
        left = left.filter(step)
    return left


def hits(v: View, found: pl.Series | Ints, note: str | None = None) -> Iterator[Hits]:
    """The rows of texts with these numbers (in ascending order), by columns."""
    if len(found):
        yield from texts_of(v).hits(found.to_numpy().astype(np.int64) if isinstance(found, pl.Series) else found, note)


def where(
    v: View, *steps: pl.Expr, columns: tuple[str, ...] | None = None, screen: pl.Expr | None = None, note: str | None = None
) -> list[Hits]:
    """Rows of which some turn satisfies all expressions, by columns."""
    return list(hits(v, sift(v, *steps, screen=screen, columns=columns)["n"], note))


@cache
def says(pattern: str) -> pl.Expr:
    """Whether a text matches a regex."""
    return TEXT.str.contains(pattern)


BY_ASSISTANT = pl.col("role") == "assistant"
