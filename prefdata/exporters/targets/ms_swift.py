"""ms-swift 4.6.0 (`dataset/preprocessor/core.py`, `template/template_inputs.py`): `messages` end with the preferred answer, the other
one is `rejected_response`; KTO reads a boolean `label`. A row whose two answers are one text makes it raise.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from prefdata.exporters.options import ExportOptions
from prefdata.exporters.shape import plain, text
from prefdata.exporters.snippets import sh, test_file, train_file
from prefdata.exporters.target import Feature, Form, Target, Written

CHAT: frozenset[Feature] = frozenset({"system", "multi-turn"})


def preference(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    return df.select(pl.concat_list(plain("prompt"), plain("chosen")).alias("messages"), text("rejected").alias("rejected_response"))


def reward(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    """A batch must have a margin on every row or on none: one that is missing counts 0."""
    margin = pl.col("margin").fill_null(0.0) if "margin" in df.columns else pl.lit(0.0).alias("margin")
    return df.select(
        pl.concat_list(plain("prompt"), plain("chosen")).alias("messages"), text("rejected").alias("rejected_response"), margin
    )


def kto(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    return df.select(pl.concat_list(plain("prompt"), plain("completion")).alias("messages"), "label")


KINDS = {"preference": "dpo", "reward": "rm", "kto": "kto"}


def extra(w: Written) -> Mapping[str, str]:
    words = ["--model", w.options.model, "--dataset", train_file(w)]
    if test := test_file(w):
        words += ["--val_dataset", test]
    return {"train.sh": sh(f"swift rlhf --rlhf_type {KINDS[w.form]}", *words, "--output_dir", "trained")}


MS_SWIFT = Target(
    name="ms-swift",
    title="ms-swift",
    url="https://swift.readthedocs.io/en/latest/Customization/Custom-dataset.html",
    version="4.6.0",
    forms={
        "preference": Form("pair", preference, "messages and rejected_response: for DPO and others", CHAT),
        "reward": Form("pair", reward, "messages, rejected_response and margin: for a reward model", CHAT | {"margin"}),
        "kto": Form("binary", kto, "messages and label: for KTO", CHAT),
    },
    extra=extra,
)
