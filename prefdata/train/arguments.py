"""The arguments of transformers' Trainer, from our options."""

from __future__ import annotations

import os
from typing import Any

import torch

from prefdata.errors import UsageError
from prefdata.train.options import TrainOptions


def compute_dtype(options: TrainOptions) -> torch.dtype:
    """float32, or the type that forward passes run in under autocast."""
    if options.dtype == "auto":
        return torch.bfloat16 if torch.cuda.is_available() else torch.float32
    return torch.bfloat16 if options.dtype == "bfloat16" else torch.float32


def arguments(options: TrainOptions, out: str, learning_rate: float, *, evaluated: bool, checkpointing: bool) -> Any:
    """TrainingArguments. Raises UsageError when options contradict each other."""
    from transformers import TrainingArguments

    if options.save_best and not evaluated:
        raise UsageError("--save-best needs --eval-data")
    every = "steps" if options.save_every else "epoch"
    measured = "no" if not evaluated else "steps" if options.eval_every else "epoch"
    if options.save_best and (every != measured or options.save_every != options.eval_every):
        raise UsageError("--save-best: give --save-every and --eval-every the same number, or neither")
    return TrainingArguments(
        output_dir=out,
        per_device_train_batch_size=1,
        num_train_epochs=options.epochs,
        max_steps=options.max_steps or -1,
        learning_rate=options.learning_rate or learning_rate * (10 if options.lora else 1),
        lr_scheduler_type=options.schedule,
        warmup_steps=options.warmup,
        weight_decay=options.weight_decay,
        max_grad_norm=options.max_grad_norm,
        seed=options.seed,
        data_seed=options.seed,
        logging_steps=options.log_every,
        logging_first_step=True,
        save_strategy=every,
        save_steps=options.save_every or 500,
        save_total_limit=options.keep,
        eval_strategy=measured,
        eval_steps=options.eval_every,
        load_best_model_at_end=options.save_best is not None,
        metric_for_best_model=options.save_best,
        greater_is_better=None if options.save_best is None else not options.save_best.endswith("loss"),
        bf16=compute_dtype(options) == torch.bfloat16,
        activation_checkpointing=checkpointing,
        report_to=[] if options.report_to == "none" else [options.report_to],
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
        log_level="error",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )


def last_checkpoint(out: str) -> str | None:
    """The newest checkpoint that was written whole."""
    if not os.path.isdir(out):
        return None
    found = [n for n in os.listdir(out) if n.startswith("checkpoint-") and os.path.exists(os.path.join(out, n, "complete"))]
    return os.path.join(out, max(found, key=lambda n: int(n.rpartition("-")[2]))) if found else None
