"""The losses against the test vectors (values and gradients), at extremes, mirrored, and at their starting values."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prefdata.train import vectors
from prefdata.train.losses import LOSSES, Pairs, Unpaired, batches, pairs, rewards, soft

FILE = Path(__file__).parent / "loss_vectors.json"
VECTORS = json.loads(FILE.read_text(encoding="utf-8"))["cases"]
PAIRWISE = [n for n, loss in LOSSES.items() if loss.rows == "pair"]
SCORED = {"score_chosen": [8.0, 6.0], "score_rejected": [6.5, 5.5]}


def some(policy: list[list[float]], reference: list[list[float]], dtype: torch.dtype = torch.float64, **extra: list[float]) -> Pairs:
    c, r = (torch.tensor(v, dtype=dtype, requires_grad=True) for v in policy)
    rc, rr = (torch.tensor(v, dtype=dtype) for v in reference)
    more = {k: torch.tensor(v, dtype=dtype) for k, v in extra.items()}
    return Pairs(c, r, rc, rr, torch.full_like(rc, 40), torch.full_like(rc, 50), **more)


@pytest.mark.parametrize("case", VECTORS, ids=lambda c: c["id"])
def test_vectors(case: dict[str, Any]) -> None:
    assert vectors.check(case) == []


@pytest.mark.parametrize("case", VECTORS, ids=lambda c: c["id"])
def test_a_wrong_number_is_seen(case: dict[str, Any]) -> None:
    """Every expected number, one after the other, moved by a thousandth: the check must not pass."""

    def moved(value: Any) -> Any:
        return [moved(v) for v in value] if isinstance(value, list) else value * 1.001 + 1e-3

    for name, value in case["expected"].items():
        assert vectors.check({**case, "expected": {**case["expected"], name: moved(value)}}), name


@pytest.mark.parametrize("name", PAIRWISE)
def test_extremes_are_finite_in_float32(name: str) -> None:
    """2,500 nats apart, both ways: losses and gradients stay finite, also of losses with an exponential."""
    x = some([[-50.0, -2500.0], [-2550.0, -40.0]], [[-60.0, -60.0], [-55.0, -45.0]], torch.float32, **SCORED)
    for options in OPTIONS.get(name, [{}]):
        losses = LOSSES[name].function(x, **options)
        gradients = torch.autograd.grad(losses.sum(), [x.chosen, x.rejected], allow_unused=True)
        assert torch.isfinite(losses).all(), options
        assert all(g is None or torch.isfinite(g).all() for g in gradients), options


OPTIONS: dict[str, list[dict[str, Any]]] = {
    "dpo": [{"beta": 0.5}, {"beta": 0.5, "label_smoothing": 0.1}],
    "discopop": [{"beta": 0.5, "tau": 0.05}, {"beta": 0.5, "tau": 2.0}],
    "gpo": [{"beta": 0.5, "f": f} for f in ("logistic", "exponential", "truncated_quadratic", "squared", "hinge", "savage")],
    "f-dpo": [{"beta": 0.1, "divergence": d} for d in ("reverse_kl", "forward_kl", "js", "alpha")],
}

MIRRORED = ["dpo", "ipo", "ipo-mean", "exo", "discopop", "gpo", "f-dpo", "sigmoid-norm", "robust", "simpo", "hinge"]


@pytest.mark.parametrize("name", MIRRORED)
@given(st.lists(st.floats(-30, -1), min_size=4, max_size=4))
def test_swapping_the_sides_mirrors_the_loss(name: str, logps: list[float]) -> None:
    """L(swapped pair) is L of the pair with D → −D: the gradients change sides with it."""
    c, r, rc, rr = ([v] for v in logps)
    x = some([c, r], [rc, rr])
    y = some([r, c], [rr, rc])
    y = Pairs(y.chosen, y.rejected, y.ref_chosen, y.ref_rejected, x.rejected_len, x.chosen_len)
    a, b = LOSSES[name].function(x.swapped()), LOSSES[name].function(y)
    ga = torch.autograd.grad(a.sum(), [x.chosen, x.rejected])
    gb = torch.autograd.grad(b.sum(), [y.rejected, y.chosen])
    assert torch.allclose(a, b) and all(torch.allclose(p, q) for p, q in zip(ga, gb, strict=True))


@pytest.mark.parametrize("name", [n for n, loss in LOSSES.items() if loss.at_start])
def test_the_value_at_the_start(name: str) -> None:
    """Policy = reference: the closed form that the trainer's self-check compares its first loss with."""
    loss = LOSSES[name]
    if loss.rows == "binary":
        same = torch.tensor([-33.0, -41.5], dtype=torch.float64)
        found = loss.function(Unpaired(same, same, torch.tensor([True, False])))
    else:
        found = loss.function(some([[-33.0, -20.0], [-41.5, -9.0]], [[-33.0, -20.0], [-41.5, -9.0]]))
    assert loss.at_start is not None
    assert found.mean().item() == pytest.approx(loss.at_start())


