"""prefdata's own files, so that every step reads what every other step wrote: `prefdata-pair`, `prefdata-binary`, `prefdata-listwise`."""

from __future__ import annotations

from typing import Literal

import polars as pl

from prefdata.io.own import columns, has_ids
from prefdata.sources.source import Choices, Source, present_only

DOCS = "docs/schema.md"


def read(df: pl.DataFrame, choices: Choices) -> pl.DataFrame:
    """The records as they stand; ids are made anew from the content."""
    return df.drop("id", strict=False)


def _source(kind: Literal["pair", "binary", "listwise"], signature: set[str]) -> Source:
    return Source(
        name=f"prefdata-{kind}",
        title=f"{kind} records of prefdata itself",
        url=DOCS,
        licence="as its sources",
        columns=columns(kind),
        emits=kind,
        read=read,
        signature=frozenset(signature),
        looks=has_ids,
        configure=present_only,
    )


PAIR = _source("pair", {"id", "prompt", "chosen", "rejected", "source"})
BINARY = _source("binary", {"id", "prompt", "completion", "label", "source"})
LISTWISE = _source("listwise", {"id", "prompt", "completions", "source"})
