"""The arguments of transformers' Trainer, from our options."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from typing import Any

import torch

from prefdata.errors import UsageError
from prefdata.train.adapters import is_adapter
from prefdata.train.options import TrainOptions


def compute_dtype(options: TrainOptions) -> torch.dtype:
    """float32, or the type that forward passes run in under autocast."""
    if options.dtype == "auto":
        return torch.bfloat16 if torch.cuda.is_available() else torch.float32
    return torch.bfloat16 if options.dtype == "bfloat16" else torch.float32


def check(options: TrainOptions) -> None:
    """Raises UsageError with all options that contradict each other, or need a library that is not there."""
    problems = []
    if options.save_best and not options.eval_data:
        problems.append("--save-best needs --eval-data")
    elif options.save_best and options.save_every != options.eval_every:
        problems.append("--save-best: give --save-every and --eval-every the same number, or neither")
    libraries = {"tensorboard": ("tensorboard", "tensorboardX"), "wandb": ("wandb",)}.get(options.report_to, ())
    if libraries and not any(map(find_spec, libraries)):
        problems.append(f"--report-to {options.report_to}: the package is not installed: pip install {options.report_to}")
    if problems:
        raise UsageError("\n".join(problems))


def arguments(options: TrainOptions, out: str, learning_rate: float, *, evaluated: bool, checkpointing: bool) -> Any:
    """TrainingArguments."""
    from transformers import TrainingArguments

    every = "steps" if options.save_every else "epoch"
    measured = "no" if not evaluated else "steps" if options.eval_every else "epoch"
    args = TrainingArguments(
        output_dir=out,
        per_device_train_batch_size=1,
        num_train_epochs=options.epochs,
        max_steps=options.max_steps or -1,
        learning_rate=options.learning_rate or learning_rate * (10 if options.lora or is_adapter(options.model) else 1),
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
        greater_is_better=None if options.save_best is None else not options.save_best.endswith(("loss", "perplexity")),
        bf16=compute_dtype(options) == torch.bfloat16,
        activation_checkpointing=checkpointing,
        report_to=[] if options.report_to == "none" else [options.report_to],
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
        log_level="error",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
    )
    args._n_gpu = min(args.n_gpu, 1)  # a process has one GPU; with several transformers would begin threads (nn.DataParallel)
    return args


def last_checkpoint(out: str) -> str | None:
    """The newest checkpoint that was written whole."""
    if not os.path.isdir(out):
        return None
    found = [n for n in os.listdir(out) if n.startswith("checkpoint-") and os.path.exists(os.path.join(out, n, "complete"))]
    return os.path.join(out, max(found, key=lambda n: int(n.rpartition("-")[2]))) if found else None


def discard_checkpoints(out: str) -> None:
    """Those of an earlier training: a new one must not go on from them."""
    for name in os.listdir(out):
        if name.startswith("checkpoint-"):
            shutil.rmtree(os.path.join(out, name))
