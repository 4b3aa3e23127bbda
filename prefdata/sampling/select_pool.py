"""Listwise records as a pool of candidates: which score decides, and which candidates are left out, for a reason."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from prefdata.conversion.kinds import candidates
from prefdata.sampling.select_choose import Pool
from prefdata.sampling.select_draws import Keys, Mask, candidate_keys, ends
from prefdata.sampling.select_limits import CODES
from prefdata.sampling.select_near import near_duplicates, normalised
from prefdata.sampling.select_options import SelectOptions
from prefdata.schema.ids import turns_key_of

LEFT_OUT = ("unscored", "truncated", "filtered", "reference", "duplicates")
"""Why candidates are left out, in this order."""
MOST = 1e150
"""Scores beyond it are none: their differences and squares would be infinite."""
REFERENCE = "reference"
"""The model of a candidate that is the source's own answer; so is one without a model, where other candidates of the record have one."""


class Candidates(NamedTuple):
    """The candidates of some records. `used` is the row of `flat` of each of the pool's; `why` [records] is why a record has fewer than two
    of them (0: it has not), by the codes of `select_limits`."""

    flat: pl.DataFrame
    pool: Pool
    used: np.ndarray[Any, np.dtype[np.int64]]
    why: np.ndarray[Any, np.dtype[np.int64]]
    left_out: Counter[str]
    names: Counter[str]
    """Who gave scores, where one was asked for: `annotator/aspect`."""


def candidates_of(df: pl.DataFrame, o: SelectOptions) -> Candidates:
    """The usable candidates of listwise records.

    `flat` has a line per candidate: `_rec` (the record), id, messages, model, `value` (the score that decides), `thought`, `reference`.
    """
    said = statements(df)
    flat = candidates(df.select("completions", "prompt"))
    names: Counter[str] = Counter()
    if o.annotator is not None or o.aspect is not None:
        flat, names = _scored_by(flat, said, o)
    flat = flat.select("_rec", "id", "messages", "model", "value").with_columns(pl.Series("_key", _keys(df, flat)))
    if flat.select(pl.struct("_rec", "id").is_duplicated().any()).item():  # one text that was scored several times
        flat = flat.with_columns(value=pl.col("value").sort().mean().over("_rec", "id"))
    flat = _with_reasons(flat, said, o)
    light = flat.drop("messages").with_row_index("_i").sort("_rec", "_key", "value", "model", nulls_last=True)
    free = light["_out"].is_null().to_numpy()
    twins = _twins(flat, light.filter(pl.Series(free)), o)
    light = light.with_columns(pl.Series("_twin", _spread(twins, free)))
    reason = pl.coalesce("_out", pl.when("_twin").then(pl.lit("duplicates")))
    light = light.with_columns(reason.alias("_out"))
    used = light.filter(pl.col("_out").is_null())
    n = np.bincount(used["_rec"].to_numpy(), minlength=df.height)
    at = used["_i"].to_numpy().astype(np.int64)
    left_out = Counter(dict(light.filter(pl.col("_out").is_not_null()).group_by("_out").len().iter_rows()))
    pool = Pool(used["value"].to_numpy(), ends(n), used["_key"].to_numpy(), _lengths(flat, at))
    return Candidates(flat, pool, at, _why(light, df.height), left_out, names)


def statements(df: pl.DataFrame) -> pl.DataFrame | None:
    """The annotations about one candidate each, with `_rec` and `id`; None where there are none."""
    if "annotations" not in df.columns or df["annotations"].null_count() == df.height:
        return None
    flat = df.with_row_index("_rec").select("_rec", "annotations").explode("annotations", empty_as_null=False, keep_nulls=False)
    flat = flat.unnest("annotations").filter(pl.col("completions").list.len() == 1)
    return flat.with_columns(id=pl.col("completions").list.first())


def _scored_by(flat: pl.DataFrame, said: pl.DataFrame | None, o: SelectOptions) -> tuple[pl.DataFrame, Counter[str]]:
    """`value` from annotations: the mean, where one annotator said several things of one aspect, or several annotators did."""
    if said is None:
        return flat.with_columns(value=pl.lit(None, pl.Float64)), Counter()
    scores = said.filter(pl.col("score").is_not_null() & ~pl.col("outcome").eq_missing("invalid"))
    label = pl.concat_str("annotator", pl.when(pl.col("aspect").is_not_null()).then(pl.lit("/") + pl.col("aspect")).otherwise(pl.lit("")))
    names = Counter(dict(scores.group_by(label.alias("name")).len().sort("name").head(1000).iter_rows()))
    if o.annotator is not None:
        scores = scores.filter(pl.col("annotator") == o.annotator)
    scores = scores.filter(pl.col("aspect").eq_missing(pl.lit(o.aspect, pl.String)))
    scores = scores.group_by("_rec", "id").agg(value=pl.col("score").sort().mean())
    return flat.drop("value").join(scores, on=["_rec", "id"], how="left", maintain_order="left"), names


