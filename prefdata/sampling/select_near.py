"""Candidates that are one answer: the same text but for white space and Unicode forms, or nearly the same words."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl

from prefdata.sampling.select_draws import Floats, Ints, Mask


def normalised(messages: pl.Series, ids: pl.Series) -> pl.Series:
    """One text per candidate, the same for answers that differ in white space and Unicode forms (NFKC) only; case counts, as it may be all
    that differs. Answers of several turns or with tool calls are only equal to themselves."""
    fields = messages.dtype.inner.fields  # type: ignore[attr-defined]
    flat = pl.DataFrame({"m": messages, "id": ids})
    one = pl.col("m").list.first().struct
    plain = pl.col("m").list.len() == 1
    for field in fields:
        if field.name not in ("role", "content"):
            plain &= one.field(field.name).is_null()
    flat = flat.select("id", plain=plain, t=one.field("content"))
    other = pl.col("t").str.len_bytes() != pl.col("t").str.len_chars()  # ASCII is as it is
    composed = flat.with_row_index("_n").filter(other).select("_n", c=pl.col("t").str.normalize("NFKC"))
    if composed.height:
        flat = flat.with_row_index("_n").join(composed, on="_n", how="left", maintain_order="left").with_columns(t=pl.coalesce("c", "t"))
    text = pl.col("t").str.replace_all(r"\s\s+|[^\S ]", " ").str.strip_chars()  # the runs that are not one blank
    return flat.select(t=pl.when("plain").then(text).otherwise(pl.lit("\x00") + pl.col("id")))["t"]


def near_duplicates(texts: pl.Series, offsets: Ints, least: float) -> Mask:
    """All but the first of each group of a prompt's candidates that are linked by a Jaccard similarity of their sets of words of at least
    `least` (words in lower case; 1 is the same set of words). `texts` stand prompt by prompt.

    Words are counted prompt by prompt, in one matrix product each, and only where two sets are of about one size: |A∩B|/|A∪B| <= min/max.
    """
    words = texts.str.to_lowercase().str.extract_all(r"[^\s\p{P}]+").list.unique()
    sizes = words.list.len().to_numpy().astype(np.float64)
    number = words.list.explode(keep_nulls=False, empty_as_null=False).rank("dense").to_numpy().astype(np.int64)
    begins = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    out = np.zeros(len(sizes), dtype=bool)
    for low, high in pairwise(offsets):
        if high - low > 1:
            out[low:high] = _linked(number[begins[low] : begins[high]], sizes[low:high], least)
    return out


def _linked(words: Ints, sizes: Floats, least: float) -> Mask:
    none = np.zeros(len(sizes), dtype=bool)
    ordered = np.sort(sizes)
    if not ((ordered[:-1] >= least * ordered[1:]) & (ordered[1:] > 0)).any():
        return none
    kinds, column = np.unique(words, return_inverse=True)
    has = np.zeros((len(sizes), len(kinds)), dtype=np.float32)
    has[np.repeat(np.arange(len(sizes)), sizes.astype(np.int64)), column] = 1
    shared = has @ has.T
    near = shared >= least * (sizes[:, None] + sizes - shared) - 1e-6
    near &= (sizes > 0)[:, None] & (sizes > 0)
    group = np.arange(len(sizes))
    while True:  # every candidate takes the lowest number that it is linked to
        lower = np.minimum(group, np.where(near, group, len(sizes)).min(axis=1))
        if (lower == group).all():
            return np.asarray(group != np.arange(len(sizes)))
        group = lower
