"""Records with what judges said of them, as frames: annotations appended, pairs turned round, lists taken apart into pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from prefdata.judges.decide import Choice
from prefdata.schema.dtypes import in_order, schema
from prefdata.schema.ids import add_ids, relist

ANNOTATIONS = schema("pair")["annotations"]
ANNOTATION: Any = ANNOTATIONS.inner  # type: ignore[attr-defined]
FIELDS = {f.name: f.dtype for f in ANNOTATION.fields}
SIDES = {"chosen": "rejected", "rejected": "chosen"}
CARRIED = ("prompt", "tools", "source", "split", "meta")
"""What pairs take over from their list."""


class Annotations:
    """A column of annotations that grows record by record. Flat columns: a frame made of dicts takes ten times as long."""

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {name: [] for name in FIELDS if name != "completions"}
        self._names: list[str] = []
        self._shown: list[int] = []
        self._lengths: list[int] = []

    def add(self, annotations: Sequence[dict[str, Any]]) -> None:
        """The annotations of the next record."""
        self._lengths.append(len(annotations))
        for a in annotations:
            self._names += a["completions"]
            self._shown.append(len(a["completions"]))
        for name, column in self._columns.items():
            column += [a[name] for a in annotations]

    def series(self) -> pl.Series:
        flat = pl.DataFrame(self._columns, schema={name: FIELDS[name] for name in self._columns})
        names = relist(pl.Series(self._names, dtype=pl.String), pl.Series(self._shown, dtype=pl.Int64))
        flat = flat.with_columns(names.alias("completions")).select(list(FIELDS))
        return relist(flat.to_struct("annotation"), pl.Series(self._lengths, dtype=pl.Int64)).alias("annotations")


def annotated(df: pl.DataFrame, new: pl.Series) -> pl.DataFrame:
    """New annotations behind those that the records have."""
    have = df["annotations"]
    if have.null_count() == df.height:
        return df.with_columns(new)
    both = df.select(have).with_columns(new.alias("_new"))
    none = pl.lit([], dtype=ANNOTATIONS)
    joined = both.select(pl.concat_list(pl.col("annotations").fill_null(none), pl.col("_new")).alias("annotations"))
    return df.with_columns(joined["annotations"])


def oriented(df: pl.DataFrame, turned: Sequence[bool], p: Sequence[float | None] | None) -> pl.DataFrame:
    """Pairs with the better answer as chosen. Of a pair that is turned, annotations call the answers by their new names, and the margin,
    which the source stated for the other direction, is gone. `p` becomes p_chosen; without it the column is null where there is one."""
    df = df.with_columns(pl.Series("_turned", turned, dtype=pl.Boolean))
    swap = pl.col("_turned")
    out = [pl.when(swap).then(pl.col(SIDES[side])).otherwise(pl.col(side)).alias(side) for side in SIDES]
    if "margin" in df.columns:
        out.append(pl.when(~swap).then(pl.col("margin")).alias("margin"))
    if any(turned):
        out.append(pl.when(swap).then(_renamed()).otherwise(pl.col("annotations")).alias("annotations"))
    if p is not None:
        df = df.with_columns(pl.Series("p_chosen", p, dtype=pl.Float64))
    elif "p_chosen" in df.columns:
        out.append(pl.lit(None, pl.Float64).alias("p_chosen"))
    df = df.with_columns(out).drop("_turned")
    return add_ids(df, "pair").select(in_order(df.columns))


def _renamed() -> pl.Expr:
    """The annotations of a pair with chosen and rejected exchanged."""
    one = pl.element()
    names = one.struct.field("completions").list.eval(pl.element().replace(SIDES))
    parts = [names.alias(name) if name == "completions" else one.struct.field(name) for name in FIELDS]
    return pl.col("annotations").list.eval(pl.struct(parts))


def pairs_of(df: pl.DataFrame, at: Sequence[int], choices: Sequence[Choice], said: pl.Series, soft: bool) -> pl.DataFrame:
    """Pairs of candidates of lists: `choices[k]` of the record in row `at[k]`, with the annotations `said[k]`."""
    rows = df[list(at)]
    lengths = df["completions"].list.len()
    starts = (lengths.cum_sum() - lengths)[list(at)].cast(pl.Int64)
    flat = df["completions"].list.explode(keep_nulls=False, empty_as_null=False).struct.field("messages")
    sides = [
        flat.gather(starts + pl.Series(places, dtype=pl.Int64)).alias(name)
        for name, places in (("chosen", [c.better for c in choices]), ("rejected", [c.worse for c in choices]))
    ]
    out = rows.select(c for c in CARRIED if c in rows.columns).with_columns(*sides, said)
    if soft:
        out = out.with_columns(pl.Series("p_chosen", [c.p for c in choices], dtype=pl.Float64))
    return add_ids(out, "pair").select(in_order(["id", *out.columns]))


def about_two(annotations: Sequence[dict[str, Any]], chosen: str, rejected: str) -> list[dict[str, Any]]:
    """The annotations of a list that are about two of its candidates only, naming them chosen and rejected."""
    names = {chosen: "chosen", rejected: "rejected"}
    return [
        {**a, "completions": [names[c] for c in a["completions"]]}
        for a in annotations
        if a["completions"] and all(c in names for c in a["completions"])
    ]
