"""How a file is checked: prefdata's own files as they stand, every other one through its source, in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from prefdata.checks.options import ValidateOptions
from prefdata.errors import UsageError
from prefdata.io.columns import TEXT, Column, Layout
from prefdata.io.own import KEY_COLUMNS, is_own, kinds_of, own_file
from prefdata.io.plan import Shard
from prefdata.io.probe import Probe, probe
from prefdata.io.read import Batch, read_shard
from prefdata.io.sniff import Input
from prefdata.schema.dtypes import required
from prefdata.sources.intake import drafts, intake, read_rows
from prefdata.sources.recognise import NotRecognised, Unreadable
from prefdata.sources.source import Choices, Source


@dataclass(frozen=True)
class Reading:
    """The kind of a file's records and how its rows become them. It can be pickled."""

    kind: str
    columns: dict[str, Column]
    layout: Layout
    source: Source | None = None
    choices: Choices | None = None
    why: str = "it has the columns of the kind"

    @property
    def name(self) -> str:
        return self.source.name if self.source else f"prefdata-{self.kind}"

    @property
    def whole(self) -> bool:
        """Whether records are made of rows that may stand anywhere in the file."""
        return self.source is not None and self.source.grouped

    @property
    def states_split(self) -> bool:
        """Whether records may say which split they belong to."""
        if self.source is None:
            return "split" in self.layout.present
        empty = pl.DataFrame(schema=self.layout.dtypes or {"json": TEXT}).drop(self.source.late)
        return "split" in self.records(empty)[0].columns

    def read(self, shard: Shard) -> Batch:
        if self.source is None:
            return read_shard(shard, self.layout, self.columns)
        return read_rows(shard, self.source, self.layout)

    def records(self, df: pl.DataFrame) -> tuple[pl.DataFrame, np.ndarray[Any, Any], pl.DataFrame]:
        """`(records, the row of each, what became of the other rows)`; the last has `_row`, `fate` and `at`. Records that a verdict
        decided have the column `decide.FIRST_WINS`, too."""
        if self.source is None or self.choices is None:
            may = set(df.columns) - {"id", *required(self.kind)}
            used = df.drop(c for c in may if df[c].null_count() == df.height)  # to rules, a column without values is no column
            return used, np.arange(df.height), pl.DataFrame(schema={"_row": pl.Int64, "fate": pl.String, "at": pl.String})
        draft, _ = drafts(df, self.source, self.choices, self.kind, order=True)
        if "at" not in draft.columns:
            draft = draft.with_columns(pl.lit(None, pl.String).alias("at"))
        lost = draft.filter(pl.col("fate").is_not_null()).select("_row", "fate", "at")
        if isinstance(draft.schema["_row"], pl.List):
            lost = lost.explode("_row", empty_as_null=False, keep_nulls=False)
            draft = draft.with_columns(pl.col("_row").list.first())
        good = draft.filter(pl.col("fate").is_null()) if lost.height else draft
        return good.drop("_row", "fate", "at"), good["_row"].to_numpy(), lost


def reading(inp: Input, options: ValidateOptions) -> Reading:
    """Settle how a file is read. Raises UsageError when it is neither prefdata's own nor of a known source."""
    found = probe(inp)
    named = options.from_.removeprefix("prefdata-") if options.from_.startswith("prefdata-") else None
    if named in KEY_COLUMNS or (options.from_ == "auto" and is_own(found)):
        return own_reading(inp, named or options.kind, found)
    try:
        taken = intake(inp, options, options.kind)
    except (NotRecognised, Unreadable) as e:
        if options.kind or kinds_of(found):
            return own_reading(inp, options.kind, found)
        if isinstance(e, Unreadable):
            raise
        raise UsageError(f"{e}\nor, if it is a file of prefdata: --kind pair|binary|listwise") from None
    to = options.kind or taken.kind
    if to != taken.kind and to not in taken.source.also and not (taken.source.emits == "comparison" and to == "listwise"):
        raise UsageError(f"{inp.name}: {taken.source.name} gives {taken.kind} records, not {to} records")
    return Reading(to, dict(taken.source.columns), taken.layout, taken.source, taken.choices, taken.why)


def own_reading(inp: Input, kind: str | None, found: Probe | None = None) -> Reading:
    """How a file of prefdata is read. Raises UsageError when its kind cannot be seen."""
    return Reading(*own_file(inp, kind, found))
