"""NeMo-RL, commit 7ea279a (`data/datasets/preference_datasets/preference_dataset.py`, `data/processors.py`). Rows are ranked lists; the
processor for DPO and reward models takes exactly two completions and refuses equal ranks, so ties are left out.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from prefdata.exporters.options import ExportOptions
from prefdata.exporters.shape import plain
from prefdata.exporters.snippets import sh, test_file, train_file, yml
from prefdata.exporters.target import Feature, Form, Target, Written

CHAT: frozenset[Feature] = frozenset({"system", "multi-turn"})
SIDES = ("chosen", "rejected")


def ranked(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    """Rank 0 is the better one."""
    sides = [pl.struct(pl.lit(rank).cast(pl.Int64).alias("rank"), plain(c).alias("completion")) for rank, c in enumerate(SIDES)]
    return df.select(plain("prompt").alias("context"), pl.concat_list(sides).alias("completions"))


def extra(w: Written) -> Mapping[str, str]:
    data = {"train": {"data_path": train_file(w)}, "validation": {"data_path": test_file(w) or train_file(w)}}
    settings = {"data": {**data, "default": {"dataset_name": "PreferenceDataset", "prompt_file": None, "system_prompt_file": None}}}
    note = "Replace the section `data` of examples/configs/dpo.yaml (or rm.yaml) with this one, and name that file in train.sh."
    words = ["--config", "config.yaml", f"policy.model_name={w.options.model}"]
    where = "In a checkout of NeMo-RL. Reward model: examples/run_rm.py."
    return {"data.yaml": yml(settings, note), "train.sh": sh("uv run examples/run_dpo.py", *words, note=where)}


NEMO_RL = Target(
    name="nemo-rl",
    title="NeMo-RL",
    url="https://github.com/NVIDIA-NeMo/RL/blob/main/docs/guides/dpo.md",
    version="commit 7ea279a",
    forms={"ranked": Form("pair", ranked, "context and ranked completions: for DPO and reward models", CHAT)},
    extra=extra,
)
