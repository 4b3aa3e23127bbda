"""What a source is: a table of columns, and one function from the columns of a shard to drafts of records.

A draft has the content columns of what the source emits, and may have any of the optional ones:

    pair         prompt, chosen, rejected
    comparison   prompt, first, second, outcome (first | second | tie | abstain | invalid) and
                 strength, p_first, score_first, score_second, model_first, model_second
    binary       prompt, completion, label, and score
    listwise     prompt, completions (messages, model, score, rank)
    all          margin, p_chosen, weight, tools, split, meta, annotations

A column named `file` in `columns` is filled with the input's file name up to its first dot, where the file has none.

Besides, there are columns of bookkeeping: `fate`, the code of the defect for which a row is not used (null = it is), `at`, the field
with the defect where the source knows it, and
`_row`, the input row (or the list of input rows) that a draft stands for. Without `_row` draft i is row i. No input row may go
missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import polars as pl

from prefdata.io.columns import Column
from prefdata.io.probe import Probe

Emits = Literal["pair", "comparison", "binary", "listwise"]


@dataclass(frozen=True)
class Defect:
    """A named reason for which rows of a source are not used, and where the defect is documented or measured."""

    code: str
    action: Literal["drop", "reject"]
    reason: str
    cite: str


@dataclass(frozen=True)
class Choices:
    """What the user chose for a source."""

    dimension: str | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    threshold: float | None = None


class Dimension(NamedTuple):
    """Something that a source's preference can be about."""

    meaning: str
    needs: str | None = None
    """The column that states it; a file without the column does not have the dimension."""


Read = Callable[[pl.DataFrame, Choices], pl.DataFrame]


@dataclass(frozen=True)
class Source:
    """One public (or generic) layout of preference data."""

    name: str
    title: str
    url: str
    licence: str
    columns: Mapping[str, Column]
    """Columns that are read; empty = each row as one JSON text in the column `json`."""
    emits: Emits
    read: Read
    signature: frozenset[str]
    """Columns that tell this source from others; `--from auto` goes by them."""
    looks: Callable[[list[dict[str, Any]]], bool] | None = None
    """A second look at the first rows, where columns alone do not tell."""
    also: Mapping[Emits, Read] = field(default_factory=dict)
    """Other kinds that the source states itself (safety labels beside preferences, say)."""
    dimensions: Mapping[str, Dimension] = field(default_factory=dict)
    """What the preference can be about. Where a file has several, the user must choose, unless there is a default."""
    dimension: str | None = None
    """The default dimension."""
    defects: tuple[Defect, ...] = ()
    grouped: bool = False
    """Whether records are made of rows that may stand anywhere in the inputs: the whole set is then read first."""
    configure: Callable[[Any, Probe, Source], Source] | None = None
    """For sources whose columns depend on the file or on the user: options, probe and source to the source as it is used."""
    late: frozenset[str] = frozenset()
    """Optional columns that the first rows of a file lack: no later row may have them."""
    rows: Callable[[bytes, str], Iterator[tuple[int, dict[str, Any]]]] | None = None
    """For files that are not rows (XML): the file's bytes to numbered rows."""


def present_only(options: Any, found: Probe, source: Source) -> Source:
    """The source without the optional columns that the file lacks (for `configure`): what a file never states is not written as null. In
    a file that does not state its columns, a row in which one appears later is rejected."""
    absent = frozenset(c for c, column in source.columns.items() if not column.required and c not in found.columns)
    if found.schema is None:
        return replace(source, late=absent)
    return replace(source, columns={c: column for c, column in source.columns.items() if c not in absent})


def columns_of(**columns: Column) -> dict[str, Column]:
    """Columns by keyword; names that are no Python identifiers are given with `| {...}`."""
    return columns


def mostly(rows: list[dict[str, Any]], test: Callable[[dict[str, Any]], bool]) -> bool:
    """Whether more than half of the rows pass: a few broken rows do not hide what a file is."""
    return 2 * sum(map(test, rows)) > len(rows)
