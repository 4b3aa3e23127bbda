"""Every option of `prefdata convert`: one model, shared by the command line, the Python API and recipes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from prefdata.options import Kind
from prefdata.sources.options import SourceOptions


class ConvertOptions(SourceOptions):
    """What to read, as what, and how candidates become pairs or labels."""

    to: Kind | None = Field(None, description="Kind of the records; default: what the source states.")
    pairs: Literal["best-worst", "best-random", "adjacent", "all"] = Field("best-worst", description="Which pairs candidates give.")
    min_margin: float = Field(0.0, ge=0, description="Smallest difference of scores (or ranks) that makes a pair.")
    max_pairs: int | None = Field(None, ge=1, description="Most pairs of one prompt (drawn by --seed).")
    ties: Literal["drop", "soft"] = Field("drop", description="Ties: drop them (counted), or keep as pairs with p_chosen 0.5.")
    labels: Literal["threshold", "median", "top-k"] = Field(
        "median", description="How scored candidates become labels (--threshold makes it threshold)."
    )
    top_k: int = Field(1, ge=1, description="Candidates with label true under --labels top-k.")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="Seed of every random choice.")
    source: str | None = Field(None, description="Text for the source column; default: the source's name.")
    split: str | None = Field(None, description="Text for the split column, where the source states none.")
    limit: int | None = Field(None, ge=1, description="Read only the first N rows.")
    threads: int | None = Field(None, ge=1, description="Worker threads; default: one per core.")
    rejects: str | None = Field(None, description="File for unusable rows; default: OUT.rejects.jsonl.")
    force: bool = Field(False, description="Convert again even if OUT is up to date.")
