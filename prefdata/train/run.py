"""`prefdata train`: records and a model to a trained model, its metrics and an account."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from math import ceil
from typing import Any, Literal, NamedTuple

import orjson
import torch

from prefdata.errors import PrefdataError, UsageError
from prefdata.io.open import opened
from prefdata.io.own import own_file
from prefdata.io.write import replacing
from prefdata.train.adapters import as_reference, forget_reference, lora_numbers, tokenizer_of, with_lora
from prefdata.train.arguments import arguments, check, compute_dtype, discard_checkpoints, last_checkpoint
from prefdata.train.data import store_of
from prefdata.train.ensemble import train_ensemble
from prefdata.train.finish import finish
from prefdata.train.list_task import ListTask
from prefdata.train.load import LAYOUTS, choose_layout, load_model, name_heads, starting_model, write_merged
from prefdata.train.memory import available, estimate, tokens_at_a_time
from prefdata.train.mix import Mix, mix_of
from prefdata.train.model import attach, scores, token_logps
from prefdata.train.options import TrainOptions
from prefdata.train.processes import begin, count, first, largest, rank
from prefdata.train.progress import Report
from prefdata.train.quiet import quiet
from prefdata.train.reference import reference_logps
from prefdata.train.result import TrainResult
from prefdata.train.reward_task import RewardTask
from prefdata.train.sensible import check_options
from prefdata.train.store import REASONS, Store, Tokenised, with_mismatched
from prefdata.train.task import PolicyTask
from prefdata.train.usable import usable
from prefdata.train.words import words_of

Method = Literal["dpo", "rm", "kto", "sft"]
Progress = Callable[[int, int, str], None]
"""(steps done, steps in all, words)"""


class Needs(NamedTuple):
    """What a method takes, which head the model has, its loss and its learning rate."""

    records: tuple[str, ...]
    head: Literal["lm", "score"]
    loss: str
    learning_rate: float


METHODS: dict[str, Needs] = {
    "dpo": Needs(("pair", "listwise"), "lm", "dpo", 1e-6),
    "kto": Needs(("binary",), "lm", "kto", 1e-6),
    "sft": Needs(("pair", "binary"), "lm", "sft", 1e-5),
    "rm": Needs(("pair", "listwise"), "score", "", 1e-5),
}


@quiet()
def train(method: Method, data: list[str] | str, out: str, options: TrainOptions, progress: Progress | None = None) -> TrainResult:
    """Train a model on records and write it to the folder `out`. Running it again goes on from the last whole checkpoint. Several processes
    that a launcher has started (`accelerate launch`) train it together; all get the result, the first one writes.

    Raises UsageError, InputError; PrefdataError when a self-check at the start fails.
    """
    started = time.monotonic()
    paths = [data] if isinstance(data, str) else data
    needs = METHODS[method]
    device = begin()
    tell = progress or (lambda done, of, words: None)
    tell(0, 0, "reading and tokenising")
    if options.ensemble and method == "rm":
        return train_ensemble(train, paths, out, options, progress)
    answers, mix, (store, found), evaluated = first(lambda: _prepared(paths, method, options, out))
    counts = {
        "read": found.table.num_rows + sum(found.dropped.values()),
        "kept": store.size,
        "dropped": dict(found.dropped),
        "rejected": {},
    }
    result = TrainResult(out, method, counts, dict(found.cut))
    torch.manual_seed(options.seed)
    model = starting_model(options, head=needs.head, heads=max(1, len(options.aspects)))
    name_heads(model, options.aspects)
    if not options.load_4bit:  # which are on the GPU, and stay as they are
        model.to(device)
    ends = {int(store.lengths.argmax()), int(store.lengths.argmin())}
    chosen = choose_layout(model, [store.group(i) for i in sorted(ends)], options.layout, needs.head)
    result.layout = LAYOUTS[largest(LAYOUTS.index(chosen))]
    budget = options.micro_tokens or _tokens(model, mix, options, device)
    checkpointing = _checkpointing(model, options, min(budget, int(store.lengths.sum())), device, store, result)
    if options.dry_run:
        result.seconds = round(time.monotonic() - started, 3)
        return result
    tell(0, 0, "log-probs of the reference")
    reference = _references(model, mix, [store, evaluated], options, result.layout, out, budget)
    if options.lora:
        model = with_lora(model, options, needs.head)
    forget_reference(model)
    attach(model, token_logps if needs.head == "lm" else scores)
    task = _task(store, mix, result.layout, reference[0], answers, options)
    eval_task = None if evaluated is None else _task(evaluated, mix, result.layout, reference[1], answers, options)
    _check_start(model, task, mix, options)
    args = arguments(options, out, needs.learning_rate, evaluated=eval_task is not None, checkpointing=checkpointing)
    _run(model, task, eval_task, args, options, budget, progress, result)
    result.seconds = round(time.monotonic() - started, 3)
    if not rank():
        finish(result, paths, options, store)
    return result


class Prepared(NamedTuple):
    """What is tokenised of the records, the loss, and the token stores."""

    answers: str
    mix: Mix | None
    store: tuple[Store, Tokenised]
    held_out: Store | None


def _prepared(paths: list[str], method: Method, options: TrainOptions, out: str) -> Prepared:
    """All that can be wrong with options and records is found here."""
    needs = METHODS[method]
    check(options)
    answers = _answers(paths, method)
    check_options(method, options, answers)
    rows = "binary" if method == "kto" else "listwise" if answers == "listwise" else "pair"
    default = {"dpo-pl" if rows == "listwise" else needs.loss: 1.0}
    mix = mix_of(options.loss or default, options.loss_args, rows, options.seed) if needs.loss else None
    _same_training(out, method, options)
    store = _store(paths, answers, mix, options, out, limit=options.limit)
    measured = options.eval_data is not None and not options.dry_run
    held_out = _store([str(options.eval_data)], answers, mix, options, out, limit=None)[0] if measured else None
    return Prepared(answers, mix, store, held_out)


def _answers(paths: list[str], method: str) -> str:
    """What is tokenised of the records. Raises UsageError when the method cannot learn from them."""
    with opened(paths) as files:
        kinds = {own_file(f, None).kind for f in files}
    wanted = METHODS[method].records
    if len(kinds) > 1 or not kinds <= set(wanted):
        raise UsageError(
            f"train {method} takes {' or '.join(wanted)} records, these are {', '.join(sorted(kinds))} ('prefdata convert --to')"
        )
    kind = next(iter(kinds))
    return {"pair": "chosen", "binary": "desirable"}[kind] if method == "sft" else kind


def _same_training(out: str, method: str, options: TrainOptions) -> None:
    """Note what is trained in the folder. Raises UsageError when it holds another training."""
    path = os.path.join(out, "options.json")
    free = {"force", "dry_run", "epochs", "max_steps", "save_every", "eval_every", "keep", "log_every", "report_to", "micro_tokens"}
    said = {"method": method, **options.model_dump(mode="json", exclude=free)}
    if os.path.exists(path) and not options.force and last_checkpoint(out) is not None:
        with open(path, "rb") as f:
            before = orjson.loads(f.read())
        differ = sorted(k for k in said.keys() | before.keys() if said.get(k) != before.get(k))
        if differ:
            raise UsageError(
                f"{out} holds a training with other options ({', '.join(differ)}); name another folder, or --force to begin anew"
            )
    if not options.dry_run and not rank():
        os.makedirs(out, exist_ok=True)
        with replacing(path) as temporary, open(temporary, "wb") as f:
            f.write(orjson.dumps(said, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def _store(
    paths: list[str], answers: str, mix: Mix | None, options: TrainOptions, out: str, *, limit: int | None
) -> tuple[Store, Tokenised]:
    how = {"max_length": options.max_length, "truncate": options.truncate}
    records = {"chosen": "pair", "desirable": "binary"}.get(answers, answers)
    store, found = store_of(paths, records, tokenizer_of(options), os.path.join(out, "cache"), answers=answers, limit=limit, **how)
    found = usable(found, answers, margins=mix is not None and mix.margins, aspects=list(options.aspects))
    store = Store(found.table)
    if not store.size:
        why = "; ".join(f"{n:,} {code} ({REASONS.get(code, code)})" for code, n in found.dropped.items())
        raise UsageError(f"{', '.join(paths)}: nothing is left to train on: {why or 'no records'}")
    if mix is not None and mix.mismatched:
        store = Store(with_mismatched(found.table, options.seed))
    return store, found


def _tokens(model: Any, mix: Mix | None, options: TrainOptions, device: torch.device) -> int:
    """Tokens of one forward pass where the options say nothing; the fewest that any process can take."""
    trained, coupled = lora_numbers(model, options.lora) if options.lora else None, mix is not None and mix.coupled
    how: dict[str, Any] = {"coupled": coupled, "checkpointing": options.gradient_checkpointing, "trained": trained}
    return -int(largest(-tokens_at_a_time(model, device, bytes_per_number=compute_dtype(options).itemsize, **how)))


def _checkpointing(model: Any, options: TrainOptions, tokens: int, device: torch.device, store: Store, result: TrainResult) -> bool:
    """Whether activations are computed again in the backward pass; the plan of a dry run."""
    width = compute_dtype(options).itemsize
    trained = lora_numbers(model, options.lora) if options.lora else None
    needed = {c: estimate(model, tokens, bytes_per_number=width, checkpointing=c, trained=trained) for c in (False, True)}
    chosen = {"on": True, "off": False}.get(options.gradient_checkpointing, needed[False].total > 0.9 * available(device))
    chosen = bool(largest(chosen))
    if options.dry_run:
        steps = options.max_steps or ceil(store.size / options.batch * options.epochs)
        result.plan = [
            f"{steps:,} steps of {options.batch:,} records, {int(store.lengths.sum() * options.epochs):,} tokens",
            f"memory of one process, estimated: {needed[chosen].words()}; free: {available(device) / 2**30:.1f} GiB"
            + ("; with gradient checkpointing" if chosen else ""),
        ]
        if torch.cuda.device_count() > count():
            result.plan.append(
                f"{torch.cuda.device_count()} GPUs are visible, {count()} in use: 'accelerate launch' starts a process on each"
            )
    return chosen


def _references(
    model: Any, mix: Mix | None, stores: list[Store | None], options: TrainOptions, layout: str, out: str, budget: int
) -> list[Any]:
    if mix is None or not mix.reference:
        return [None for _ in stores]
    cache, dtype = os.path.join(out, "cache"), compute_dtype(options)
    with as_reference(model, options) as here:
        other = here
        if other is None:
            assert options.reference is not None
            other = load_model(options.reference, head="lm", dtype=torch.float32).to(model.device)
        return [None if s is None else reference_logps(s, other, cache, layout, budget=budget, dtype=dtype) for s in stores]


def _task(store: Store, mix: Mix | None, layout: str, reference: Any, answers: str, options: TrainOptions) -> Any:
    if mix is None:
        how: dict[str, Any] = {"soft": not options.hard_labels, "center": options.center, "aspects": options.aspects}
        return RewardTask(store, layout, kind=answers, **how)
    if answers == "listwise":
        return ListTask(store, mix, layout, reference)
    return PolicyTask(store, mix, layout, reference, soft=not options.hard_labels, ld_alpha=options.ld_alpha)


@torch.no_grad()
def _check_start(model: Any, task: Any, mix: Mix | None, options: TrainOptions) -> None:
    """Policy and reference say the same before the first step, and so the loss has its closed form."""
    if mix is None or options.reference is not None or not mix.reference:
        return
    model.train()
    device = next(model.parameters()).device
    part = task.part(list(range(min(4, task.store.size))), device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=compute_dtype(options) == torch.bfloat16):
        values = task.values(model, part)
    reference = torch.stack([part.columns[f"reference{k}"] for k in range(values.shape[1])], 1)
    gap = float(((values - reference).abs() / reference.abs().clamp(min=1)).max())
    if gap > (0.02 if compute_dtype(options) == torch.bfloat16 else 1e-4):
        raise PrefdataError(f"self-check: before the first step policy and reference differ by {100 * gap:.3g} % of a log-prob")
    ones = {**part.columns, "weight": torch.ones_like(part.columns["weight"])}
    found, wanted = float(task.losses(ones, reference).mean()), mix.at_start()
    if wanted is not None and abs(found - wanted) > 1e-3 * max(1.0, abs(wanted)):
        raise PrefdataError(f"self-check: the loss of equal policy and reference is {found:.6f} and should be {wanted:.6f}")


def _run(
    model: Any, task: Any, eval_task: Any, args: Any, options: TrainOptions, budget: int, progress: Progress | None, result: TrainResult
) -> None:
    from prefdata.train.trainer import PrefdataTrainer

    words = words_of(tokenizer_of(options))
    trainer = PrefdataTrainer(task, eval_task, batch=options.batch, micro_tokens=budget, model=model, args=args, processing_class=words)
    trainer.add_callback(Report(trainer, progress))
    last = None if options.force else last_checkpoint(result.out)
    if options.force and not rank():
        discard_checkpoints(result.out)
    result.resumed_at = trainer.go_on_from(last)
    trainer.train(resume_from_checkpoint=last)
    trainer.save_whole(result.out)
    if options.merge and not rank():
        write_merged(result.out, options, words, "score" if result.method == "rm" else "lm")
    step, result.eval = trainer.measured
    if eval_task is not None and (step != trainer.state.global_step or options.save_best):  # the best weights are those of another step
        result.eval = trainer.evaluate()
    result.steps, result.tokens = trainer.state.global_step, trainer.tokens_seen
    result.metrics, result.alarms = trainer.last_line, trainer.alarms
    result.worst = trainer.highest_losses()
