"""Files for anybody: JSON lines and the hub layout keep the records as they are, CSV has one column per text."""

from __future__ import annotations

import polars as pl

from prefdata.exporters.options import ExportOptions
from prefdata.exporters.shape import text
from prefdata.exporters.target import Feature, Form, Target

ALL: frozenset[Feature] = frozenset({"system", "multi-turn", "tools", "answer-turns", "tie", "soft-label", "margin"})
NUMBERS: frozenset[Feature] = frozenset({"tie", "soft-label", "margin"})
TEXTS = "a column per text; cells that look like formulas get a quote in front"
DOCS = "docs/export.md"


def records(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    return df


def pairs(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    numbers = [c for c in ("margin", "p_chosen", "weight", "source") if c in df.columns]
    return df.select(
        "id", text("prompt", "last").alias("prompt"), text("chosen").alias("chosen"), text("rejected").alias("rejected"), *numbers
    )


def labels(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    numbers = [c for c in ("score", "weight", "source") if c in df.columns]
    return df.select("id", text("prompt", "last").alias("prompt"), text("completion").alias("completion"), "label", *numbers)


JSONL = Target(
    name="jsonl",
    title="JSON lines",
    url=DOCS,
    version="prefdata's own records",
    forms={k: Form(k, records, f"{k} records as they are", ALL) for k in ("pair", "binary", "listwise")},
)
CSV = Target(
    name="csv",
    title="CSV",
    url=DOCS,
    version="RFC 4180, UTF-8",
    forms={
        "pair": Form(
            "pair",
            pairs,
            "a column per text; cells that look like formulas get a quote in front",
            frozenset({"tie", "soft-label", "margin"}),
            "csv",
        ),
        "binary": Form("binary", labels, "a column per text; cells that look like formulas get a quote in front", frozenset(), "csv"),
    },
)
HUB = Target(
    name="hub",
    title="Hugging Face data set folder",
    url="https://huggingface.co/docs/hub/datasets-manual-configuration",
    version="datasets 5",
    forms={k: Form(k, records, f"{k} records in Parquet shards with a card", ALL, "parquet") for k in ("pair", "binary", "listwise")},
    part_bytes=500_000_000,
)
