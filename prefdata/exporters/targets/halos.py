"""HALOs, commit 4831988 (`train/data.py`, `train/dataloader.py`): one JSON array per split, grouped by `prompt_id`. The `reward` keys are
required and only say which answer is the target of supervised training: the preferred one has 1, the other 0. Two files with the same
prompts must not be named in one run: of the second, HALOs takes the answers and forgets the preferences.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import polars as pl

from prefdata.exporters.options import ExportOptions
from prefdata.exporters.shape import plain
from prefdata.exporters.snippets import sh, test_files, train_files
from prefdata.exporters.target import Feature, Form, Target, Written
from prefdata.schema.ids import turns_key_of

CHAT: frozenset[Feature] = frozenset({"system", "multi-turn"})


def _rows(df: pl.DataFrame, kind: str, *columns: pl.Expr) -> pl.DataFrame:
    prompt = df.select(plain("prompt"))["prompt"]
    head = [pl.lit(kind).alias("type"), pl.col("_key").str.head(32).alias("prompt_id"), plain("prompt").alias("prompt")]
    return df.with_columns(turns_key_of(prompt).cast(pl.String).alias("_key")).select(*head, *columns)


def pairwise(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    numbers = [pl.lit(1.0).alias("reward_A"), pl.lit(0.0).alias("reward_B"), pl.lit(1.0).alias("reward_difference")]
    sides = [plain("chosen").alias("output_A"), plain("rejected").alias("output_B")]
    return _rows(df, "pairwise_feedback", *sides, pl.lit(1).alias("label"), *numbers)


def binary(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    """The reward is the label: scores have units of their own, and not every row has one."""
    label = pl.col("label").cast(pl.Int64)
    return _rows(df, "binary_feedback", plain("completion").alias("output"), label, label.cast(pl.Float64).alias("reward"))


def extra(w: Written) -> Mapping[str, str]:
    loss = "kto" if w.form == "binary" else "dpo"
    words = [f"loss={loss}", "model=llama"]
    words += [f"{k}=[{json.dumps(f)}]" for k, f in (("train_datasets", _one(w)), ("test_datasets", next(iter(test_files(w)), _one(w))))]
    words += [f"exp_name={w.options.name}", f"++model.name_or_path={w.options.model}"]
    return {
        "train.sh": sh("accelerate launch --config_file accelerate_config/fsdp_4gpu.yaml launch.py", *words, note="In a checkout of HALOs.")
    }


def _one(w: Written) -> str:
    return next(iter(train_files(w)), f"{w.out}/train.json")


HALOS = Target(
    name="halos",
    title="HALOs",
    url="https://github.com/ContextualAI/HALOs",
    version="commit 4831988",
    forms={
        "pairwise": Form("pair", pairwise, "pairwise_feedback in one JSON array: for DPO and others", CHAT, "json"),
        "binary": Form("binary", binary, "binary_feedback in one JSON array: for KTO", CHAT, "json"),
    },
    extra=extra,
)
