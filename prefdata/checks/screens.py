"""Looking for rare things in many texts without looking at every text.

The texts of a column are laid end to end and cut into blocks at text borders: a block is scanned at the speed of memory, where one
text at a time would cost more for the call than for its characters. Only the texts of blocks with a hit are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
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

    def where(self, screen: pl.Expr) -> Ints:
        """Numbers of the texts in blocks that satisfy an expression over `content`. It must not be anchored: a block is no text."""
        return self.texts_of(np.flatnonzero(self.frame.select(screen).to_series().to_numpy()))

    def texts_of(self, blocks: Ints) -> Ints:
        """Numbers of the texts in these blocks."""
        sizes = self.cuts[blocks + 1] - self.cuts[blocks]
        ends = np.cumsum(sizes)
        found: Ints = np.arange(ends[-1] if len(ends) else 0) + np.repeat(self.cuts[blocks] - ends + sizes, sizes)
        return found


_BLOCKS: WeakKeyDictionary[Turns, Blocks] = WeakKeyDictionary()


def blocks_of(turns: Turns) -> Blocks:
    """The blocks of a column; they are made once."""
    if turns not in _BLOCKS:
        _BLOCKS[turns] = Blocks(turns)
    return _BLOCKS[turns]


NOTHING = pl.DataFrame(schema={"turn": pl.UInt32, "role": pl.String, "content": pl.String})


def sift(turns: Turns, *steps: pl.Expr, screen: pl.Expr | None = None) -> pl.DataFrame:
    """The turns (`turn` is their number, `role`, `content`) that satisfy one expression after the other: each step sees only what the
    one before left. The screen, which sees blocks, comes before all."""
    if screen is None:
        left = turns.flat.select("role", "content").with_row_index("turn")
    else:
        at = blocks_of(turns).where(screen)
        if not len(at):
            return NOTHING
        left = turns.flat.select("role", "content")[at].with_columns(turn=pl.Series(at, dtype=pl.UInt32))
    for step in steps:
        if not left.height:
            break  # a call costs as much as looking at hundreds of texts
        left = left.filter(step)
    return left


def hits(turns: Turns, numbers: pl.Series | Ints, column: str, note: str | None = None) -> Iterator[Hits]:
    """The rows of turns, where there are any."""
    if len(numbers):
        flags = np.zeros(len(turns.flat), dtype=bool)
        flags[numbers.to_numpy() if isinstance(numbers, pl.Series) else numbers] = True
        yield turns.hits(flags, column, note)


def where(
    v: View, *steps: pl.Expr, columns: tuple[str, ...] | None = None, screen: pl.Expr | None = None, note: str | None = None
) -> list[Hits]:
    """Rows of which some turn satisfies all expressions, by columns."""
    out: list[Hits] = []
    for c in columns or v.columns:
        turns = v.turns(c)
        out += hits(turns, sift(turns, *steps, screen=screen)["turn"], c, note)
    return out


@cache
def says(pattern: str) -> pl.Expr:
    """Whether a text matches a regex."""
    return TEXT.str.contains(pattern)


BEYOND_ASCII = TEXT.str.len_bytes() != TEXT.str.len_chars()
BY_ASSISTANT = pl.col("role") == "assistant"
