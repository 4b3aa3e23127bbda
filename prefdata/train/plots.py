"""How a training went, from its metrics.jsonl: charts in plots/, and the same lines as a table, metrics.csv."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import orjson
import polars as pl

from prefdata.io.write import replacing
from prefdata.report.svg import curve

CHARTS = (
    "loss",
    "perplexity",
    "rewards/margins",
    "rewards/accuracies",
    "rewards/chosen",
    "rewards/rejected",
    "margin",
    "accuracy",
    "grad_norm",
)
"""The metrics that are drawn where a training has them."""
HELD_OUT = "eval_"


def metrics(out: str) -> list[dict[str, float]]:
    """The lines of a training: one per logged step, one per measurement of held-out records; not the one that says how long it took."""
    with open(os.path.join(out, "metrics.jsonl"), "rb") as f:
        lines = [orjson.loads(line) for line in f]
    return [{k: np.nan if v is None else v for k, v in line.items()} for line in lines if "train_runtime" not in line]


def charts(lines: list[dict[str, float]]) -> dict[str, str]:
    """SVG by file name: each metric over the optimizer steps, of the records that are trained on and of those that are held out."""
    out = {}
    for metric in CHARTS:
        series: dict[str, tuple[Any, Any]] = {}
        for name, key in (("training", metric), ("held out", HELD_OUT + metric)):
            points = {line["step"]: line[key] for line in lines if key in line}
            if points:
                series[name] = list(points), list(points.values())
        if series:
            out[metric.replace("/", "-") + ".svg"] = curve(
                series, metric, "step", metric, dots=max(len(x) for x, _ in series.values()) < 30
            )
    return out


def write_course(out: str) -> list[str]:
    """Write charts and table into the folder of a training. Gives the charts' paths in it."""
    lines = metrics(out)
    os.makedirs(os.path.join(out, "plots"), exist_ok=True)
    drawn = charts(lines)
    for name, svg in drawn.items():
        with replacing(os.path.join(out, "plots", name)) as temporary, open(temporary, "w", encoding="utf-8") as f:
            f.write(svg)
    names = list(dict.fromkeys(["step", "epoch", *(k for line in lines for k in line)]))
    table = pl.DataFrame({n: [line.get(n) for line in lines] for n in names}, strict=False)
    with replacing(os.path.join(out, "metrics.csv")) as temporary:
        table.write_csv(temporary)
    return [f"plots/{name}" for name in drawn]
