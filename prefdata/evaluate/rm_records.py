"""What an evaluation needs to know of records besides their tokens: noted as they pass, so that no text is held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import polars as pl

from prefdata.errors import UsageError
from prefdata.evaluate.gold import content
from prefdata.judges.agreement import Ints, Numbers
from prefdata.train.data import frames


@dataclass
class Records:
    """Columns of all records in order; `part` is the value of --by."""

    by: str | None = None
    id: list[str | None] = field(default_factory=list)
    source: list[str | None] = field(default_factory=list)
    part: list[str | None] = field(default_factory=list)
    p_chosen: list[float | None] = field(default_factory=list)
    margin: list[float | None] = field(default_factory=list)
    prompt: list[int] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    _prompts: dict[bytes, int] = field(default_factory=dict)

    def watched(self, parts: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """The frames with the number of each record as its id."""
        for df in parts:
            begin = len(self.id)
            for name in ("id", "source", "p_chosen", "margin"):
                getattr(self, name).extend(df[name].to_list() if name in df.columns else [None] * df.height)
            for turns in df["prompt"].to_list():
                self.prompt.append(self._prompts.setdefault(content(turns), len(self._prompts)))
            if self.by is not None:
                self.part.extend(self._parts(df, self.by))
            yield df.with_columns(pl.int_range(begin, begin + df.height).cast(pl.String).alias("id"))

    def _parts(self, df: pl.DataFrame, by: str) -> list[str | None]:
        if by in ("source", "split"):
            return df[by].to_list() if by in df.columns else [None] * df.height
        out = []
        for text in df["meta"].to_list() if "meta" in df.columns else [None] * df.height:
            meta = orjson.loads(text) if text else {}
            found = meta.get(by) if isinstance(meta, dict) else None
            self.keys.update(meta if isinstance(meta, dict) else ())
            out.append(found if isinstance(found, str) or found is None else orjson.dumps(found).decode())
        return out

    def check(self) -> None:
        """Raise UsageError when --by names nothing that is there."""
        if self.by is not None and not any(p is not None for p in self.part):
            there = ", ".join(["source", "split", *sorted(self.keys)[:20]])
            raise UsageError(f"--by {self.by}: no record has such a column or key of meta; there are: {there}")

    def numbers(self, name: str, rows: Ints) -> Numbers | None:
        """A column of numbers at these records, NaN where there is none; None where there is none at all."""
        found = np.array([np.nan if v is None else v for v in getattr(self, name)], np.float64)[rows]
        return None if np.isnan(found).all() else found

    def texts(self, name: str, rows: Ints) -> list[str | None]:
        values = getattr(self, name)
        return [values[i] for i in rows]


def picked(paths: list[str], rows: list[int]) -> dict[int, dict[str, Any]]:
    """Records by number, read again."""
    wanted, begin = set(rows), 0
    out: dict[int, dict[str, Any]] = {}
    for df in frames(paths, "pair"):
        here = sorted(i for i in wanted if begin <= i < begin + df.height)
        out.update(zip(here, df[[i - begin for i in here]].to_dicts(), strict=True) if here else ())
        begin += df.height
        if len(out) == len(wanted):
            break
    return out
