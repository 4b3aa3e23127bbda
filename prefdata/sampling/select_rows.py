"""What was chosen, as records: pairs or labelled answers, with what was said about them."""

from __future__ import annotations

import polars as pl

from prefdata.sampling.select_draws import Floats, Ints, Mask
from prefdata.sampling.select_limits import confidence
from prefdata.sampling.select_options import SelectOptions
from prefdata.schema.dtypes import in_order
from prefdata.schema.ids import add_ids
from prefdata.sources.build import ANNOTATION

KEPT = ("prompt", "tools", "source", "split", "meta")
"""What a record takes over from its list."""


def pairs(df: pl.DataFrame, flat: pl.DataFrame, record: Ints, first: Ints, second: Ints, margin: Floats, o: SelectOptions) -> pl.DataFrame:
    """Pair records without ids, and `_rec`. `first` and `second` are rows of `flat`, the candidates of `df`.

    Pairs whose texts are equal once the thoughts are before them are left out.
    """
    out = _kept(df, record).with_columns(chosen=_answers(flat, first, o), rejected=_answers(flat, second, o), margin=pl.Series(margin))
    if o.temperature is not None:
        out = out.with_columns(p_chosen=pl.Series(confidence(margin, o.temperature)))
    if "annotations" in df.columns:
        names = {"chosen": flat["id"].gather(first), "rejected": flat["id"].gather(second)}
        out = out.with_columns(annotations=_about(df["annotations"].gather(record), names))
    if o.thoughts == "join" and flat["thought"].null_count() < flat.height:
        out = out.filter(~pl.col("chosen").eq_missing(pl.col("rejected")))
    return out.select("_rec", *in_order([c for c in out.columns if c != "_rec"]))


def answers(df: pl.DataFrame, flat: pl.DataFrame, record: Ints, first: Ints, label: Mask, o: SelectOptions) -> pl.DataFrame:
    """Binary records without ids, and `_rec`; the score is the one that was decided by."""
    out = _kept(df, record).with_columns(
        completion=_answers(flat, first, o), label=pl.Series(label, dtype=pl.Boolean), score=flat["value"].gather(first)
    )
    if "annotations" in df.columns:
        out = out.with_columns(annotations=_about(df["annotations"].gather(record), {"": flat["id"].gather(first)}))
    return out.select("_rec", *in_order([c for c in out.columns if c != "_rec"]))


def with_ids(out: pl.DataFrame, o: SelectOptions) -> pl.DataFrame:
    """Finished records."""
    return add_ids(out.drop("_rec"), o.kind)


def _kept(df: pl.DataFrame, record: Ints) -> pl.DataFrame:
    return df.select(c for c in KEPT if c in df.columns)[record].with_columns(pl.Series("_rec", record, dtype=pl.Int64))


def _answers(flat: pl.DataFrame, rows: Ints, o: SelectOptions) -> pl.Series:
    """The turns of candidates; a thought stands before the text of the first turn again, as the model wrote it."""
    found = flat.select("messages", "thought")[rows]
    if o.thoughts == "drop" or found["thought"].null_count() == found.height:
        return found["messages"]
    one = pl.col("messages").list.first().struct
    names = [f.name for f in found["messages"].dtype.inner.fields]  # type: ignore[attr-defined]
    parts = [(pl.col("thought") + one.field(n)).alias(n) if n == "content" else one.field(n) for n in names]
    joined = pl.concat_list(pl.struct(parts), pl.col("messages").list.slice(1))
    return found.select(m=pl.when(pl.col("thought").is_not_null()).then(joined).otherwise(pl.col("messages")))["m"]


def _about(annotations: pl.Series, names: dict[str, pl.Series]) -> pl.Series:
    """Of each list of annotations those that are about the named candidates only, calling them so ("" is a record's only answer, which
    annotations do not name). `names` are the ids of the candidates."""
    rows = pl.DataFrame({"annotations": annotations, **{f"_{n}": ids for n, ids in names.items()}}).with_row_index("_row")
    said = rows.explode("annotations", empty_as_null=False, keep_nulls=False).with_row_index("_said")
    said = said.with_columns(_shown=pl.col("annotations").struct.field("completions"))
    each = said.select("_said", "_shown", *[f"_{n}" for n in names]).explode("_shown", empty_as_null=False, keep_nulls=False)
    name = pl.coalesce(pl.when(pl.col("_shown") == pl.col(f"_{n}")).then(pl.lit(n)) for n in names)
    each = each.with_columns(_name=name)
    named = each.group_by("_said", maintain_order=True).agg(pl.col("_name"), ok=pl.col("_name").is_not_null().all())
    kept = said.join(named.filter("ok"), on="_said", how="inner", maintain_order="left")
    shown = pl.col("_name") if list(names) != [""] else pl.lit(pl.Series([[]], dtype=pl.List(pl.String)))
    fields = [f.name for f in ANNOTATION.fields]
    parts = [shown.alias(f) if f == "completions" else pl.col("annotations").struct.field(f) for f in fields]
    kept = kept.select("_row", pl.struct(parts).alias("annotations")).group_by("_row", maintain_order=True).agg("annotations")
    out = rows.select("_row").join(kept, on="_row", how="left", maintain_order="left")
    return out["annotations"].fill_null(pl.Series([[]], dtype=pl.List(ANNOTATION)))
