"""align-anything, commit 3f9decc of 2025-11-27 (https://github.com/PKU-Alignment/align-anything).

Its `PreferenceDataset` opens a path that ends in `jsonl` in the encoding of the locale and parses every line, so files are ASCII without a
byte-order mark and without blank lines. `PKUSafeRLHF` is its only built-in template for preferences between texts; it knows one user turn.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

import orjson
import polars as pl
import polars_hash as plh

from prefdata.exporters.options import ExportOptions
from prefdata.exporters.shape import plain, text
from prefdata.exporters.snippets import test_file, train_file
from prefdata.exporters.target import Form, Target, Written

URL = "https://github.com/PKU-Alignment/align-anything"
TEMPLATE = "prefdata_conversation"


def pku(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    """The keys of PKU-SafeRLHF. Which slot has the preferred answer is drawn by content and seed: readers that always take `response_1`
    (KTO's second set) would otherwise see only one side."""
    rows = df.with_columns(_slot(df, o).alias("_slot"))
    swapped = pl.col("_slot") == 1
    chosen, rejected = text("chosen"), text("rejected")
    return ascii_rows(
        rows.select(
            text("prompt", "last").alias("prompt"),
            pl.when(swapped).then(rejected).otherwise(chosen).alias("response_0"),
            pl.when(swapped).then(chosen).otherwise(rejected).alias("response_1"),
            pl.col("_slot").alias("better_response_id"),
        )
    )


def _slot(df: pl.DataFrame, o: ExportOptions) -> pl.Series:
    digest = plh.concat_str(pl.lit(f"{o.seed}\nslot\n"), "id").chash.sha2_256()
    return df.select((digest.str.head(1).str.to_integer(base=16, dtype=pl.Int64) % 2).alias("_slot"))["_slot"]


def conversation(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    """The turns of the prompt and two texts, for the template that is written beside the data."""
    return ascii_rows(df.select(plain("prompt"), text("chosen").alias("chosen"), text("rejected").alias("rejected")))


def ascii_rows(df: pl.DataFrame) -> pl.DataFrame:
    """Rows as ASCII JSON. Rows that are ASCII as they are, most of them in English data, need no second look."""
    lines = df.select(pl.struct(df.columns).struct.json_encode().alias("_json"))["_json"]
    wide = lines.str.contains(r"[^\x00-\x7f]")
    if not wide.any():
        return lines.to_frame()
    escaped = [json.dumps(orjson.loads(line), separators=(",", ":")) for line in lines.filter(wide)]
    return lines.scatter(wide.arg_true(), escaped).to_frame()


MODULE = '''"""Lets align-anything read the rows of this folder: a prompt of several turns, and two texts that answer it."""

from align_anything.configs.format_dataset import BaseFormatter
from align_anything.utils.template_registry import register_template


def _ends(row, answer):
    return [*row["prompt"], {"role": "assistant", "content": answer}]


@register_template("prefdata_conversation")
class PrefdataConversation(BaseFormatter):
    """Rows {"prompt": [{"role", "content"}, ...], "chosen": text, "rejected": text}."""

    def format_preference_sample(self, raw_sample):
        chosen, rejected = raw_sample["chosen"], raw_sample["rejected"]
        return _ends(raw_sample, chosen), _ends(raw_sample, rejected), {"better_response": chosen, "worse_response": rejected}

    def format_prompt_only_sample(self, raw_sample):
        return raw_sample["prompt"], {}

    def format_supervised_sample(self, raw_sample):
        return _ends(raw_sample, raw_sample["chosen"]), {}

    def format_unmatched_supervised_sample(self, raw_sample_for_prompt, raw_sample_for_response):
        return _ends(raw_sample_for_prompt, raw_sample_for_response["chosen"]), {}
'''
"""A template exists for align-anything only when its module was imported before the trainer looks for it: hence the launchers."""


def launcher(module: str) -> str:
    """A script that registers the template and starts a trainer."""
    return f'''"""Starts align-anything's {module} trainer with the template of this folder (--train_template {TEMPLATE})."""

import sys

import prefdata_template  # noqa: F401
from align_anything.trainers.text_to_text.{module} import main

if __name__ == "__main__":
    sys.exit(main())
'''


def extra(w: Written) -> Mapping[str, str]:
    own = w.form == "conversation"
    out = {"train.sh": _commands(w, own)}
    if own:
        out |= {"prefdata_template.py": MODULE, "run_dpo.py": launcher("dpo"), "run_rm.py": launcher("rm")}
    return out


def _commands(w: Written, own: bool) -> str:
    """Reward model and DPO. Files are named one by one: a folder would be given to another loader, which ignores the template's split."""
    template = TEMPLATE if own else "PKUSafeRLHF"
    arguments = ["--model_name_or_path", w.options.model, "--train_template", template]
    arguments += ["--train_datasets", train_file(w)]
    if held := test_file(w):
        arguments += ["--eval_template", template, "--eval_datasets", held]
    lines = ["#!/bin/sh", "# sh train.sh dpo (the default) or sh train.sh rm. Train files are whole: do not add --train_size.", "set -eu"]
    lines += ['TRAINER="${1:-dpo}"']
    program = f'{shlex.quote(w.out)}/"run_$TRAINER.py"' if own else '--module "align_anything.trainers.text_to_text.$TRAINER"'
    lines += [f'deepspeed --master_port "${{MASTER_PORT:-29500}}" {program} \\']
    lines += [f'  {shlex.join(arguments)} --output_dir "trained-$TRAINER"']
    return "\n".join(lines) + "\n"


def complain(w: Written) -> list[str]:
    """Where the reader of its command line, or of its files, would take something for something else."""
    out = []
    if "," in w.out:
        out.append(f"the path {w.out} has a comma: align-anything takes it for a list of data sets; write to another folder")
    if "," in w.options.model:
        out.append(f"the model {w.options.model} has a comma: align-anything takes it for a list")
    if w.out.rstrip("/").endswith(("json", "jsonl")):
        out.append(f"the folder {w.out} ends in 'json' or 'jsonl': align-anything opens such a path as a file; name the file in it")
    if not w.parts:
        out.append("there is no row to train on")
    return out


ALIGN_ANYTHING = Target(
    name="align-anything",
    title="align-anything",
    url=URL,
    version="commit 3f9decc of 2025-11-27",
    forms={
        "pku": Form("pair", pku, "the keys of PKU-SafeRLHF, for the built-in template: one user turn"),
        "conversation": Form(
            "pair", conversation, "prompts of several turns, with a template and launchers", frozenset({"system", "multi-turn"})
        ),
    },
    extra=extra,
    complain=complain,
)
