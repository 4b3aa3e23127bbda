"""A recipe with a step of every sort (files, a gate, a server, trainings, sampling, an evaluation), its inputs, and what a run leaves."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

from tests.recipe.test_run import HH, contents
from tests.train import tiny

TEXT = """
name: line
vars: {server: null, n: 24, show: 3, decide: soft, log: 10, rm_rate: 1.0e-3, samples: 4, rate: 1.0e-3, batch: 4, worst: 20}
seed: 0
steps:
  - convert: {data: hh.jsonl, limit: "${n}", out: pairs.parquet}
  - validate: {data: pairs.parquet, show: "${show}", out: findings.json}
  - label:
      data: pairs.parquet
      judge: pairwise
      model: mock
      base_url: ${server}
      decide: ${decide}
      concurrency: 4
      out: labelled.parquet
  - train rm:
      data: labelled.parquet
      model: model
      batch: 4
      save_every: 2
      log_every: ${log}
      learning_rate: ${rm_rate}
      out: rm
  - sample:
      data: labelled.parquet
      policy: hf:model
      n: ${samples}
      max_tokens: 6
      batch_size: 4
      truncated: keep
      reward_model: rm
      out: sampled.parquet
  - train dpo: {data: sampled.parquet, model: model, batch: "${batch}", save_every: 2, learning_rate: "${rate}", out: dpo}
  - eval rm: {data: labelled.parquet, model: dpo, reference: model, worst: "${worst}", out: report}
"""
NAMES = ["convert", "validate", "label", "train rm", "sample", "train dpo", "eval rm"]
PAIRS = 23
"""Of the 24 rows one has an empty answer."""


def made(folder: Path) -> Path:
    """The recipe, with its inputs beside it: short dialogues and a tiny random model."""
    with gzip.open(HH, "rt", encoding="utf-8") as f:
        rows = sorted(f, key=len)[:24]
    (folder / "hh.jsonl").write_text("".join(rows), encoding="utf-8")
    tiny.saved(folder / "model", [t for row in rows for t in json.loads(row).values()], hidden=32)
    path = folder / "line.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def outputs(folder: Path) -> dict[str, bytes]:
    """Every file of a run but the accounts, and what recipe.json knows of each step's work."""
    found = {k: v for k, v in contents(folder).items() if k != "report/report.json"}
    done = json.loads((folder / "recipe.json").read_bytes())["done"]
    return found | {f"key of {name}": f"{step['key']} {step['content']}".encode() for name, step in done.items()}


def statuses(said: str) -> dict[str, str]:
    """By the lines on stderr what became of each step: `ran`, `up to date`, `would run`."""
    found = re.findall(r"^\[\d/7\] ([a-z ]+)(?:: (.+))?$", said, re.MULTILINE)
    return {name: status or "ran" for name, status in found}
