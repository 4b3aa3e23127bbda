"""Ensembles of reward models: the same data, other seeds, so that head and order of the records differ. Their scores' mean is steadier
than one model's, and where they differ nobody should trust them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from prefdata.io.write import replacing
from prefdata.train.options import TrainOptions
from prefdata.train.processes import rank
from prefdata.train.result import TrainResult

FILE = "ensemble.json"


def train_ensemble(
    train: Callable[..., TrainResult], data: list[str], out: str, options: TrainOptions, progress: Any = None
) -> TrainResult:
    """Members with the seeds `seed`, `seed + 1`, … in OUT/0, OUT/1, …; `ensemble.json`, which names them, comes last (`rewards/folder.py`
    reads it). Metrics are means over the members."""
    assert options.ensemble is not None
    seeds = [(options.seed + i) % 2**32 for i in range(options.ensemble)]
    found = []
    for i, seed in enumerate(seeds):
        own = options.model_copy(update={"ensemble": None, "seed": seed})
        found.append(train("rm", data, os.path.join(out, str(i)), own, progress))
    if not options.dry_run and not rank():
        said = {"version": 1, "members": [str(i) for i in range(len(seeds))], "seeds": seeds, "score": "mean", "differ": ["head", "order"]}
        with replacing(os.path.join(out, FILE)) as temporary, open(temporary, "wb") as f:
            f.write(orjson.dumps(said, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return replace(
        found[0],
        out=out,
        steps=sum(r.steps for r in found),
        resumed_at=min(r.resumed_at for r in found),
        tokens=sum(r.tokens for r in found),
        metrics=_means([r.metrics for r in found]),
        eval=_means([r.eval for r in found]),
        alarms=list(dict.fromkeys(a for r in found for a in r.alarms)),
        plan=[f"{len(seeds)} models, each:", *found[0].plan] if found[0].plan else [],
        seconds=sum(r.seconds for r in found),
    )


def _means(found: list[dict[str, float]]) -> dict[str, float]:
    return {k: sum(f[k] for f in found) / len(found) for k in found[0] if all(k in f for f in found)}
