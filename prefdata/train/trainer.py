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

from prefdata.train.metrics import Tally
from prefdata.train.sampler import StepSampler, micro_batches
from prefdata.train.task import Part, PolicyTask


class PrefdataTrainer(Trainer):  # type: ignore[misc]
    """`task` says what a row costs (a loss of log-probs, or of scores); everything else is about how steps run."""

    def __init__(self, task: PolicyTask, eval_task: PolicyTask | None, *, batch: int, micro_tokens: int, **kwargs: Any) -> None:
        super().__init__(train_dataset=range(task.store.size), **kwargs)
        self.task, self.eval_task = task, eval_task
        self.batch, self.micro_tokens = batch, micro_tokens
        self.tally = Tally()
        self.tokens_seen = 0
        self.last_metrics: dict[str, float] = {}

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Our means since the last line go with transformers' own; every line is also one of metrics.jsonl."""
        if "loss" in logs:
            reduce = None if self.args.world_size == 1 else self.accelerator.reduce
            logs = {**logs, **self.tally.take(reduce)}
            self.last_metrics = {k: v for k, v in logs.items() if isinstance(v, float)}
        super().log(logs, start_time)
        if self.is_world_process_zero():
            with open(os.path.join(self.args.output_dir, "metrics.jsonl"), "ab") as f:
                f.write(orjson.dumps({"step": self.state.global_step, **logs}, option=orjson.OPT_APPEND_NEWLINE))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """A mark that is written last tells a whole checkpoint from a torn one."""
        super()._save_checkpoint(model, trial)
        if self.is_world_process_zero():
            with open(os.path.join(self.args.output_dir, f"checkpoint-{self.state.global_step}", "complete"), "wb"):
                pass

    def floating_point_ops(self, inputs: Any) -> int:
        return 0

    def get_train_dataloader(self) -> DataLoader[Any]:
        ranks, rank = self.args.world_size, self.args.process_index
        self.sampler = StepSampler(self.task.store.lengths, self.batch, self.args.seed, rank, ranks)
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
                    share = self.task.losses(part.columns, values, self.tally).sum() / total
                    loss += share.detach()
                else:
                    share = (values * given[i]).sum()
                self.accelerator.backward(share * ranks)  # the wrappers average over ranks
        self.task.after_step()
        return loss.float() if given is None else self.coupled_loss

    @torch.no_grad()
    def _gradients(self, model: Any, parts: list[Part], total: int) -> list[Tensor]:
        """What the loss of the whole step, over all ranks, changes by with each of this rank's values."""
        own = torch.cat([self.task.values(model, p) for p in parts])
        columns = {name: torch.cat([p.columns[name] for p in parts]) for name in parts[0].columns}
        values, columns, mine = gathered(own, columns, self.accelerator)
        with torch.enable_grad():
            values.requires_grad_()
            loss = self.task.losses(columns, values, self.tally if self.args.process_index == 0 else None).sum() / total
            (gradient,) = torch.autograd.grad(loss, values)
        self.coupled_loss = loss.detach().float() / self.args.world_size
        return list(torch.split(gradient[mine], [len(p.columns["weight"]) for p in parts]))

    def _everywhere(self, here: int) -> int:
        """The rows of this step over all ranks."""
        if self.args.world_size == 1:
            return here
        return int(self.accelerator.reduce(torch.tensor(here, device=self.args.device)).item())


def gathered(values: Tensor, columns: dict[str, Tensor], accelerator: Any) -> tuple[Tensor, dict[str, Tensor], slice]:
    """Values and columns of all ranks, in order of ranks, and where this rank's are."""
    if accelerator.num_processes == 1:
        return values, columns, slice(0, len(values))
    counts = accelerator.gather(torch.tensor([len(values)], device=values.device)).tolist()
    names = sorted(columns)
    table = torch.cat([values, torch.stack([columns[n] for n in names], 1)], 1)
    table = accelerator.gather(torch.nn.functional.pad(table, (0, 0, 0, max(counts) - len(table))))
    table = torch.cat([rows[:n] for rows, n in zip(table.split(max(counts)), counts, strict=True)])
    before = sum(counts[: accelerator.process_index])
    k = values.shape[1]
    return table[:, :k], {n: table[:, k + i] for i, n in enumerate(names)}, slice(before, before + len(values))
