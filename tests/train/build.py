"""Trainings for tests: pairs that are learnt in a few steps, and options of small ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from prefdata.train.options import TrainOptions
from tests.checks.build import pair

WORDS = ["yes", "no", "dog", "cat", "it is", "why", "because of the", "fox"]


def pairs(n: int, **more: Any) -> list[dict[str, Any]]:
    """Pairs whose chosen answer says yes."""
    return [
        pair(f"yes {WORDS[i % 8]} {i}", f"no {WORDS[i * 5 % 8]}", prompt=f"Q {WORDS[i * 3 % 8]} {i}", source=f"s{i % 2}", **more)
        for i in range(n)
    ]


def options(model: str, **more: Any) -> TrainOptions:
    return TrainOptions(model=model, **{"batch": 8, "learning_rate": 3e-3, "log_every": 1, "schedule": "constant", **more})


def lines(out: Path | str) -> list[dict[str, Any]]:
    """The training lines of metrics.jsonl."""
    found = (Path(out) / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, found) if "loss" in line]


def answer_logps(model: Any, store: Any) -> torch.Tensor:
    """Summed log-probs [rows, K] by the model's own forward, one unpadded text at a time: none of our layouts, heads or caches."""
    out = []
    with torch.no_grad():
        for group in (store.group(i) for i in range(store.size)):
            row = []
            for completion in group.completions:
                ids = torch.tensor([[*group.prompt.tolist(), *completion.tolist()]])
                logps = torch.log_softmax(model(input_ids=ids).logits[0].double(), -1)
                n = len(group.prompt)
                row.append(sum(float(logps[t - 1, ids[0, t]]) for t in range(n, ids.shape[1])))
            out.append(row)
    return torch.tensor(out, dtype=torch.float64)