def test_soft_labels() -> None:
    """p = 0.7, βD = 0.27: 0.7·ln(1+e^−0.27) + 0.3·ln(1+e^0.27) = 0.7·0.567232 + 0.3·0.837232 = 0.648232."""
    x = some([[-45.2], [-50.1]], [[-47.0], [-49.2]])
    assert soft(pairs.dpo, x, torch.tensor([0.7], dtype=torch.float64), beta=0.1).item() == pytest.approx(0.648232, abs=1e-6)
    for name in ("dpo", "ipo", "hinge", "simpo", "nca", "apo-zero", "orpo"):
        half = soft(LOSSES[name].function, x, torch.tensor([0.5], dtype=torch.float64))
        assert half.item() == pytest.approx(soft(LOSSES[name].function, x.swapped(), torch.tensor([0.5], dtype=torch.float64)).item())


def test_bradley_terry_with_soft_labels_is_a_cross_entropy() -> None:
    """d = 0.75, p = 0.65: −0.65·ln σ(0.75) − 0.35·ln σ(−0.75) = 0.65·0.386871 + 0.35·1.136871 = 0.649371."""
    one = torch.ones(1, dtype=torch.float64)
    assert rewards.bradley_terry(1.25 * one, 0.5 * one, p_chosen=0.65 * one).item() == pytest.approx(0.649371, abs=1e-6)


def test_the_filter_of_beta_dpo_keeps_the_middle() -> None:
    """M0 = 0, s = 1, D from −3 to 3: pairs far from the mean go first, ⌊0.8·10⌋ stay, and a seed gives the same ones."""
    d = torch.tensor([-9.0, 9.0, *[0.1 * i for i in range(8)]])
    keep = batches.beta_dpo_filter(d, 0.0, 1.0, generator=torch.Generator().manual_seed(0))
    assert keep.tolist() == [False, False] + [True] * 8
    assert keep.equal(batches.beta_dpo_filter(d, 0.0, 1.0, generator=torch.Generator().manual_seed(0)))


def test_the_command(tmp_path: Path) -> None:
    """It prints a line per loss; a wrong number and an unknown loss give exit code 1, a file that is none gives 3."""
    command = [sys.executable, "-m", "prefdata.train.vectors"]
    good = subprocess.run([*command, str(FILE)], capture_output=True, text=True)
    assert good.returncode == 0 and "88 of 88 cases passed" in good.stdout
    wrong = {**VECTORS[0], "expected": {"loss": math.pi}}
    (tmp_path / "v.json").write_text(json.dumps({"cases": [wrong, {**VECTORS[0], "loss_name": "none"}]}))
    bad = subprocess.run([*command, str(tmp_path / "v.json")], capture_output=True, text=True)
    assert bad.returncode == 1 and "expected 3.14" in bad.stderr and "unknown loss 'none'" in bad.stderr
    assert subprocess.run([*command, str(tmp_path / "none.json")], capture_output=True).returncode == 3
