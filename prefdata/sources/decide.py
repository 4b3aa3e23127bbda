"""Comparisons (two answers and a verdict) to records. A tie never becomes a direction: it is dropped and counted, kept as a pair with
p_chosen = 0.5 when asked for, or stays a tie in a listwise record."""

from __future__ import annotations

import polars as pl

from prefdata.schema.ids import completion_ids, relist, turns_key_of
from prefdata.sources.build import annotation, candidate

CARRIED = ("tools", "source", "split", "meta", "annotations", "fate", "_row")
FIRST_WINS = "_first_wins"
"""Whether the chosen answer is the one that the source shows first; no column of a record."""


def to_pair(df: pl.DataFrame, ties: str, order: bool = False) -> pl.DataFrame:
    """chosen and rejected by `outcome`; margin from `strength`, p_chosen from `p_first`. `order` adds FIRST_WINS."""
    soft = (pl.col("outcome") == "tie") & (ties == "soft")
    if ties == "soft":
        df = df.with_columns(_flip=_smaller_second(df))
    second = (pl.col("outcome") == "second") | (soft & pl.col("_flip")) if ties == "soft" else pl.col("outcome") == "second"
    second = second.fill_null(False)
    out = [pl.col("prompt"), _pick(second, "second", "first").alias("chosen"), _pick(second, "first", "second").alias("rejected")]
    if "strength" in df.columns:
        out.append(pl.when(soft).then(0.0).otherwise(pl.col("strength").cast(pl.Float64)).alias("margin"))
    elif {"score_first", "score_second"} <= set(df.columns):
        out.append((pl.col("score_first") - pl.col("score_second")).abs().cast(pl.Float64).alias("margin"))
    if "p_first" in df.columns:
        p = pl.when(second).then(1 - pl.col("p_first")).otherwise(pl.col("p_first"))
        out.append(pl.when(soft).then(0.5).otherwise(p).cast(pl.Float64).alias("p_chosen"))
    elif ties == "soft":
        out.append(pl.when(soft).then(0.5).otherwise(None).cast(pl.Float64).alias("p_chosen"))
    if order:
        out.append((~second).alias(FIRST_WINS))
    if "weight" in df.columns:
        out.append(pl.col("weight"))
    undecided = (
        pl.when(pl.col("outcome").is_null())
        .then(pl.lit("bad-label"))
        .when(soft)
        .then(None)
        .when(pl.col("outcome").is_in(["tie", "abstain", "invalid"]))
        .then(pl.col("outcome"))
    )
    df = df.with_columns(pl.coalesce("fate", undecided).alias("fate"))
    if "annotations" in df.columns:
        a, b = pl.lit("chosen"), pl.lit("rejected")
        named = _name_completions(df, pl.when(second).then(b).otherwise(a), pl.when(second).then(a).otherwise(b))
        df = df.with_columns(named.alias("annotations"))
    return df.select(*out, *[c for c in CARRIED if c in df.columns])


def _pick(when: pl.Expr, yes: str, no: str) -> pl.Expr:
    return pl.when(when).then(pl.col(yes)).otherwise(pl.col(no))


def _smaller_second(df: pl.DataFrame) -> pl.Series:
    """Which side of a tie is called chosen: by content, so that neither position nor order of reading decides."""
    keys = pl.DataFrame({"a": turns_key_of(df["first"]), "b": turns_key_of(df["second"])})
    return keys.select((pl.col("b") < pl.col("a")).alias("_flip"))["_flip"]


def _name_completions(df: pl.DataFrame, first: pl.Expr, second: pl.Expr) -> pl.Series:
    """Annotations of a comparison with "first" and "second" replaced by what the record calls these two."""
    lengths = df["annotations"].list.len().fill_null(0)
    names = df.select(_first=first, _second=second).select(pl.all().repeat_by(lengths).explode(empty_as_null=False, keep_nulls=False))
    flat = df["annotations"].list.explode(keep_nulls=False, empty_as_null=False).struct.unnest().hstack(names)
    shown = pl.col("completions").list
    renamed = (
        pl.when((shown.len() == 2) & (shown.first() == "second"))
        .then(pl.concat_list("_second", "_first"))
        .when(shown.len() == 2)
        .then(pl.concat_list("_first", "_second"))
        .when(shown.first() == "first")
        .then(pl.concat_list("_first"))
        .when(shown.first() == "second")
        .then(pl.concat_list("_second"))
        .otherwise(pl.col("completions"))
    )
    flat = flat.with_columns(renamed.alias("completions")).drop("_first", "_second")
    return relist(flat.to_struct("annotations"), lengths)


def to_listwise(df: pl.DataFrame) -> pl.DataFrame:
    """Two candidates: ranks 1 and 2, both 1 for a tie, none where undecided; scores and models where the source has them."""

    def side(name: str) -> pl.Expr:
        lost = "second" if name == "first" else "first"
        rank = pl.when(pl.col("outcome").is_in([name, "tie"])).then(1.0).when(pl.col("outcome") == lost).then(2.0)
        fields = {k: pl.col(f"{k}_{name}") for k in ("model", "score") if f"{k}_{name}" in df.columns}
        return candidate(name, id=f"_id_{name}", rank=rank, **fields)

    df = df.with_columns(pl.coalesce("fate", pl.when(pl.col("outcome").is_null()).then(pl.lit("bad-label"))).alias("fate"))
    df = df.with_columns(completion_ids(df[name]).alias(f"_id_{name}") for name in ("first", "second"))
    if "annotations" not in df.columns:
        verdict = annotation(pl.col("source"), "source", outcome=pl.col("outcome"), p_first=_or_null(df, "p_first"))
        df = df.with_columns(pl.concat_list(verdict).alias("annotations"))
    df = df.with_columns(_name_completions(df, pl.col("_id_first"), pl.col("_id_second")).alias("annotations"))
    completions = pl.concat_list(side("first"), side("second")).alias("completions")
    return df.select("prompt", completions, *[c for c in CARRIED if c in df.columns])


def _or_null(df: pl.DataFrame, column: str) -> pl.Expr:
    return pl.col(column) if column in df.columns else pl.lit(None, pl.Float64)
