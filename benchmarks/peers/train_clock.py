"""Time and memory of training steps: the clock starts at the end of the first steps, so that no start-up is in it."""

from __future__ import annotations

import os
import time
from typing import Any

import torch


class Clock:
    """Told of the end of each step; made when all is imported. `stages` is what a run reports."""

    def __init__(self, settings: dict[str, str]) -> None:
        torch.set_num_threads(int(settings["threads"]))
        self.warm, self.last = int(settings["warm"]), int(settings["steps"])
        self.began = (0.0, 0.0, 0.0)
        self.stages = {"reference": 0.0, "reference_cpu": 0.0, "imports_mb": peak()}

    def ended(self, step: int) -> None:
        if step == self.warm:
            self.stages["peak_before_mb"] = peak()
            _restart_peak()
            self.began = now()
        if step == self.last:
            each = [(b - a) / (self.last - self.warm) for a, b in zip(self.began, now(), strict=True)]
            self.stages |= dict(zip(("step", "step_cpu", "step_system"), each, strict=True)) | {"peak_steps_mb": peak()}
            self.stages["peak_mb"] = max(self.stages["peak_before_mb"], self.stages["peak_steps_mb"])

    def reference(self, function: Any) -> Any:
        """The function, and its time is that of the reference stage."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            before = now()
            found = function(*args, **kwargs)
            wall, cpu, _ = (b - a for a, b in zip(before, now(), strict=True))
            self.stages["reference"] += wall
            self.stages["reference_cpu"] += cpu
            return found

        return timed

    def report(self, first: dict[str, float]) -> dict[str, Any]:
        said = {"first_loss": first["loss"], "first_grad_norm": first["grad_norm"]}
        return {"rows": self.last, "seconds": self.stages["step"], "stages": self.stages | said}


def now() -> tuple[float, float, float]:
    """Wall time, CPU time of all threads, and the part of it that the kernel takes (giving out memory, mostly)."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time(), os.times().system


def peak() -> float:
    """Most memory since the start or the last restart, in MB: of the GPU if there is one, else resident of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:")) * 1024 / 1e6


def _restart_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif os.access("/proc/self/clear_refs", os.W_OK):
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")
