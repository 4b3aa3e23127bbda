"""`prefdata train`: records and a model to a trained model, its metrics and an account."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

import torch

from prefdata.errors import PrefdataError, UsageError
from prefdata.io import account
from prefdata.io.open import opened
from prefdata.io.own import own_file
from prefdata.train.data import store_of
from prefdata.train.load import choose_layout, load_model, with_lora, without_dropout
from prefdata.train.mix import Mix, mix_of
from prefdata.train.model import attach, scores, token_logps
from prefdata.train.options import TrainOptions
from prefdata.train.reference import reference_logps
from prefdata.train.reward_task import RewardTask
from prefdata.train.store import REASONS, Store
from prefdata.train.task import PolicyTask
from prefdata.version import __version__

Method = Literal["dpo", "rm", "kto", "sft"]
Progress = Callable[[str, int, int, str], None]
"""(what, done, all, words)"""


class Kind(NamedTuple):
    """What a method needs."""

    records: tuple[str, ...]
    head: str
    loss: str
    learning_rate: float


METHODS: dict[str, Kind] = {
    "dpo": Kind(("pair",), "lm", "dpo", 1e-6),
    "kto": Kind(("binary",), "lm", "kto", 1e-6),
    "sft": Kind(("pair", "binary"), "lm", "sft", 1e-5),
    "rm": Kind(("pair", "listwise"), "score", "", 1e-5),
}


@dataclass
class TrainResult:
    """What was trained. `metrics` are those of the last line, `eval` those of the held-out records."""

    out: str
    method: str
    counts: dict[str, Any]
    cut: dict[str, int]
    steps: int
    tokens: int
    layout: str
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    resumed_at: int = 0

    exit_code = 0

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "exit_code": self.exit_code}

    def lines(self) -> list[str]:
        """The account in words."""
        c = self.counts
        out = [f"{self.out}: {self.method}, {self.steps:,} steps, {self.tokens:,} tokens in {self.seconds:,.1f} s ({self.layout} layout)"]
        out.append(f"  records: read {c['read']:,} = kept {c['kept']:,} + dropped {sum(c['dropped'].values()):,}")
        out += [f"    dropped {n:,}: {code}, {REASONS.get(code, code)}" for code, n in c["dropped"].items()]
        words = {"prompt": "prompts were cut", "completion": "completions were cut", "eos": "completions got an end-of-sequence token"}
        out += [f"  {n:,} {words[what]}" for what, n in self.cut.items()]
        out += [f"  {name} {value:.4f}" for name, value in self.metrics.items() if not name.startswith("sources/")]
        return out


def train(method: Method, data: list[str] | str, out: str, options: TrainOptions, progress: Progress | None = None) -> TrainResult:
    """Train a model on records and write it to the folder `out`. Running it again goes on from the last checkpoint.

    Raises UsageError, InputError; PrefdataError when a self-check at the start fails.
    """
    started = time.monotonic()
    paths = [data] if isinstance(data, str) else data
    needs = METHODS[method]
    kind = _kind(paths, method)
    mix = (
        mix_of(options.loss or {needs.loss: 1.0}, options.loss_args, "pair" if kind == "chosen" else kind, options.seed)
        if needs.loss
        else None
    )
    tokenizer = options.tokenizer or options.model
    cache = os.path.join(out, "cache")
    how = {"max_length": options.max_length, "truncate": options.truncate}
    records = "pair" if kind == "chosen" else kind
    store, found = store_of(paths, records, tokenizer, cache, answers=kind, limit=options.limit, **how)
    if not store.size:
        raise UsageError(f"nothing is left to train on: {dict(found.dropped)}")
    dtype = _dtype(options)
    torch.manual_seed(options.seed)
    model = load_model(options.model, head=needs.head, dtype=torch.float32 if not options.lora else dtype)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    layout = choose_layout(model, [store.group(i) for i in range(min(2, store.size))], options.layout, needs.head)
    reference = _reference(model, mix, store, options, layout, cache, dtype) if mix is not None else None
    if options.lora:
        model = with_lora(model, options, needs.head)
        without_dropout(model)
    attach(model, token_logps if needs.head == "lm" else scores)
    task = _task(store, mix, layout, reference, kind, options)
    _check_start(model, task, mix, options)
    trained = _run(model, task, out, options, needs, device)
    counts = {"read": store.size + sum(found.dropped.values()), "kept": store.size, "dropped": dict(found.dropped), "rejected": {}}
    result = TrainResult(out, method, counts, dict(found.cut), trained.steps, trained.tokens, layout, trained.metrics)
    result.seconds = round(time.monotonic() - started, 3)
    _manifest(result, paths, options)
    return result


def _kind(paths: list[str], method: str) -> str:
    """What is tokenised. Raises UsageError when the method cannot learn from the records."""
    with opened(paths) as files:
        kinds = {own_file(f, None).kind for f in files}
    wanted = METHODS[method].records
    if len(kinds) > 1 or not kinds <= set(wanted):
        raise UsageError(
            f"train {method} takes {' or '.join(wanted)} records, these are {', '.join(sorted(kinds))} ('prefdata convert --to')"
        )
    kind = next(iter(kinds))
    return "chosen" if method == "sft" and kind == "pair" else kind


def _dtype(options: TrainOptions) -> torch.dtype:
    if options.dtype == "auto":
        return torch.bfloat16 if torch.cuda.is_available() else torch.float32
    found: torch.dtype = getattr(torch, options.dtype)
    return found


def _reference(model: Any, mix: Mix, store: Store, options: TrainOptions, layout: str, cache: str, dtype: torch.dtype) -> Any:
    if not mix.reference:
        return None
    other = model if options.reference is None else load_model(options.reference, head="lm", dtype=dtype).to(model.device)
    return reference_logps(store, other, cache, layout, budget=options.micro_tokens or 16_384)


def _task(store: Store, mix: Mix | None, layout: str, reference: Any, kind: str, options: TrainOptions) -> Any:
    if mix is None:
        return RewardTask(store, layout, kind=kind, soft=options.soft_labels, center=options.center)
    return PolicyTask(store, mix, layout, reference, soft=options.soft_labels, ld_alpha=options.ld_alpha)


@torch.no_grad()
def _check_start(model: Any, task: Any, mix: Mix | None, options: TrainOptions) -> None:
    """The loss before the first step equals its closed form when policy and reference are the same."""
    if mix is None or options.reference is not None or mix.at_start() is None or not mix.reference:
        return
    model.train()
    part = task.part(list(range(min(4, task.store.size))), next(model.parameters()).device)
    ones = {**part.columns, "weight": torch.ones_like(part.columns["weight"])}
    found, wanted = float(task.losses(ones, task.values(model, part)).mean()), float(mix.at_start() or 0.0)
    if abs(found - wanted) > 0.02 * max(1.0, abs(wanted)):
        raise PrefdataError(
            f"self-check: the loss before the first step is {found:.6f} and should be {wanted:.6f}: policy and reference differ"
        )


class Trained(NamedTuple):
    steps: int
    tokens: int
    metrics: dict[str, float]


def _run(model: Any, task: Any, out: str, options: TrainOptions, needs: Kind, device: torch.device) -> Trained:
    from transformers import TrainingArguments

    from prefdata.train.trainer import PrefdataTrainer

    rate = options.learning_rate or needs.learning_rate * (10 if options.lora else 1)
    args = TrainingArguments(
        output_dir=out,
        per_device_train_batch_size=1,
        num_train_epochs=options.epochs,
        max_steps=options.max_steps or -1,
        learning_rate=rate,
        lr_scheduler_type=options.schedule,
        warmup_steps=options.warmup,
        weight_decay=options.weight_decay,
        max_grad_norm=options.max_grad_norm,
        seed=options.seed,
        data_seed=options.seed,
        logging_steps=options.log_every,
        save_strategy="steps" if options.save_every else "epoch",
        save_steps=options.save_every or 500,
        save_total_limit=options.keep,
        bf16=_dtype(options) == torch.bfloat16,
        activation_checkpointing=options.gradient_checkpointing == "on",
        report_to=[] if options.report_to == "none" else [options.report_to],
        use_cpu=device.type == "cpu",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    trainer = PrefdataTrainer(task, None, batch=options.batch, micro_tokens=options.micro_tokens or 16_384, model=model, args=args)
    trainer.train(resume_from_checkpoint=last_checkpoint(out))
    trainer.save_model(out)
    return Trained(trainer.state.global_step, trainer.tokens_seen, trainer.last_metrics)


def last_checkpoint(out: str) -> str | None:
    """The newest checkpoint that was written whole."""
    if not os.path.isdir(out):
        return None
    found = [n for n in os.listdir(out) if n.startswith("checkpoint-") and os.path.exists(os.path.join(out, n, "complete"))]
    return os.path.join(out, max(found, key=lambda n: int(n.rpartition("-")[2]))) if found else None


def _manifest(result: TrainResult, paths: list[str], options: TrainOptions) -> None:
    with opened(paths) as files:
        inputs = [{"path": f.name, "bytes": f.size, "sha256": account.sha256_of(f.path)} for f in files]
    account.write_manifest(
        os.path.join(result.out, "model"),
        {
            "command": f"train {result.method}",
            "version": __version__,
            "options": options.model_dump(exclude_defaults=True, exclude={"force"}),
            "seed": options.seed,
            "inputs": inputs,
            **{k: v for k, v in result.as_dict().items() if k not in ("out", "method", "exit_code")},
        },
    )

