"""What a row rule sees: the records of a shard, with the turns of all of them flat, and how it says which rows it flags."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from prefdata.schema.ids import add_ids, arrow_of, flat_contents

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

TURN_COLUMNS = {"pair": ("prompt", "chosen", "rejected"), "binary": ("prompt", "completion"), "listwise": ("prompt", "completions")}


class Hits(NamedTuple):
    """Flagged rows, in order, and where in them."""

    rows: Ints
    field: str | None = None
    """The field, where it is not the rule's own."""
    turns: Ints | None = None
    """For each row, the flagged turn of the field."""
    note: str | None = None
    """What is to be added to the rule's message."""
    others: Ints | None = None
    """For each row, the row that it clashes with (only for rules over all rows)."""


class View:
    """A frame of valid records of one kind. Optional columns may be missing."""

    def __init__(self, df: pl.DataFrame, kind: str) -> None:
        self.df = df
        self.kind = kind
        self._turns: dict[str, Turns] = {}

    def __len__(self) -> int:
        return self.df.height

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of turns of the kind; `completions` stands for the turns of all candidates."""
        return TURN_COLUMNS[self.kind]

    @property
    def answers(self) -> tuple[str, ...]:
        return self.columns[1:]

    def turns(self, column: str) -> Turns:
        """The turns of a column, flat."""
        if column not in self._turns:
            lists = self.df[column]
            if column == "completions":
                lists = self.df.select(pl.col(column).list.eval(pl.element().struct.field("messages").explode()))[column]
            self._turns[column] = Turns(lists)
        return self._turns[column]

    def where(self, flags: pl.Expr, columns: tuple[str, ...] | None = None, note: str | None = None) -> list[Hits]:
        """Rows of which some turn satisfies an expression over the flat columns `role` and `content`."""
        out = []
        for c in columns or self.columns:
            turns = self.turns(c)
            out.append(turns.hits(turns.flat.select(flags.alias("f"))["f"].fill_null(False).to_numpy(), c, note))
        return [h for h in out if len(h.rows)]

    def rows(self, flags: pl.Expr | Mask, field: str | None = None, note: str | None = None) -> list[Hits]:
        """Rows that satisfy an expression over the record columns (or a mask); a null is no."""
        mask = self.df.select(flags.alias("f"))["f"].fill_null(False).to_numpy() if isinstance(flags, pl.Expr) else flags
        found = np.flatnonzero(mask)
        return [Hits(found, field, note=note)] if len(found) else []

    @cached_property
    def ids(self) -> pl.Series:
        """The content id of each record (the one that it states, where it states one)."""
        return self.df["id"] if "id" in self.df.columns else add_ids(self.df, self.kind)["id"]


class Turns:
    """The turns of one column of all records, flat, in order."""

    def __init__(self, lists: pl.Series) -> None:
        self._lists = lists
        self.lengths: Ints = lists.list.len().fill_null(0).to_numpy().astype(np.int64)
        self.ends = np.cumsum(self.lengths)
        self.flat: pl.DataFrame = lists.list.explode(keep_nulls=False, empty_as_null=False).struct.unnest()

    @cached_property
    def arrow(self) -> Any:
        """The lists of turns as one Arrow array, the texts end to end."""
        return arrow_of(self._lists)

    @property
    def content(self) -> pl.Series:
        return self.flat["content"]

    @cached_property
    def first(self) -> pl.Series:
        """The first text of each record."""
        return self.content[self.ends - self.lengths]

    @cached_property
    def last(self) -> pl.Series:
        """The last text of each record."""
        return self.content[self.ends - 1]

    @cached_property
    def bytes(self) -> Ints:
        """The length of each record's texts together, in bytes."""
        _, places = flat_contents(self.arrow)
        found: Ints = places[self.ends] - places[self.ends - self.lengths]
        return found

    @cached_property
    def key(self) -> pl.Series:
        """A 64-bit hash of each record's turns (roles, texts, tool fields); good for this run only."""
        return self.key_of(self.content)

    def key_of(self, content: pl.Series) -> pl.Series:
        """The same over other texts of the same turns (lower-cased ones, say)."""
        h = content.hash().to_numpy() ^ self.flat["role"].hash(seed=1).to_numpy()
        tools = [c for c in self.flat.columns[2:] if self.flat[c].null_count() < self.flat.height]
        if tools:
            h = h ^ self.flat.select(pl.struct(tools).hash(seed=2).alias("h"))["h"].to_numpy()
        place = np.arange(len(h), dtype=np.uint64) - np.repeat((self.ends - self.lengths).astype(np.uint64), self.lengths)
        with np.errstate(over="ignore"):
            mixed = (h + (place + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xD6E8FEB86659FD93)
            mixed ^= mixed >> np.uint64(32)
            total = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(mixed, dtype=np.uint64)])
            return pl.Series("key", total[self.ends] - total[self.ends - self.lengths])

    def hits(self, flags: Mask, field: str, note: str | None = None) -> Hits:
        """The rows with a flagged turn, each with its first one."""
        return self.hits_at(np.flatnonzero(flags), field, note)

    def hits_at(self, at: Ints, field: str, note: str | None = None) -> Hits:
        """The same for turns with these numbers (in ascending order)."""
        rows, first = np.unique(np.searchsorted(self.ends, at, side="right"), return_index=True)
        return Hits(rows, field, at[first] - (self.ends - self.lengths)[rows], note)
