"""Looking for rare things in many texts without looking at every text.

The texts of a column are laid end to end and cut into blocks at text borders: a block is scanned at the speed of memory, where one
text at a time would cost more for the call than for its characters. Only the texts of blocks with a hit are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakKeyDictionary

import numpy as np
import polars as pl
import pyarrow as pa

from prefdata.checks.view import Hits, Ints, Turns, View

BLOCK = 4 * 1024
"""Bytes in a block."""

TEXT = pl.col("content")


class Blocks:
    """The texts of a column, end to end."""

    def __init__(self, content: pl.Series, size: int = BLOCK) -> None:
        texts = content.to_arrow().cast(pa.large_string())
        _, offsets, data = texts.buffers()
        self.offsets: Ints = np.frombuffer(offsets, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
        self.bytes = np.frombuffer(data if data is not None else b"", dtype=np.uint8)
        start, end = int(self.offsets[0]), int(self.offsets[-1])
        at = np.searchsorted(self.offsets, np.arange(start, end, size))
        self.cuts: Ints = np.unique(np.append(at, len(texts)))
        borders = pa.py_buffer(self.offsets[self.cuts].tobytes())
        blocks = pa.LargeStringArray.from_buffers(len(self.cuts) - 1, borders, data)
        self.frame = pl.DataFrame({"content": pl.Series(blocks, dtype=pl.String)})

    def where(self, screen: pl.Expr) -> Ints:
        """Numbers of the texts in blocks that satisfy an expression over `content`. It must not be anchored: a block is no text."""
        return self.texts_of(np.flatnonzero(self.frame.select(screen.alias("f"))["f"].to_numpy()))

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
        _BLOCKS[turns] = Blocks(turns.content)
    return _BLOCKS[turns]


def sift(turns: Turns, *steps: pl.Expr, screen: pl.Expr | None = None) -> pl.DataFrame:
    """The turns (`turn` is their number, `role`, `content`) that satisfy one expression after the other: each step sees only what the
    one before left. The screen, which sees blocks, comes before all."""
    left = turns.flat.select("role", "content")
    if screen is None:
        left = left.with_row_index("turn")
    else:
        at = blocks_of(turns).where(screen)
        left = left[at].with_columns(turn=pl.Series(at, dtype=pl.UInt32))
    for step in steps:
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


def says(pattern: str) -> pl.Expr:
    """Whether a text matches a regex."""
    return TEXT.str.contains(pattern)


BEYOND_ASCII = TEXT.str.len_bytes() != TEXT.str.len_chars()
BY_ASSISTANT = pl.col("role") == "assistant"
