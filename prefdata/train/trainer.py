"""The trainer: transformers' Trainer with our steps. Checkpoints, resuming, schedules, distributed wrappers and logging are its own.

One step takes `batch` records over all ranks. A rank runs its part in micro-batches of a token budget; the loss is the mean over the
records of all ranks, whatever the micro-batches are. Losses that couple records see the whole step: its log-probs are computed first
without gradients, the loss is differentiated by them, and a second pass carries these gradients into the weights.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any

import orjson
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import Trainer

from prefdata.io.write import replacing
from prefdata.train.metrics import Tally, Worst, alarms
from prefdata.train.reference import by_length
from prefdata.train.sampler import StepSampler, micro_batches
from prefdata.train.task import Part, PolicyTask, gathered


class PrefdataTrainer(Trainer):  # type: ignore[misc]
    """`task` says what a row costs (a loss of log-probs, or of scores); everything else is about how steps run."""

    def __init__(
        self, task: PolicyTask, eval_task: PolicyTask | None, *, batch: int, micro_tokens: int, progress: Any = None, **kwargs: Any
    ) -> None:
        held_out = None if eval_task is None else range(eval_task.store.size)
        super().__init__(train_dataset=range(task.store.size), eval_dataset=held_out, **kwargs)
        self.task, self.eval_task = task, eval_task
        self.batch, self.micro_tokens, self.progress = batch, micro_tokens, progress
        self.tally, self.worst = Tally(), Worst()
        self.tokens_seen = 0
        self.first_line: dict[str, float] = {}
        self.last_line: dict[str, float] = {}
        self.alarms: list[str] = []

    def get_train_dataloader(self) -> DataLoader[Any]:
        self.sampler = StepSampler(self.task.store.lengths, self.batch, self.args.seed, self.args.process_index, self.args.world_size)
        return DataLoader(range(self.task.store.size), batch_sampler=self.sampler, collate_fn=list)  # type: ignore[arg-type]

    def training_step(self, model: Any, inputs: list[int], num_items_in_batch: Any = None) -> Tensor:
        model.train()
        device, ranks = self.args.device, self.args.world_size
        micro = micro_batches(inputs, self.task.store.lengths, self.micro_tokens)
        total = self._everywhere(len(inputs))
        parts = [self.task.part(rows, device) for rows in micro]
        self.tokens_seen += int(self.task.store.lengths[inputs].sum())
        given = self._gradients(model, parts, total) if self.task.coupled and (len(parts) > 1 or ranks > 1) else None
        loss = torch.zeros((), dtype=torch.float64, device=device)
        for i, part in enumerate(parts):
            with ExitStack() as stack:
                if i + 1 < len(parts):
                    stack.enter_context(self.accelerator.no_sync(model))
                with self.compute_loss_context_manager():
                    values = self.task.values(model, part)
                if given is None:
                    losses = self.task.losses(part.columns, values, self.tally)
                    self.worst.add(part.columns["row"], losses)
                    share = losses.sum() / total
                    loss += share.detach()
                else:
                    share = (values * given[i]).sum()
                self.accelerator.backward(share * ranks)  # the wrappers average over ranks
        self.task.after_step()
        return loss.float() if given is None else self.coupled_loss

    @torch.no_grad()
    def _gradients(self, model: Any, parts: list[Part], total: int) -> list[Tensor]:
        """What the loss of the whole step, over all ranks, changes by with each of this rank's values."""
        with self.compute_loss_context_manager():
            own = torch.cat([self.task.values(model, p) for p in parts])
        columns = {name: torch.cat([p.columns[name] for p in parts]) for name in parts[0].columns}
        values, columns, mine = gathered(own, columns, self.accelerator)
        with torch.enable_grad():
            values.requires_grad_()
            losses = self.task.losses(columns, values, self.tally if self.args.process_index == 0 else Tally())
            self.worst.add(columns["row"], losses)
            loss = losses.sum() / total
            (gradient,) = torch.autograd.grad(loss, values)
        self.coupled_loss = loss.detach().float() / self.args.world_size
        return list(torch.split(gradient[mine], [len(p.columns["weight"]) for p in parts]))

    def _everywhere(self, here: int) -> int:
        """The rows of this step over all ranks."""
        if self.args.world_size == 1:
            return here
        return int(self.accelerator.reduce(torch.tensor(here, device=self.args.device)).item())

    @torch.no_grad()
    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval") -> dict[str, float]:
        """Metrics of the held-out records, with the prefix `eval_`: means over all of them, as in training."""
        if self.eval_task is None:
            return {}
        task, tally, model = self.eval_task, Tally(), self.model
        model.eval()
        for rows in by_length(task.store.lengths, self.micro_tokens)[self.args.process_index :: self.args.world_size]:
            with self.compute_loss_context_manager():
                part = task.part(rows, self.args.device)
                task.losses(part.columns, task.values(model, part), tally)
        found = {f"{metric_key_prefix}_{k}": v for k, v in tally.take(self._reduce).items()}
        self.log(found)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        return found

    def _reduce(self, numbers: Tensor) -> Tensor:
        found: Tensor = numbers if self.args.world_size == 1 else self.accelerator.reduce(numbers)
        return found

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Our means since the last line go with transformers' own; every line is also one of metrics.jsonl."""
        if "loss" in logs:
            logs = {**logs, **self.tally.take(self._reduce)}
            self.last_line = {k: v for k, v in logs.items() if isinstance(v, float)}
            self.first_line = self.first_line or self.last_line
            self.alarms += [a for a in alarms(self.first_line, self.last_line, self.state.global_step) if a not in self.alarms]
        super().log(logs, start_time)
        if self.is_world_process_zero():
            with open(os.path.join(self.args.output_dir, "metrics.jsonl"), "ab") as f:
                f.write(orjson.dumps({"step": self.state.global_step, **logs}, option=orjson.OPT_APPEND_NEWLINE))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """The state of the losses goes with a checkpoint; a mark that is written last tells a whole one from a torn one."""
        super()._save_checkpoint(model, trial)
        if self.is_world_process_zero():
            folder = os.path.join(self.args.output_dir, f"checkpoint-{self.state.global_step}")
            if not os.path.isdir(folder):  # rotated away at once
                return
            with open(os.path.join(folder, "complete"), "wb") as f:
                f.write(orjson.dumps({"loss_state": self.task.state(), "tokens_seen": self.tokens_seen}))
                f.flush()
                os.fsync(f.fileno())

    def go_on_from(self, checkpoint: str | None) -> int:
        """Take up what a checkpoint remembers beside weights and optimizer, and cut lines of later steps from metrics.jsonl. Gives its
        step, 0 without one."""
        step = 0
        if checkpoint is not None:
            with open(os.path.join(checkpoint, "complete"), "rb") as f:
                said = orjson.loads(f.read())
            self.task.take_up(said["loss_state"])
            self.tokens_seen = said["tokens_seen"]
            step = int(checkpoint.rpartition("-")[2])
        path = os.path.join(self.args.output_dir, "metrics.jsonl")
        if os.path.exists(path) and self.is_world_process_zero():
            with open(path, "rb") as f:
                lines = [line for line in f if line.endswith(b"\n")]
            with replacing(path) as temporary, open(temporary, "wb") as g:
                g.writelines(line for line in lines if orjson.loads(line)["step"] <= step and checkpoint is not None)
        return step

    def floating_point_ops(self, inputs: Any) -> int:
        return 0
