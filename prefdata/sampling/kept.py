"""The completions that records have already, as candidates beside the generated ones (--keep-completions)."""

from __future__ import annotations

import polars as pl

from prefdata.io.columns import as_dtype
from prefdata.schema.ids import completion_ids
from prefdata.sources.build import ANNOTATION, annotation

ANSWERS = {"pair": ("chosen", "rejected"), "binary": ("completion",)}
CANDIDATE = ("id", "messages", "model", "score", "rank")


def types(turns: pl.DataType) -> dict[str, pl.DataType]:
    """The columns of `candidates`."""
    return {"row": pl.UInt32(), "id": pl.String(), "messages": turns, "model": pl.String(), "score": pl.Float64(), "rank": pl.Float64()}


def candidates(df: pl.DataFrame, kind: str | None, turns: pl.DataType) -> pl.DataFrame:
    """One line per completion: `row` (its record's place in the frame) and the fields of a candidate; `turns` is the type of messages."""
    wanted = types(turns)
    if kind is None or df.is_empty():
        return pl.DataFrame(schema=wanted)
    df = df.with_row_index("row")
    if kind == "listwise":
        flat = df.select("row", "completions").explode("completions", empty_as_null=False, keep_nulls=False).unnest("completions")
    else:
        score = pl.col("score") if "score" in df.columns else pl.lit(None)
        sides = [df.select("row", score.cast(pl.Float64).alias("score"), pl.col(c).alias("messages")) for c in ANSWERS[kind]]
        flat = pl.concat(sides).sort("row", maintain_order=True)
        flat = flat.with_columns(completion_ids(flat["messages"]))
    flat = flat.with_columns(pl.lit(None, t).alias(c) for c, t in wanted.items() if c not in flat.columns)
    return flat.select(as_dtype(pl.col(c), flat.schema[c], t).alias(c) for c, t in wanted.items())


def statements(df: pl.DataFrame, kind: str | None) -> pl.DataFrame:
    """`row, annotation`: what is said of these completions, naming them by their ids; of a pair also which one the source prefers."""
    if kind is None or df.is_empty():
        return pl.DataFrame(schema={"row": pl.UInt32(), "annotation": ANNOTATION})
    df = df.with_row_index("row")
    if kind == "listwise":
        return _said(df).select("row", "annotation")
    ids = {c: completion_ids(df[c]) for c in ANSWERS[kind]}
    df = df.with_columns(s.alias(f"_{c}") for c, s in ids.items())
    said = _named(_said(df), kind)
    if kind == "binary":
        return said
    p = pl.col("p_chosen") if "p_chosen" in df.columns else pl.lit(None, pl.Float64)
    outcome = pl.when(p == 0.5).then(pl.lit("tie")).otherwise(pl.lit("first"))
    source = pl.coalesce(pl.col("source"), pl.lit("source")) if "source" in df.columns else pl.lit("source")
    preferred = annotation(source, "source", pl.concat_list("_chosen", "_rejected"), outcome=outcome, p_first=p)
    return pl.concat([df.select("row", preferred.alias("annotation")), said]).sort("row", maintain_order=True)


def _said(df: pl.DataFrame) -> pl.DataFrame:
    ids = [c for c in df.columns if c.startswith("_")]
    return df.select("row", *ids, pl.col("annotations").alias("annotation")).explode("annotation", empty_as_null=False, keep_nulls=False)


def _named(said: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Names of a pair's answers (a binary record's have none) as ids."""
    field = pl.col("annotation").struct.field
    if kind == "binary":
        about = pl.concat_list("_completion")
    else:
        said = said.with_row_index("_n").with_columns(_about=field("completions"))
        each = said.select("_n", "_chosen", "_rejected", "_about").explode("_about", empty_as_null=False, keep_nulls=False)
        name = pl.col("_about")
        id_ = pl.when(name == "chosen").then("_chosen").when(name == "rejected").then("_rejected").otherwise(name)
        ids = each.select("_n", id_.alias("_ids")).group_by("_n", maintain_order=True).agg("_ids")
        said = said.join(ids, on="_n", how="left", maintain_order="left")
        about = pl.col("_ids").fill_null(pl.lit([], dtype=pl.List(pl.String)))
    parts = [(about if f.name == "completions" else field(f.name)).alias(f.name) for f in ANNOTATION.fields]
    return said.select("row", pl.struct(parts).alias("annotation"))
