"""The trainer: transformers' Trainer with our steps. Checkpoints, resuming, schedules, distributed wrappers and logging are its own.

One step takes `batch` records over all ranks. A rank runs its part in micro-batches of a token budget; the loss is the mean over the
records of all ranks, whatever the micro-batches are. Losses that couple records see the whole step: its log-probs are computed first
without gradients, the loss is differentiated by them, and a second pass carries these gradients into the weights.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import orjson
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer

from prefdata.io.write import replacing
from prefdata.train.attention import packed_attention
from prefdata.train.metrics import Tally, Worst, alarms
from prefdata.train.reference import by_length
from prefdata.train.sampler import StepSampler, micro_batches, steps
from prefdata.train.task import Columns, Part, PolicyTask, gathered


class PrefdataTrainer(Trainer):  # type: ignore[misc]
    """`task` says what a row costs (a loss of log-probs, or of scores); everything else is about how steps run."""

    def __init__(self, task: PolicyTask, eval_task: PolicyTask | None, *, batch: int, micro_tokens: int, **kwargs: Any) -> None:
        held_out = None if eval_task is None else range(eval_task.store.size)
        super().__init__(train_dataset=range(task.store.size), eval_dataset=held_out, **kwargs)
        self.task, self.eval_task = task, eval_task
        self.remove_callback(PrinterCallback)  # the lines are those of metrics.jsonl
        self.batch, self.micro_tokens = batch, micro_tokens
        self.tally, self.worst = Tally(), Worst()
        self.tokens_seen = 0
        self.first_line: dict[str, float] = {}
        self.last_line: dict[str, float] = {}
        self.alarms: list[str] = []
        self.measured: tuple[int, dict[str, float]] = (-1, {})
        """The step of the last measurement of held-out records, and what it found."""

    def get_train_dataloader(self) -> DataLoader[Any]:
        self.sampler = StepSampler(self.task.store.lengths, self.batch, self.args.seed, self.args.process_index, self.args.world_size)
        return DataLoader(range(self.task.store.size), batch_sampler=self.sampler, collate_fn=list)  # type: ignore[arg-type]

    def training_step(self, model: Any, inputs: list[int], num_items_in_batch: Any = None) -> Tensor:
        model.train()
        lengths, ranks = self.task.store.lengths, self.args.world_size
        micro = micro_batches(inputs, lengths, self.micro_tokens)
        total, passes, tokens = self._everywhere(len(inputs), len(micro), int(lengths[inputs].sum()))
        self.tokens_seen += tokens
        micro += [[]] * (passes - len(micro))
        parts = [self._part(self.task, rows) for rows in micro]
        given = self._gradients(model, parts, micro, total) if self.task.coupled and (len(parts) > 1 or ranks > 1) else None
        loss = torch.zeros((), dtype=torch.float64, device=self.args.device)
        for i, (part, rows) in enumerate(zip(parts, micro, strict=True)):
            last = i + 1 == len(parts)
            with ExitStack() as stack:
                if not last and not self.is_fsdp_enabled:  # FSDP would hold whole gradients between the passes
                    stack.enter_context(self.accelerator.no_sync(model))
                columns, values = self._values(model, self.task, part, len(rows))
                if given is None:
                    order = torch.argsort(columns["row"])  # draws and sorts of a step go by its records, whatever the micro-batches are
                    losses = self.task.losses({n: c[order] for n, c in columns.items()}, values[order], self.tally)
                    self.worst.add(columns["row"][order], losses)
                    share = losses.sum() / total
                    loss += share.detach()
                else:
                    share = (values * given[i]).sum()
                self.accelerator.gradient_state._set_sync_gradients(last)  # DeepSpeed steps in the backward pass
                with self._recomputing():
                    self.accelerator.backward(share * ranks)  # the wrappers average over ranks
        self.task.after_step()
        return (loss * ranks).float() if given is None else self.coupled_loss  # transformers logs the mean over ranks

    def _part(self, task: PolicyTask, rows: list[int]) -> Part:
        """The rows as a batch. A rank that has none left runs the shortest record: under FSDP all ranks make as many passes."""
        return task.part(rows or [int(task.store.lengths.argmin())], self.args.device)

    def _values(self, model: Any, task: PolicyTask, part: Part, rows: int) -> tuple[Columns, Tensor]:
        """Columns and values of the part's first `rows` rows, which may be none: then gradients are zeros."""
        with self.compute_loss_context_manager():
            values = task.values(model, part)
        return {name: c[:rows] for name, c in part.columns.items()}, values[:rows]

    def _recomputing(self) -> AbstractContextManager[None]:
        """Checkpointed layers run once more in the backward pass, and attend as they did in the forward one."""
        if not self.args.activation_checkpointing or self.task.layout == "padded":
            return nullcontext()
        model = self.accelerator.unwrap_model(self.model)
        return packed_attention((model.get_decoder() if hasattr(model, "get_decoder") else model.base_model).config)

    @torch.no_grad()
    def _gradients(self, model: Any, parts: list[Part], micro: list[list[int]], total: int) -> list[Tensor]:
        """What the loss of the whole step, over all ranks, changes by with each of this rank's values."""
        found = [self._values(model, self.task, part, len(rows)) for part, rows in zip(parts, micro, strict=True)]
        own = torch.cat([values for _, values in found])
        columns = {name: torch.cat([c[name] for c, _ in found]) for name in found[0][0]}
        values, columns, mine = gathered(own, columns, self.accelerator)
        with torch.enable_grad():
            values.requires_grad_()
            order = torch.argsort(columns["row"])
            losses = self.task.losses({n: c[order] for n, c in columns.items()}, values[order], self.tally)
            self.worst.add(columns["row"][order], losses)
            loss = losses.sum() / total
            (gradient,) = torch.autograd.grad(loss, values)
        self.coupled_loss = loss.detach().float()
        return list(torch.split(gradient[mine], [len(rows) for rows in micro]))

    def _everywhere(self, rows: int, passes: int, tokens: int) -> tuple[int, int, int]:
        """Of this step over all ranks: the rows, the passes of the rank with the most, the tokens."""
        if self.args.world_size == 1:
            return rows, passes, tokens
        found = self.accelerator.gather(torch.tensor([[rows, passes, tokens]], device=self.args.device)).cpu()
        return int(found[:, 0].sum()), int(found[:, 1].max()), int(found[:, 2].sum())

    @torch.no_grad()
    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval") -> dict[str, float]:
        """Metrics of the held-out records, with the prefix `eval_`: means over all of them, as in training."""
        if self.eval_task is None:
            return {}
        task, tally, model = self.eval_task, Tally(), self.model
        model.eval()
        lengths, budget, ranks = task.store.lengths, self.micro_tokens, self.args.world_size
        batches = [[rows] for rows in by_length(lengths, budget)]
        if task.coupled:  # seen whole, as a step is: else what is measured would depend on the micro-batches
            batches = [micro_batches(rows, lengths, budget) for rows in steps(lengths, self.batch, self.args.seed, 0)]
        for i in range(0, len(batches), ranks):
            here = [*batches[i : i + ranks], *[[]] * ranks][self.args.process_index]
            here = here + [[]] * (max(map(len, batches[i : i + ranks])) - len(here))
            found = [self._values(model, task, self._part(task, rows), len(rows)) for rows in here]
            order = torch.argsort(torch.cat([c["row"] for c, _ in found]))
            columns = {name: torch.cat([c[name] for c, _ in found])[order] for name in found[0][0]}
            task.losses(columns, torch.cat([values for _, values in found])[order], tally)
        means = {f"{metric_key_prefix}_{k}": v for k, v in tally.take(self._reduce).items()}
        self.measured = self.state.global_step, means
        self.log(dict(means))
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, means)
        return means

    def highest_losses(self) -> list[tuple[int, float]]:
        """Rows with the highest losses of this epoch over all ranks."""
        if self.args.world_size > 1:
            own = torch.full((self.worst.keep, 2), -1.0, dtype=torch.float64)
            top = torch.tensor(self.worst.top(), dtype=torch.float64).view(-1, 2)
            own[: len(top)] = top
            rows, losses = self.accelerator.gather(own.to(self.args.device)).cpu().unbind(1)
            self.worst.add(rows[rows >= 0], losses[rows >= 0])
        return self.worst.top()

    def save_whole(self, folder: str) -> None:
        """The model in one piece, also where each rank holds a part of it."""
        if self.is_fsdp_enabled:
            self.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
        self.save_model(folder)
        if self.is_world_process_zero():
            os.unlink(os.path.join(folder, "training_args.bin"))  # a pickle, which nobody needs
        self.accelerator.wait_for_everyone()

    def _reduce(self, numbers: Tensor) -> Tensor:
        found: Tensor = numbers if self.args.world_size == 1 else self.accelerator.reduce(numbers)
        return found

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Our means since the last line go with transformers' own; every line is also one of metrics.jsonl."""
        if "loss" in logs:
            logs = {**logs, **self.tally.take(self._reduce)}
            self.last_line = {k: v for k, v in logs.items() if isinstance(v, float)}
            self.first_line = self.first_line or self.last_line
            found = alarms(self.first_line, self.last_line, self.state.global_step, reference=self.task.referenced)
            self.alarms += [a for a in found if a not in self.alarms]
        super().log(logs, start_time)
        if self.is_world_process_zero():
            with open(os.path.join(self.args.output_dir, "metrics.jsonl"), "ab") as f:
                f.write(orjson.dumps({"step": self.state.global_step, **logs}, option=orjson.OPT_APPEND_NEWLINE))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """The state of the losses goes with a checkpoint; a mark that is written last tells a whole one from a torn one."""
        super()._save_checkpoint(model, trial)
        more = {"worst": self.highest_losses(), "epoch": self.worst.epoch, "tally": self.tally.state(self._reduce)}
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            folder = os.path.join(self.args.output_dir, f"checkpoint-{self.state.global_step}")
            if not os.path.isdir(folder):  # rotated away at once
                return
            with open(os.path.join(folder, "complete"), "wb") as f:
                f.write(orjson.dumps({"loss_state": self.task.state(), "tokens_seen": self.tokens_seen, **more}))
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
            self.worst.epoch, self.worst.losses = said["epoch"], dict(said["worst"])
            self.tally.take_up(said["tally"], float(self.is_world_process_zero()), self.args.device)
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
