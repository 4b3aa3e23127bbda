"""Which records a loss can learn from: those with the margins, scores or aspects that it needs. The others are dropped and counted."""

from __future__ import annotations

from collections import Counter

import polars as pl
import pyarrow as pa

from prefdata.errors import UsageError
from prefdata.train.store import Tokenised


def usable(found: Tokenised, kind: str, *, margins: bool = False, aspects: list[str] | None = None) -> Tokenised:
    """The records that are left: with `margins` pairs that have a positive one (`margin`, else the distance of their scores), with
    `aspects` records that somebody compared or scored on one of them, and lists in which a candidate is better than another. Raises
    UsageError when no record has one of the aspects: its head would learn nothing."""
    table, dropped = found.table, Counter(found.dropped)
    if margins and kind == "pair":
        given = pl.from_arrow(table.select(["margin", "gap"]))
        assert isinstance(given, pl.DataFrame)
        margin = given.select(pl.coalesce("margin", "gap").alias("margin"))["margin"]
        table = table.set_column(table.column_names.index("margin"), "margin", margin.to_arrow())
        table = _kept(table, margin > 0, "no-margin", dropped)
    if aspects:
        table = _kept(table, _has_aspects(table, aspects, kind), "no-aspect", dropped)
    elif kind == "listwise":
        scores = pl.Series(table.column("scores").combine_chunks())
        table = _kept(table, scores.list.drop_nulls().list.n_unique() > 1, "no-order", dropped)
    return Tokenised(table, dropped, found.cut)


def _kept(table: pa.Table, good: pl.Series, why: str, dropped: Counter[str]) -> pa.Table:
    mask = good.fill_null(False)
    if not mask.all():
        dropped[why] += int((~mask).sum())
        table = table.filter(mask.to_arrow())
    return table


def _has_aspects(table: pa.Table, aspects: list[str], kind: str) -> pl.Series:
    rows = pl.DataFrame({"aspects": pl.Series(table.column("aspects").combine_chunks())}).with_row_index("row")
    flat = rows.explode("aspects", empty_as_null=False, keep_nulls=False).unnest("aspects").filter(pl.col("name").is_in(aspects))
    values = pl.col("values").list.drop_nulls()
    flat = flat.filter(values.list.n_unique() > 1 if kind == "listwise" else values.list.len() > 0)
    missing = sorted(set(aspects) - set(flat["name"].unique()))
    if missing:
        there = rows.explode("aspects", empty_as_null=False, keep_nulls=False).unnest("aspects")["name"].unique().sort().to_list()
        raise UsageError(f"--aspects: no record has {', '.join(missing)}; annotations are about: {', '.join(there) or 'nothing'}")
    return rows["row"].is_in(flat["row"].implode())