def _keys(df: pl.DataFrame, flat: pl.DataFrame) -> Keys:
    prompts = _as_number(turns_key_of(df["prompt"]))
    return candidate_keys(prompts[flat["_rec"].to_numpy()], _as_number(flat["id"]))


def _as_number(hexadecimal: pl.Series) -> Keys:
    out: Keys = hexadecimal.str.head(16).str.to_integer(base=16, dtype=pl.UInt64).to_numpy()
    return out


def _with_reasons(flat: pl.DataFrame, said: pl.DataFrame | None, o: SelectOptions) -> pl.DataFrame:
    """`_out`: why a candidate is left out, but for duplicates; `reference`; `thought`."""
    no_name = pl.col("model").is_null()
    reference = (pl.col("model") == (o.reference or REFERENCE)).fill_null(False)
    if o.reference is None:
        reference |= no_name & ~no_name.all().over("_rec")
    flat = flat.with_columns(reference=reference)
    if said is None:
        flat = flat.with_columns(_cut=pl.lit(False), _filtered=pl.lit(False), thought=pl.lit(None, pl.String))
    else:
        source = said.filter(pl.col("kind") == "source")
        cut, filtered = (
            source.filter((pl.col("aspect") == "finish_reason") & (pl.col("rationale") == why)).select("_rec", "id", pl.lit(True).alias(n))
            for why, n in (("length", "_cut"), ("content_filter", "_filtered"))
        )
        thoughts = source.filter((pl.col("aspect") == "thought") & pl.col("rationale").is_not_null())
        thoughts = thoughts.group_by("_rec", "id").agg(thought=pl.col("rationale").min())  # one of several, in whatever order they stand
        for more in (cut.unique(), filtered.unique(), thoughts):
            flat = flat.join(more, on=["_rec", "id"], how="left", maintain_order="left")
    reasons = {"unscored": pl.col("value").is_null() | (pl.col("value").abs() > MOST)}
    if o.truncated == "drop":
        reasons["truncated"] = pl.col("_cut").fill_null(False)
    reasons["filtered"] = pl.col("_filtered").fill_null(False)  # the provider took words out, or replaced them
    if o.without_reference:
        reasons["reference"] = pl.col("reference")
    return flat.with_columns(_out=pl.coalesce(pl.when(holds).then(pl.lit(name)) for name, holds in reasons.items())).drop(
        "_cut", "_filtered"
    )


def _twins(flat: pl.DataFrame, light: pl.DataFrame, o: SelectOptions) -> Mask:
    """Which of the usable candidates are near-duplicates of another one that stays: of each group the one that stays is drawn (their order
    is that of a draw)."""
    messages = flat["messages"].gather(light["_i"])
    texts = normalised(messages, light["id"])
    same: Mask = ~light.select(t=pl.struct("_rec", text=texts).is_first_distinct())["t"].to_numpy()
    if o.similar is None:
        return same
    return same | near_duplicates(texts, ends(np.bincount(light["_rec"].to_numpy())), o.similar)


def _spread(flags: Mask, where: Mask) -> Mask:
    out = np.zeros(len(where), dtype=bool)
    out[where] = flags
    return out


def _lengths(flat: pl.DataFrame, at: Any) -> Any:
    """Characters of the answers that are shown."""
    contents = flat["messages"].gather(at).list.eval(pl.element().struct.field("content").str.len_chars()).list.sum()
    return contents.cast(pl.Float64).to_numpy()


def _why(light: pl.DataFrame, records: int) -> Any:
    """The reason that took the second-last usable candidate."""
    out, rec = np.zeros(records, dtype=np.int64), light["_rec"].to_numpy()
    left = np.bincount(rec, minlength=records)
    out[left < 2] = CODES["one-candidate"]
    for reason in LEFT_OUT:
        left = left - np.bincount(rec[(light["_out"] == reason).fill_null(False).to_numpy()], minlength=records)
        out[(left < 2) & (out == 0)] = CODES[reason]
    return out
