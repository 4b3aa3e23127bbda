"""OpenRLHF 0.11.2 (`datasets/reward_dataset.py`, `datasets/utils.py`). DPO takes `chosen[:-1]` as the prompt and cuts both sides at its
length, so both sides begin with the same turns. KTO was removed in 0.10.0. A JSON file has the one split `train`, whatever its name:
`--eval.split train` is needed, the default `test` fails.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from prefdata.exporters.options import ExportOptions
from prefdata.exporters.shape import plain
from prefdata.exporters.snippets import sh, test_file, train_file
from prefdata.exporters.target import Feature, Form, Target, Written

CHAT: frozenset[Feature] = frozenset({"system", "multi-turn"})


def whole(*names: str) -> list[pl.Expr]:
    """Prompt and answer as one conversation."""
    return [pl.concat_list(plain("prompt"), plain(n)).alias(n) for n in names]


def preference(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    return df.select(*whole("chosen", "rejected"))


def reward(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    """A row without a margin gets 0, which is what OpenRLHF makes of a missing one."""
    margin = pl.col("margin").fill_null(0.0) if "margin" in df.columns else pl.lit(0.0).alias("margin")
    return df.select(*whole("chosen", "rejected"), margin)


def extra(w: Written) -> Mapping[str, str]:
    script = "train_rm" if w.form == "reward" else "train_dpo"
    words = ["--model.model_name_or_path", w.options.model]
    words += ["--data.dataset", train_file(w), "--data.dataset_split", "train", "--data.apply_chat_template"]
    words += ["--data.chosen_key", "chosen", "--data.rejected_key", "rejected", "--data.max_len", "2048"]
    words += ["--model.margin_loss_enable"] if w.form == "reward" else []
    if test := test_file(w):
        words += ["--eval.dataset", test, "--eval.split", "train"]
    return {"train.sh": sh(f"deepspeed --module openrlhf.cli.{script}", *words, "--ckpt.output_dir", "trained")}


def complain(w: Written) -> list[str]:
    if "," in w.out or "@" in w.out:
        return [f"OpenRLHF splits a path at commas and @: name another folder than {w.out}"]
    return []


OPENRLHF = Target(
    name="openrlhf",
    title="OpenRLHF",
    url="https://openrlhf.readthedocs.io",
    version="0.11.2",
    forms={
        "preference": Form("pair", preference, "whole conversations in chosen and rejected: for train_dpo", CHAT),
        "reward": Form("pair", reward, "whole conversations with margin: for train_rm", CHAT | {"margin"}),
    },
    extra=extra,
    complain=complain,
)
