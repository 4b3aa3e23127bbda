"""torchtune 0.6.1 (`datasets/_preference.py`, `data/_messages.py`): whole conversations in chosen and rejected, which begin alike. Every
assistant turn counts in the loss, those of the prompt on both sides equally. Its role for tool results is `ipython`; tools are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from prefdata.exporters.options import ExportOptions
from prefdata.exporters.shape import plain
from prefdata.exporters.snippets import sh, train_file, yml
from prefdata.exporters.target import Form, Target, Written


def preference(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    return df.select(pl.concat_list(plain("prompt"), plain(c)).alias(c) for c in ("chosen", "rejected"))


def extra(w: Written) -> Mapping[str, str]:
    dataset: dict[str, Any] = {"_component_": "torchtune.datasets.preference_dataset", "source": "json", "data_files": train_file(w)}
    dataset |= {"split": "train", "train_on_input": False}
    note = "tune run lora_dpo_single_device --config FILE, where FILE is a copy of that recipe's config (tune cp) with this section."
    overrides = [f"dataset.{k}={v}" for k, v in dataset.items()]
    command = "tune run lora_dpo_single_device --config llama3_1/8B_lora_dpo_single_device"
    return {"dataset.yaml": yml({"dataset": dataset}, note), "train.sh": sh(command, *overrides)}


TORCHTUNE = Target(
    name="torchtune",
    title="torchtune",
    url="https://docs.pytorch.org/torchtune/0.6/basics/preference_datasets.html",
    version="0.6.1",
    forms={
        "preference": Form(
            "pair", preference, "whole conversations in chosen and rejected", frozenset({"system", "multi-turn", "answer-turns"})
        )
    },
    extra=extra,
)
