"""axolotl 0.19.0 (`prompt_strategies/dpo/chat_template.py`, `prompt_strategies/kto/chatml.py`, `prompt_strategies/bradley_terry`).

Its DPO strategy for chat templates renders `[[dummy_message]]` and the answer, and cuts at the first place where the answer's text occurs:
an answer such as "a" is found in the header, and one whose outer white space the template trims is not found at all, which leaves
nothing. Such rows are refused; the form `chatml` writes rendered text instead and takes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from prefdata.exporters.options import ExportOptions
from prefdata.exporters.shape import has_system, plain, text
from prefdata.exporters.snippets import test_file, train_file, yml
from prefdata.exporters.target import Feature, Form, Target, Written

CHAT: frozenset[Feature] = frozenset({"system", "multi-turn"})
SIDES = ("chosen", "rejected")
HEADERS = "\n".join(
    [
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n[[dummy_message]]<|im_end|>",
        "<|im_start|>assistant\n",
        "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024",
        "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<bos><start_of_turn>user\n[[dummy_message]]<end_of_turn>\n<start_of_turn>model\n",
        "<s>[INST] [[dummy_message]] [/INST] [SYSTEM_PROMPT] [/SYSTEM_PROMPT]",
        "<|system|>\n<|user|>\n[[dummy_message]]<|end|>\n<|assistant|>\n<think>\n\n</think>\n\n",
    ]
)
"""What common chat templates write before the answer to the dummy message."""


def dpo(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    return df.select(plain("prompt").alias("messages"), *[text(c).alias(c) for c in SIDES])


def _cut(df: pl.DataFrame, o: ExportOptions) -> pl.Expr:
    in_header = [pl.lit(HEADERS).str.contains(text(c), literal=True) for c in SIDES]
    edges = [text(c).str.contains(r"^\s|\s$") for c in SIDES]
    return pl.when(pl.any_horizontal(in_header)).then(pl.lit("short-answer")).when(pl.any_horizontal(edges)).then(pl.lit("edge-space"))


def rendered(column: str) -> pl.Expr:
    """Turns in ChatML."""
    turn = pl.element().struct
    one = pl.concat_str(pl.lit("<|im_start|>"), turn.field("role"), pl.lit("\n"), turn.field("content"), pl.lit("<|im_end|>\n"))
    return pl.col(column).list.eval(one).list.join("")


def chatml(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    prompt = (rendered("prompt") + "<|im_start|>assistant\n").alias("prompt")
    return df.select(prompt, *[(text(c) + "<|im_end|>").alias(c) for c in SIDES])


def kto(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    return df.select(pl.concat_list(plain("prompt"), plain("completion")).alias("completion"), "label")


def reward(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    """The key `system` must be there and may be empty."""
    system = pl.when(has_system()).then(text("prompt")).otherwise(pl.lit("")).alias("system")
    return df.select(system, text("prompt", "last").alias("input"), *[text(c).alias(c) for c in SIDES])


TYPES: Mapping[str, dict[str, Any]] = {
    "dpo": {"type": "chat_template.default", "field_messages": "messages", "field_chosen": "chosen", "field_rejected": "rejected"},
    "chatml": {"type": "passthrough.default"},
    "kto": {"type": "chatml.argilla_chat"},
    "reward": {"type": "bradley_terry.chat_template"},
}
SETTINGS: Mapping[str, dict[str, Any]] = {
    "dpo": {"rl": "dpo", "chat_template": "tokenizer_default"},
    "chatml": {"rl": "dpo", "chat_template": "chatml"},
    "kto": {"rl": "kto", "chat_template": "chatml", "remove_unused_columns": False},
    "reward": {
        "reward_model": True,
        "chat_template": "tokenizer_default",
        "model_type": "AutoModelForSequenceClassification",
        "num_labels": 1,
    },
}


def extra(w: Written) -> Mapping[str, str]:
    def entry(path: str) -> dict[str, Any]:
        return {"path": path, "ds_type": "json", "split": "train", **TYPES[w.form]}

    settings = {"base_model": w.options.model, **SETTINGS[w.form], "datasets": [entry(train_file(w))]}
    if test := test_file(w):
        settings["test_datasets"] = [entry(test)]
    settings |= {"sequence_len": 2048, "micro_batch_size": 2, "num_epochs": 1, "learning_rate": 5.0e-7, "output_dir": "trained"}
    return {"train.yaml": yml(settings, "axolotl train train.yaml\nA file that is named by its path has the one split train.")}


AXOLOTL = Target(
    name="axolotl",
    title="axolotl",
    url="https://docs.axolotl.ai/docs/rlhf.html",
    version="0.19.0",
    forms={
        "dpo": Form("pair", dpo, "messages, chosen, rejected for the model's own chat template", CHAT, refuse=_cut),
        "chatml": Form("pair", chatml, "prompt, chosen, rejected rendered in ChatML, for models that use it", CHAT),
        "reward": Form("pair", reward, "system, input, chosen, rejected: for a reward model", frozenset({"system"})),
        "kto": Form("binary", kto, "conversations with a label, which axolotl renders in ChatML", CHAT),
    },
    extra=extra,
    reasons={
        "short-answer": "axolotl cuts where an answer's text first occurs, and this one occurs in chat templates (--form chatml)",
        "edge-space": "an answer begins or ends with white space; axolotl does not find it in a template that trims (--form chatml)",
    },
)
