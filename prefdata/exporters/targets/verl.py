"""verl 0.9.1 (`utils/dataset/rm_dataset.py`, `utils/dataset/rl_dataset.py`). There is no DPO trainer. RMDataset takes texts and tokenises
prompt and answer one after the other with nothing in between, so the answer brings its own line break. RL rows are prompts.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from prefdata.exporters.options import ExportOptions
from prefdata.exporters.shape import plain, text
from prefdata.exporters.snippets import sh, test_files, train_files
from prefdata.exporters.target import Form, Target, Written


def reward(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    return df.select(text("prompt", "last").alias("prompt"), *[("\n" + text(c)).alias(c) for c in ("chosen", "rejected")])


def prompts(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    """No ground truth is known: a model gives the rewards. The index is a number made from the record's id."""
    source = pl.col("source").fill_null(o.name) if "source" in df.columns else pl.lit(o.name).alias("source")
    split = pl.col("split").fill_null("train") if "split" in df.columns else pl.lit("train").alias("split")
    index = pl.col("id").str.head(13).str.to_integer(base=16, dtype=pl.Int64).alias("index")
    return df.select(
        source.alias("data_source"),
        plain("prompt").alias("prompt"),
        pl.lit("preference").alias("ability"),
        pl.struct(pl.lit("model").alias("style"), pl.lit("").alias("ground_truth")).alias("reward_model"),
        pl.struct(split, index, "id").alias("extra_info"),
    )


READ_RM = '''"""The rows as verl's RMDataset reads them; verl has no trainer for them."""

from verl.utils.dataset.rm_dataset import RMDataset

dataset = RMDataset({files!r}, tokenizer={model!r}, max_length=2048)
print(len(dataset), "rows")
'''


def extra(w: Written) -> Mapping[str, str]:
    if w.form == "reward":
        return {"read.py": READ_RM.format(files=train_files(w), model=w.options.model)}
    words = ["algorithm.adv_estimator=grpo", _paths("train", train_files(w))]
    words += [_paths("val", test_files(w) or train_files(w))]
    words += ["data.prompt_key=prompt", f"actor_rollout_ref.model.path={w.options.model}"]
    note = "Add the reward: a reward model, or custom_reward_function.path and custom_reward_function.name."
    return {"train.sh": sh("python3 -m verl.trainer.main_ppo", *words, note=note)}


def _paths(split: str, files: list[str]) -> str:
    """A list in Hydra's grammar of overrides."""
    quoted = ["'" + f.replace("\\", "\\\\").replace("'", "\\'") + "'" for f in files]
    return f"data.{split}_files=[{','.join(quoted)}]"


VERL = Target(
    name="verl",
    title="verl",
    url="https://verl.readthedocs.io/en/latest/preparation/prepare_data.html",
    version="0.9.1",
    forms={
        "reward": Form("pair", reward, "texts in Parquet, answers after a line break: for RMDataset", file="parquet"),
        "prompts": Form("listwise", prompts, "prompts in Parquet: for PPO and GRPO", frozenset({"system", "multi-turn"}), "parquet"),
    },
    extra=extra,
)
