"""LLaMA-Factory 0.9.5 (`data/converter.py`, `data/parser.py`). It finds data through `dataset_info.json`; a column or tag that an entry
does not name counts as absent, so each entry names all of its form. A conversation whose prompt has an even number of turns is dropped
with a log line only; records cannot have one, since tool turns are left out here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from prefdata.exporters.options import ExportOptions
from prefdata.exporters.shape import asked, has_system, plain, text
from prefdata.exporters.snippets import yml
from prefdata.exporters.target import Feature, Form, Target, Written

CHAT: frozenset[Feature] = frozenset({"system", "multi-turn"})
NAMES = {"system": "system", "user": "human", "assistant": "gpt"}


def _named(column: str) -> pl.Expr:
    turn = pl.element().struct
    role = turn.field("role").replace_strict(NAMES, return_dtype=pl.String)
    return pl.col(column).list.eval(pl.struct(role.alias("from"), turn.field("content").alias("value")))


def sharegpt(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    return df.select(_named("prompt").alias("conversations"), _named("chosen").list.first(), _named("rejected").list.first())


def alpaca(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    """The turns before the last question go to `history` as [question, answer]."""
    turn = pl.element().struct.field("content")
    history = asked().list.head(asked().list.len() - 1).list.eval(pl.concat_list(turn.gather_every(2), turn.gather_every(2, 1)))
    return df.select(
        text("prompt", "last").alias("instruction"),
        pl.lit("").alias("input"),
        text("chosen").alias("chosen"),
        text("rejected").alias("rejected"),
        pl.when(has_system()).then(text("prompt")).otherwise(pl.lit("")).alias("system"),
        history.alias("history"),
    )


def kto(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    return df.select(pl.concat_list(plain("prompt"), plain("completion")).alias("messages"), "label")


def _columns(*names: str, **renamed: str) -> dict[str, str]:
    return {**{n: n for n in names}, **renamed}


TAGS = {"user_tag": "human", "assistant_tag": "gpt", "observation_tag": "observation", "function_tag": "function_call"}
OPENAI_TAGS = {"user_tag": "user", "assistant_tag": "assistant", "observation_tag": "tool", "function_tag": "function"}
ENTRIES: Mapping[str, dict[str, Any]] = {
    "sharegpt": {
        "formatting": "sharegpt",
        "ranking": True,
        "columns": _columns("chosen", "rejected", messages="conversations"),
        "tags": {"role_tag": "from", "content_tag": "value", **TAGS, "system_tag": "system"},
    },
    "alpaca": {
        "ranking": True,
        "columns": _columns("chosen", "rejected", "system", "history", prompt="instruction", query="input"),
    },
    "kto": {
        "formatting": "sharegpt",
        "columns": _columns("messages", kto_tag="label"),
        "tags": {"role_tag": "role", "content_tag": "content", **OPENAI_TAGS, "system_tag": "system"},
    },
}


def _names(w: Written) -> dict[str, str]:
    return {p.split: w.options.name if p.split == "train" else f"{w.options.name}_{p.split}" for p in w.parts}


def entries(w: Written) -> dict[str, dict[str, Any]]:
    """An entry per split: the training set under the name of `--name`, any other with its split behind it."""
    names = _names(w)
    return {names[p.split]: {"file_name": p.path, **ENTRIES[w.form]} for p in w.parts}


def extra(w: Written) -> Mapping[str, str]:
    names, info = _names(w), entries(w)
    stage = "kto" if w.form == "kto" else "dpo"
    settings: dict[str, Any] = {"model_name_or_path": w.options.model, "stage": stage, "do_train": True, "finetuning_type": "lora"}
    settings |= {"dataset_dir": w.out, "dataset": names.get("train", next(iter(names.values()), w.options.name))}
    if test := next((names[s] for s in ("test", "validation") if s in names), None):
        settings["eval_dataset"] = test
    settings |= {"template": "default", "cutoff_len": 2048, "output_dir": "trained"}
    note = "llamafactory-cli train train.yaml\nSet template to that of the model (chatml, llama3, qwen, ...)."
    note += "" if stage == "kto" else "\nFor a reward model: stage: rm."
    return {"dataset_info.json": json.dumps(info, indent=2) + "\n", "train.yaml": yml(settings, note)}


LLAMA_FACTORY = Target(
    name="llama-factory",
    title="LLaMA-Factory",
    url="https://llamafactory.readthedocs.io/en/latest/getting_started/data_preparation.html",
    version="0.9.5",
    forms={
        "sharegpt": Form("pair", sharegpt, "ranking rows of conversations, with their entry in dataset_info.json", CHAT),
        "alpaca": Form("pair", alpaca, "ranking rows of instruction, history and system, with their entry", CHAT),
        "kto": Form("binary", kto, "conversations with a label, with their entry", CHAT),
    },
    extra=extra,
    entries=entries,
)
