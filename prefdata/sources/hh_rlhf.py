"""Anthropic HH-RLHF: two transcripts that share everything but the last answer."""

from __future__ import annotations

from typing import Any

import polars as pl

from prefdata.io.columns import TEXT, need
from prefdata.sources.source import Choices, Defect, Source, columns_of, mostly
from prefdata.sources.transcripts import HUMAN, pairs

CARD = "https://huggingface.co/datasets/Anthropic/hh-rlhf"


def read(df: pl.DataFrame, choices: Choices) -> pl.DataFrame:
    return pairs(df["chosen"], df["rejected"])


def looks(rows: list[dict[str, Any]]) -> bool:
    """The texts are transcripts, not plain answers."""
    return mostly(rows, lambda r: all(str(r.get(k, "")).startswith(HUMAN.rstrip()) for k in ("chosen", "rejected")))


DEFECTS = (
    Defect("no-human-turn", "reject", "the transcript does not begin with '\\n\\nHuman: '", CARD),
    Defect("no-assistant-answer", "reject", "the transcript does not end with an assistant turn", CARD),
    Defect(
        "context-mismatch", "reject", "chosen and rejected differ before the last assistant turn, so they answer different prompts", CARD
    ),
    Defect("empty-answer", "reject", "the last assistant turn of chosen or rejected is empty", CARD),
    Defect("same-speaker-twice", "reject", "two turns of the same speaker follow each other in the prompt", CARD),
)

HH_RLHF = Source(
    name="hh-rlhf",
    title="Anthropic HH-RLHF: helpful and harmless pairs as transcripts (also HH golden)",
    url=CARD,
    licence="MIT",
    columns=columns_of(chosen=need(TEXT), rejected=need(TEXT)),
    emits="pair",
    read=read,
    signature=frozenset({"chosen", "rejected"}),
    looks=looks,
    defects=DEFECTS,
)
