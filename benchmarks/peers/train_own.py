"""prefdata train, whole, with its default settings; only batch, steps and the type of numbers are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import child
import transformers.models.qwen2.modeling_qwen2  # noqa: F401 - so that imports are done when the clock is made
from train_clock import Clock

import prefdata.train.trainer  # noqa: F401
from prefdata.train import run
from prefdata.train.options import TrainOptions


def job(work: child.Work) -> dict[str, Any]:
    s, clock = work.settings, Clock(work.settings)
    run.reference_logps = clock.reference(run.reference_logps)
    options = TrainOptions(model=s["model"], batch=int(s["batch"]), max_steps=int(s["steps"]), **json.loads(s.get("options", "{}")))
    run.train(work.task, work.data, work.out, options, lambda step, *_: clock.ended(step))  # type: ignore[arg-type]
    first = json.loads((Path(work.out) / "metrics.jsonl").read_text().splitlines()[0])
    return clock.report(first)


if __name__ == "__main__":
    child.run(job, "prefdata", "torch", "transformers")
