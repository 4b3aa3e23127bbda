"""Two processes (gloo, on CPUs) train what one process trains: the same curve and the same weights, whole models (DDP) and sharded ones
(FSDP2)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from prefdata.train.options import TrainOptions
from prefdata.train.run import train
from tests.checks.build import binary, write
from tests.train import tiny
from tests.train.test_train import WORDS, rows

torch.set_num_threads(1)
ROOT = Path(__file__).parents[2]
COMMON = {"learning_rate": 3e-3, "log_every": 1, "schedule": "constant", "micro_tokens": 60}
TIMES = ("train_runtime", "train_samples_per_second", "train_steps_per_second")


class Trained(NamedTuple):
    """Folders of trainings by name, by one process and by two, what was said, and how the jobs ended in each of the two."""

    one: Path
    two: Path
    said: str
    ends: list[list[str]]


JOBS: dict[str, tuple[str, dict[str, Any]]] = {
    # name: method, options. 21 and 7 records: the last step has fewer, down to one, which only one of the processes gets
    "dpo": ("dpo", {"batch": 8, "loss": "dpo:1,sft:0.1"}),
    "coupled": ("dpo", {"batch": 3, "limit": 7, "loss": "bco:1,beta-dpo:1", "save_every": 2}),
    "kto": ("kto", {"batch": 4, "limit": 9}),
    "rm": ("rm", {"batch": 8, "center": 0.01, "epochs": 2}),  # the second of which gives many records to the other process
    "sharded-dpo": ("dpo", {"batch": 3, "limit": 7, "save_every": 2}),
    "sharded-rm": ("rm", {"batch": 8}),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("two")
    model = tiny.saved(folder / "model", WORDS, hidden=32)
    data, held = write(folder / "in.jsonl", rows(21)), write(folder / "held.jsonl", rows(30)[21:])
    labelled = write(folder / "labelled.jsonl", [binary(f"yes {i}", prompt=f"Q{i}", label=i % 3 > 0) for i in range(12)])
    jobs = []
    for name, (method, more) in JOBS.items():
        options = {**COMMON, "model": model, **more} | ({} if method == "kto" else {"eval_data": held, "eval_every": 2})
        job = {"method": method, "data": labelled if method == "kto" else data, "fsdp": name.startswith("sharded"), "options": options}
        train(method, job["data"], str(folder / "one" / name), TrainOptions(**options))  # type: ignore[arg-type]
        job["out"] = str(folder / "two" / name)
        if name in ("coupled", "sharded-dpo"):  # which stops after two steps and goes on
            jobs.append({**job, "options": {**options, "max_steps": 2}})
        jobs.append(job)
    jobs.append({**jobs[-1], "out": str(folder / "two" / "wrong"), "options": {"model": model, "loss": "dpopp"}, "method": "dpo"})
    (folder / "jobs.json").write_text(json.dumps(jobs))
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0"]
    more = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command = [*launch, *more, "-m", "tests.train.two_processes", str(folder / "jobs.json"), str(folder / "ends")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return Trained(folder / "one", folder / "two", done.stderr, [json.loads((folder / f"ends-{i}.json").read_text()) for i in range(2)])


def lines(folder: Path) -> list[dict[str, float]]:
    """Of steps and of measurements."""
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in found if line.keys() & {"loss", "eval_loss"}]


@pytest.mark.parametrize("name", JOBS)
def test_two_processes_train_what_one_does(trained: Trained, name: str) -> None:
    """Every line of the log (each of them once), the weights, and the records with the highest losses."""
    one, two = trained.one / name, trained.two / name
    curves = lines(one), lines(two)
    assert len(curves[0]) == len(curves[1]) > 2
    for a, b in zip(*curves, strict=True):
        assert a.keys() == b.keys() and b == pytest.approx(a, rel=1e-5, abs=1e-5)
    weights = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    assert weights[0].keys() == weights[1].keys()
    for key, tensor in weights[0].items():
        assert tensor.dtype == weights[1][key].dtype and float((tensor - weights[1][key]).abs().max()) < 1e-4, key
    worst = [[json.loads(line) for line in (p / "worst.jsonl").read_text().splitlines()] for p in (one, two)]
    assert {w["id"]: w["loss"] for w in worst[1]} == pytest.approx({w["id"]: w["loss"] for w in worst[0]}, rel=1e-5)


def test_one_process_writes_and_speaks(trained: Trained) -> None:
    for name in JOBS:
        folder = trained.two / name
        assert {"README.md", "tokenizer.json", "metrics.csv", "model.manifest.json", "plots"} <= {p.name for p in folder.iterdir()}
        stopped = name in ("coupled", "sharded-dpo")
        assert trained.said.count(f"{folder}: {JOBS[name][0]}, ") == 1 + stopped
        assert trained.said.count("went on from step 2") == 2
        cache = [p.name for p in (folder / "cache").iterdir()]
        assert len(cache) == len(set(cache)) and not [n for n in cache if n.endswith(".tmp")]


def test_a_wrong_option_is_said_once(trained: Trained) -> None:
    """By the first process; the other ends with its exit code. Both were able to go on."""
    done = ["done"] * (len(JOBS) + 2)
    assert trained.ends[1] == [*done, "SystemExit: 2"]
    assert trained.ends[0][:-1] == done and "did you mean dpop" in trained.ends[0][-1]
