"""Two columns of texts: where does one begin with the other, where are they nearly the same? Cheap screens come first, so that few pairs
are compared in full. Frames have the columns `chosen` and `rejected`."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from prefdata.checks.facts import loose
from prefdata.checks.view import Ints, Mask

Words = np.ndarray[Any, np.dtype[np.uint32]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]

LETTER = np.zeros(256, dtype=np.uint8)
"""ASCII letters (in lower case) and digits as they are, 0 for every other byte."""
for _c in "abcdefghijklmnopqrstuvwxyz0123456789":
    LETTER[[ord(_c), ord(_c.upper())]] = ord(_c)


def heads(texts: pl.Series) -> Words:
    """The first four bytes of each text (zeros where it is shorter) as one number: a cheap screen, since Arrow keeps them
    beside the length."""
    views = texts.to_arrow(compat_level=pl.CompatLevel.newest())
    if views.type != pa.string_view():
        views = views.cast(pa.string_view())
    words: Words = np.frombuffer(views.buffers()[1], dtype=np.uint32)[1::4]
    return words[views.offset : views.offset + len(views)]


def letters(words: Words) -> Bytes:
    """The bytes of heads, one row per text: ASCII letters in lower case and digits as they are, 0 for every other byte."""
    return LETTER[np.ascontiguousarray(words).view(np.uint8)].reshape(-1, 4)


def prefix(sides: pl.DataFrame, shorter: Ints) -> Mask:
    """Texts of which one begins with the other; `shorter` is the length of the shorter one."""
    at = np.flatnonzero((heads(sides["chosen"]) == heads(sides["rejected"])) | (shorter < 4))
    a, b = pl.col("chosen"), pl.col("rejected")
    found = sides[at].select(((a != b) & (a.str.starts_with(b) | b.str.starts_with(a))).alias("f"))["f"]
    return mask(sides.height, at[found.to_numpy()])


def levenshtein(sides: pl.DataFrame, similarity: float) -> Mask:
    m, n = sides.select(pl.all().str.len_chars().cast(pl.Int64)).to_numpy().T
    at = np.flatnonzero(np.abs(m - n) <= (1 - similarity) * np.maximum(m, n) + 1e-9)
    a, b = (s.to_list() for s in sides[at])
    near = process.cpdist(a, b, scorer=Levenshtein.normalized_similarity, score_cutoff=similarity, dtype=np.float64)
    return mask(sides.height, at[near >= similarity])


def loosely_equal(sides: pl.DataFrame) -> Mask:
    """Texts that are equal but for case, punctuation and white space."""
    alike, aligned = np.ones(sides.height, dtype=bool), np.ones(sides.height, dtype=bool)
    for p, q in zip(*(letters(heads(s)).T for s in sides), strict=True):  # compared up to the first byte that is no letter
        aligned &= (p != 0) & (q != 0)
        alike &= ~aligned | (p == q)
    at = np.flatnonzero(alike)
    # where two such texts begin (or end), the one loose piece is a beginning (an end) of the other, which may be longer
    x, y = pl.col("chosen"), pl.col("rejected")
    begin, end = x.str.starts_with(y) | y.str.starts_with(x), x.str.ends_with(y) | y.str.ends_with(x)
    for cut, fits in ((pl.all().str.head(16), begin), (pl.all().str.tail(16), end), (pl.all(), (x == y) & (x != ""))):
        at = at[sides[at].lazy().select(loose(cut)).select(fits.alias("f")).collect()["f"].to_numpy()]
    return mask(sides.height, at)


def mask(n: int, at: Ints) -> Mask:
    """Flags that are set at some places."""
    flags = np.zeros(n, dtype=bool)
    flags[at] = True
    return flags
