"""TRL 1.16 (https://huggingface.co/docs/trl/dataset_formats). Prompts are explicit where one can choose: TRL finds an implicit prompt
of texts by common characters and cuts inside words. It decides about the whole file from its first row, so all rows have one shape.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from prefdata.exporters.options import ExportOptions
from prefdata.exporters.shape import text
from prefdata.exporters.target import Feature, Form, Target, Written

URL = "https://huggingface.co/docs/trl/dataset_formats"
EVERYTHING: frozenset[Feature] = frozenset({"system", "multi-turn", "tools", "answer-turns"})
MARGIN: frozenset[Feature] = frozenset({"margin"})
SOFT: frozenset[Feature] = frozenset({"soft-label", "margin"})
TOOLS: frozenset[Feature] = frozenset({"tools"})


def _tools(df: pl.DataFrame) -> list[pl.Expr]:
    return [pl.col("tools")] if "tools" in df.columns else []


def preference(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    return df.select("prompt", "chosen", "rejected", *_tools(df))


def reward(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    """RewardTrainer reads `margin` from every row if the first has it: a row without one gets 0, which leaves its loss as it is."""
    margin = [pl.col("margin").fill_null(0.0)] if "margin" in df.columns else []
    return df.select("prompt", "chosen", "rejected", *margin, *_tools(df))


def implicit(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    """Whole conversations: both sides begin with the same turns, which is what TRL looks for."""
    return df.select(pl.concat_list("prompt", c).alias(c) for c in ("chosen", "rejected"))


def standard(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    """Texts, which TRL concatenates as they are: the answer brings its own line break."""
    answers = [("\n" + text(c)).alias(c) for c in ("chosen", "rejected")]
    return df.select(text("prompt", "last").alias("prompt"), *answers)


def unpaired(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    return df.select("prompt", "completion", "label", *_tools(df))


def prompt_only(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    return df.select("prompt", *_tools(df))


def sft(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    """The preferred answers as prompt and completion."""
    return df.select("prompt", pl.col("chosen").alias("completion"), *_tools(df))


COMMANDS = {
    "preference": "dpo",
    "standard": "dpo",
    "reward": "reward",
    "implicit": "reward",
    "unpaired": "kto",
    "prompt-only": "grpo",
    "sft": "sft",
}


def extra(w: Written) -> Mapping[str, str]:
    test = " --eval_strategy epoch" if any(p.split == "test" for p in w.parts) else ""
    command = f"trl {COMMANDS[w.form]} --model_name_or_path {w.options.model} --dataset_name {w.out}{test} --output_dir trained\n"
    return {"train.sh": "#!/bin/sh\n# TRL finds the splits by the names of the files.\n" + command}


TRL = Target(
    name="trl",
    title="TRL",
    url=URL,
    version="1.16",
    forms={
        "preference": Form("pair", preference, "explicit prompt, conversational: for DPO and most others", EVERYTHING),
        "reward": Form("pair", reward, "explicit prompt with margin: for RewardTrainer", EVERYTHING | MARGIN),
        "implicit": Form("pair", implicit, "whole conversations in chosen and rejected", EVERYTHING - TOOLS),
        "standard": Form("pair", standard, "texts instead of turns"),
        "sft": Form("pair", sft, "the preferred answers: for SFTTrainer", EVERYTHING | SOFT),
        "unpaired": Form("binary", unpaired, "prompt, completion, label: for KTOTrainer", EVERYTHING),
        "prompt-only": Form("listwise", prompt_only, "prompts alone: for online methods", EVERYTHING),
    },
    extra=extra,
)
