"""Facts about every row, small enough to be kept for all rows of all files: what rules over all rows look at.

A fact is a function from a view to one value per row. Only the facts that a selected rule names are computed. Texts are represented by
64-bit hashes, so two different texts are taken for equal with a chance below one in a million for ten million rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import polars as pl

from prefdata.checks.features import first_wins, formats, of_answer, refuses, tied, votes

if TYPE_CHECKING:
    from prefdata.checks.view import Ints, View

T = TypeVar("T", pl.Series, pl.Expr)

LOOSE = r"[\s\p{P}]+"
"""What loose comparison leaves out: white space and punctuation; case does not count either."""


class Facts:
    """One row per record, in file order: `file` (its number), `line`, `row` (whether that counts rows), `split` (categorical), `id` (the
    first 64 bits of the content id) and the facts that the rule named. `names` are the files."""

    def __init__(self, df: pl.DataFrame, names: list[str]) -> None:
        self.df = df
        self.names = names

    def __len__(self) -> int:
        return self.df.height

    def __getitem__(self, fact: str) -> pl.Series:
        return self.df[fact]

    def array(self, fact: str) -> np.ndarray[Any, Any]:
        return self.df[fact].to_numpy()


def mix(*keys: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Several 64-bit keys of a row as one; their order counts."""
    out = np.zeros(len(keys[0]), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for k in keys:
            out = (out ^ k.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
            out ^= out >> np.uint64(29)
    return out


def first_of(keys: pl.Series) -> Ints:
    """For each row, the first row with the same key."""
    found: Ints = pl.DataFrame({"k": keys}).with_row_index("i").select(pl.col("i").first().over("k").cast(pl.Int64))["i"].to_numpy()
    return found


def loose(content: T) -> T:
    """Texts without case, punctuation and white space."""
    return content.str.to_lowercase().str.replace_all(LOOSE, "")


def _id(v: View) -> pl.Series:
    """The first 64 bits of the content id; unlike every other key it is the same in every run."""
    return v.ids.str.head(16).str.to_integer(base=16, dtype=pl.UInt64, strict=False).fill_null(0)


def _key(column: str) -> Callable[[View], pl.Series]:
    return lambda v: v.turns(column).key


def _loose_key(column: str) -> Callable[[View], pl.Series]:
    return lambda v: v.turns(column).key_of(loose(v.turns(column).content))


def _bytes(column: str) -> Callable[[View], pl.Series]:
    return lambda v: pl.Series(v.turns(column).bytes).cast(pl.UInt32)


def _format(column: str) -> Callable[[View], pl.Series]:
    return lambda v: formats(v.turns(column).last)


def _column(name: str, dtype: pl.DataType) -> Callable[[View], pl.Series]:
    return lambda v: v.df[name].cast(dtype) if name in v.df.columns else pl.Series(name, [None] * len(v), dtype=dtype)


FACTS: dict[str, Callable[[View], pl.Series]] = {
    "id": _id,
    "split": _column("split", pl.Categorical()),
    "prompt": _key("prompt"),
    "chosen": _key("chosen"),
    "rejected": _key("rejected"),
    "completion": _key("completion"),
    "loose_prompt": _loose_key("prompt"),
    "loose_chosen": _loose_key("chosen"),
    "loose_rejected": _loose_key("rejected"),
    "chosen_bytes": _bytes("chosen"),
    "rejected_bytes": _bytes("rejected"),
    "label": _column("label", pl.Boolean()),
    "source": _column("source", pl.Categorical()),
    "chosen_format": _format("chosen"),
    "rejected_format": _format("rejected"),
    "completions_tied": tied,
    "best": lambda v: of_answer(v, True, lambda turns: turns.key),
    "worst": lambda v: of_answer(v, False, lambda turns: turns.key),
    "best_bytes": lambda v: of_answer(v, True, lambda turns: pl.Series(turns.bytes).cast(pl.UInt32)),
    "best_refuses": lambda v: of_answer(v, True, refuses),
    "worst_refuses": lambda v: of_answer(v, False, refuses),
    "first_wins": first_wins,
    "votes": lambda v: votes(v, False),
    "first_votes": lambda v: votes(v, True),
}
"""Facts by name; a rule over all rows names the ones that it looks at."""

ALWAYS = ("id", "split")
"""Facts that are kept whenever there are any: what a finding is known by, and what leakage rules compare."""
