"""The callback of the training loop: the epoch of our sampler, and how far the training is."""

from __future__ import annotations

import time
from typing import Any

from transformers import TrainerCallback


class Report(TrainerCallback):  # type: ignore[misc]
    """Tells the sampler its epoch, and whoever watches how far it is."""

    def __init__(self, trainer: Any, progress: Any) -> None:
        self.trainer, self.progress = trainer, progress
        self.started, self.before = time.monotonic(), 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.started, self.before = time.monotonic(), self.trainer.tokens_seen

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.trainer.sampler.set_epoch(int(state.epoch or 0))
        self.trainer.worst.begin(int(state.epoch or 0))

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == state.max_steps:
            control.should_log = True  # the last steps, too, stand in the log, and the account is theirs
        if self.progress:
            rate = (self.trainer.tokens_seen - self.before) / (time.monotonic() - self.started)
            loss = self.trainer.last_line.get("loss")
            words = [f"{rate:,.0f} tokens/s"] + ([] if loss is None else [f"loss {loss:.4f}"])
            self.progress(state.global_step, state.max_steps, ", ".join(words))
