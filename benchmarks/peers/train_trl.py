"""TRL's DPOTrainer and RewardTrainer on the same pairs in the same order. `mode` is default or best."""

from __future__ import annotations

import os
from typing import Any

os.environ["TQDM_DISABLE"] = "1"

import child
import datasets
import torch
import transformers.models.qwen2.modeling_qwen2  # noqa: F401 - so that imports are done when the clock is made
import trl
from train_clock import Clock
from transformers import PreTrainedTokenizerFast, TrainerCallback

from prefdata.train.sampler import steps


class Watch(TrainerCallback):  # type: ignore[misc]
    """Tells the clock of the ends of steps."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.clock.ended(state.global_step)


def job(work: child.Work) -> dict[str, Any]:
    s, clock = work.settings, Clock(work.settings)
    datasets.disable_progress_bars()
    rows = datasets.load_dataset("parquet", data_files=work.data, split="train", cache_dir=f"{work.out}-cache")
    rows = rows.select_columns(["prompt", "chosen", "rejected"])
    order = [i for step in steps(range(len(rows)), int(s["batch"]), 0, 0) for i in step]
    gpu = torch.cuda.is_available()
    given: dict[str, Any] = {
        "output_dir": work.out,
        "per_device_train_batch_size": int(s["batch"]),
        "max_steps": int(s["steps"]),
        "train_sampling_strategy": "sequential",
        "bf16": gpu,
        "use_cpu": not gpu,
        "report_to": [],
        "disable_tqdm": True,
        "logging_first_step": True,
        "save_strategy": "no",
    }
    if s["mode"] == "best":
        given |= {"gradient_checkpointing": False} | ({"precompute_ref_log_probs": True} if work.task == "dpo" else {})
    kind, config = (trl.DPOTrainer, trl.DPOConfig) if work.task == "dpo" else (trl.RewardTrainer, trl.RewardConfig)
    if work.task == "dpo":
        kind._precompute_ref_logps = clock.reference(kind._precompute_ref_logps)
    trainer = kind(
        s["model"],
        args=config(**given),
        train_dataset=rows.select(order),
        processing_class=PreTrainedTokenizerFast.from_pretrained(s["model"]),
        callbacks=[Watch(clock)],
    )
    trainer.train()
    return clock.report(trainer.state.log_history[0])


if __name__ == "__main__":
    child.run(job, "trl", "torch", "transformers")
