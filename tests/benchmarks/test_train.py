"""The benchmark of training runs at a tiny size: both contenders compute the same step, and the figures follow from the clocks."""

from __future__ import annotations

import json
import math
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_it_runs(tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    size = ["--shape", "tiny", "--batch", "2", "--steps", "2", "--prompts", "8-16", "--answers", "4-8", "--repeat", "1"]
    which = ["--only", "dpo", "--only", "prefdata", "--only", "trl-best"]
    command = [sys.executable, str(BENCHMARKS / "train.py"), *size, *which, "--work", str(tmp_path), "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    own, trl = found["results"]
    assert own["first_loss"] == pytest.approx(math.log(2), abs=1e-6) and trl["first_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert own["first_grad_norm"] == pytest.approx(trl["first_grad_norm"], rel=1e-4) and own["first_grad_norm"] > 0
    assert own["reference"] > 0 and trl["reference"] > 0
    assert own["step_cpu_with_reference"] == pytest.approx(own["step_cpu"] + own["reference_cpu"] / 3)
    assert own["peak_mb"] > own["imports_mb"] > 0
    assert f"{trl['step_cpu'] / own['step_cpu']:.2f}" in done.stdout and "trl 1." in done.stdout


def test_useful_work() -> None:
    """One layer of 4 numbers, 2 heads of which 1 for keys, inner 8, vocabulary 10; a prompt of 3 and answers of 1 and 2 tokens."""
    job = runpy.run_path(str(BENCHMARKS / "peers" / "train_job.py"))
    shape, sizes = job["Shape"](10, 1, 4, 8, 2, 1, False), np.array([[3, 1, 2]])
    weights = 4 * 4 * 2 + 4 * 2 * 2 + 3 * 4 * 8
    pairs = 3 * 3 / 2 + (1 * 3 + 1 / 2) + (2 * 3 + 2)
    assert job["work"](shape, sizes, head=False) == 6 * weights * 6 + 12 * 4 * pairs
    assert job["work"](shape, sizes, head=True) - job["work"](shape, sizes, head=False) == 6 * 4 * 10 * 3
