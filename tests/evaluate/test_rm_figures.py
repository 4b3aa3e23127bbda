"""Figures of rewards, against numbers worked out by hand and against what must hold for any rewards."""

from __future__ import annotations

from math import atanh, exp, log, sqrt, tanh
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prefdata.evaluate.rm_figures import by_part, calibration, figures, macro, mean_interval, rewards, spread
from prefdata.evaluate.rm_length import length, line, ranks, spearman
from prefdata.statistics import Z, wilson
from prefdata.train.pair_metrics import pair_metrics

NAN = float("nan")
REWARDS = arrays(np.float64, st.shared(st.integers(1, 30), key="n"), elements=st.floats(-50, 50).map(lambda x: round(x, 2)))


def array(*values: float) -> Any:
    return np.array(values, dtype=np.float64)


def test_accuracy_by_hand() -> None:
    """Two right, one tie, one wrong, and a pair that has no better side."""
    found = figures(array(2, 1, 0, 0, 5), array(0, 0.95, 0, 3, 0), p_chosen=array(NAN, 1, NAN, 0.75, 0.5))
    assert found["accuracy"] == {"value": 2.5 / 4, "n": 4, **dict(zip(("low", "high"), wilson(2.5, 4), strict=True))}
    assert (found["pairs"], found["label_ties"], found["ties"]["value"]) == (5, 1, 1 / 5)
    assert found["margins"]["near_zero"]["value"] == 2 / 5  # 0.05 and 0
    # right with probability 1, 1, 1/2 (the tie), 1/4, 1/2; at best 1, 1, 1, 3/4, 1/2
    assert found["soft"] == {"labels": 2, "accuracy": pytest.approx(3.25 / 5), "best": pytest.approx(4.25 / 5)}
    assert found["length"] is None
    assert found["gold_margin"] is None


def test_pairs_of_one_prompt_count_less() -> None:
    chosen, rejected = array(1, 1, 0, 0, 1, 1, 0, 0), array(0, 0, 1, 1, 0, 0, 1, 1)
    alone = figures(chosen, rejected)["accuracy"]
    twins = figures(chosen, rejected, cluster=np.repeat(np.arange(4), 2))["accuracy"]
    assert alone["value"] == twins["value"] == 0.5
    # G/(G−1) · Σ(2w − 1)² = 4/3 · 4 over 8/7 · 8 · 1/4: a design effect of 7/3
    assert (twins["low"], twins["high"]) == pytest.approx(wilson(8 * 3 / 7 / 2, 8 * 3 / 7))


def test_calibration_by_hand() -> None:
    """Three of four right at a margin of log 9 (90 %): a calibration error of 0.15, and log 9/T = log 3 at T = 2."""
    margin = array(log(9), log(9), log(9), -log(9))
    found = calibration(margin, np.ones(4))
    assert found is not None
    raw = found["raw"]
    assert raw["log_loss"] == pytest.approx(-(3 * log(0.9) + log(0.1)) / 4)
    assert raw["brier"] == pytest.approx((3 * 0.01 + 0.81) / 4)
    assert raw["ece"] == pytest.approx(0.15)
    # 15 bins of 1/30: 0.9 is the upper end of the twelfth
    assert raw["bins"] == [{"low": 0.8667, "high": 0.9, "n": 4, "confidence": pytest.approx(0.9), "accuracy": 0.75}]
    assert found["temperature"] == pytest.approx(2)


def test_temperature_does_not_depend_on_the_scale() -> None:
    """Margins a million times as large have a temperature a million times as high, and the same figures at it."""
    rng = np.random.default_rng(0)
    margin, y = rng.normal(1, 2, 200), np.ones(200)
    small, large = calibration(margin, y), calibration(1e6 * margin, y)
    assert small is not None
    assert large is not None
    assert large["temperature"] == pytest.approx(1e6 * small["temperature"])
    assert large["tempered"] == pytest.approx(small["tempered"])
    # at the best temperature of all pairs the slope of the log-loss is 0: Σ (σ(m/T) − 1) m = 0
    p = 1 / (1 + np.exp(-margin / small["temperature"]))
    assert float((p - 1) @ margin) == pytest.approx(0, abs=1e-6)


def test_the_tempered_figures_are_held_out() -> None:
    """Every fifth prompt is wrong, the others right: what is fitted on the others is too sure of it."""
    margin = array(*[-1 if i % 5 == 0 else 1 for i in range(50)])
    found = calibration(margin, np.ones(50), np.arange(50))
    assert found is not None
    assert found["temperature"] == pytest.approx(1 / log(4))  # 40 of 50 right
    # the fold of the wrong ones is judged at the lowest temperature, 1/100; the others at 30 of 40 right, 3/4
    assert found["tempered"]["log_loss"] == pytest.approx((10 * 100 + 40 * -log(0.75)) / 50, rel=1e-3)
    one = calibration(margin, np.ones(50), np.zeros(50, np.int64))
    assert one is not None
    assert one["tempered"] is None


def test_soft_labels_are_what_probabilities_are_held_to() -> None:
    """σ(m) = p_chosen is perfect calibration: log-loss is the labels' entropy."""
    p = array(0.6, 0.8, 0.9)
    found = calibration(np.log(p / (1 - p)), p)
    assert found is not None
    assert (found["raw"]["brier"], found["raw"]["ece"]) == pytest.approx((0, 0))
    assert found["raw"]["log_loss"] == pytest.approx(float(-np.mean(p * np.log(p) + (1 - p) * np.log(1 - p))))


def test_large_margins_have_finite_losses() -> None:
    found = calibration(array(-1000, 2000), np.ones(2))
    assert found is not None
    assert found["raw"]["log_loss"] == pytest.approx(500)


def test_rewards_by_hand() -> None:
    # of the nine couples chosen is higher in (2 > 1), (3 > 1), (3 > 2), all three of 5 - 2 > 1, and a tie in (2, 2)
    found = rewards(array(2, 3, 1.5), array(1, 2, 4))
    assert found["auc"] == pytest.approx((1.5 + 2 + 1) / 9)
    assert found["chosen"]["mean"] == pytest.approx(6.5 / 3)
    assert rewards(array(1, 1), array(1, 1))["overlap"] == 1.0
    assert rewards(array(10, 11), array(0, 1))["overlap"] == 0.0
    # bins of 0.2 from 0 to 10: half of chosen lies in the first, where all of rejected is
    assert rewards(array(0, 10), array(0, 0.1))["overlap"] == 0.5


def test_spread() -> None:
    found = spread(np.arange(101.0))
    assert {k: found[k] for k in ("min", "p1", "p25", "p50", "p95", "max", "mean")} == {
        "min": 0, "p1": 1, "p25": 25, "p50": 50, "p95": 95, "max": 100, "mean": 50
    }  # fmt: skip
    assert found["std"] == pytest.approx(sqrt((101**2 - 1) / 12))
    assert spread(array())["mean"] is None


def test_mean_interval() -> None:
    # deviations ± 1 of ten values: variance 10/9, standard error 1/3
    values = array(*[0, 2] * 5)
    assert mean_interval(values) == pytest.approx((1 - Z / 3, 1 + Z / 3))
    # clusters with the sums ± 2 four times and ± 1 twice
    found = mean_interval(values, np.array([0, 1, 0, 1, 2, 3, 2, 3, 4, 5]))
    assert found is not None
    assert found[1] - 1 == pytest.approx(Z * sqrt((4 * 4 + 2) / 90))
    assert mean_interval(array(1)) is None


def test_ranks_and_spearman() -> None:
    assert ranks(array(10, 20, 10, 5)).tolist() == [2.5, 4, 2.5, 1]
    # ranks 1 2 3 4 5 against 2 1 4 3 5: 1 − 6 · 4 / (5 · 24)
    found = spearman(array(1, 2, 3, 4, 5), array(20, 10, 40, 30, 50))
    assert found["value"] == pytest.approx(0.8)
    se = sqrt((1 + 0.32) / 2)  # Bonett and Wright: (1 + ρ²/2)/(n − 3)
    assert (found["low"], found["high"]) == pytest.approx((tanh(atanh(0.8) - Z * se), tanh(atanh(0.8) + Z * se)))
    assert spearman(array(1, 1, 1), array(1, 2, 3))["value"] is None
    assert spearman(array(1, 2, 3, 4), array(1, 2, 3, 4))["value"] == pytest.approx(1)


def test_spearman_with_ties() -> None:
    """Pearson of mean ranks: 1.5 1.5 3 4 against 1 2.5 2.5 4 have the sums of products 3.75 and of squares 4.5 and 4.5."""
    found = spearman(array(1, 1, 2, 3), array(0, 5, 5, 9))
    assert found["value"] == pytest.approx(3.75 / 4.5)


def test_a_line_by_hand() -> None:
    # y = 1 + 2x, off by +1 −1 −1 +1 at 0 1 2 3: residuals have no slope; s² = 4/2, Σ(x − x̄)² = 5
    found = line(array(0, 1, 2, 3), array(2, 2, 4, 8))
    assert found is not None
    assert (found["value"], found["at_equal_length"]) == pytest.approx((2, 1))
    assert found["high"] - found["value"] == pytest.approx(Z * sqrt(2 / 5))
    assert line(array(1, 1, 1), array(1, 2, 3)) is None


def test_length_by_hand() -> None:
    lengths = np.array([[10, 5], [5, 10], [10, 5], [7, 7], [5, 10]], dtype=np.float64)
    margin = array(1, 1, -1, 1, -2)  # longer right, shorter right, longer wrong, equal right, shorter wrong
    found = length(margin, np.zeros(5), np.ones(5), lengths)
    assert (found["chosen_longer"]["value"], found["chosen_longer"]["n"]) == (0.5, 2)
    assert (found["chosen_shorter"]["value"], found["chosen_shorter"]["n"]) == (0.5, 2)
    assert (found["longest_wins"]["value"], found["longest_wins"]["n"]) == (2.5 / 5, 5)
    assert (found["wrong_is_longer"]["value"], found["wrong_is_longer"]["n"]) == (0.5, 2)
    # better than the longer one: the shorter right one (1 to 0) and the equal one (1 to 1/2); worse: the longer wrong one
    assert found["against_longest"] == {"wins": 2, "losses": 1, "p_value": 1.0}
    assert found["margin"]["value"] == pytest.approx(spearman(margin, array(5, -5, 5, 0, -5))["value"])
    assert found["slope"]["value"] == pytest.approx(float(np.polyfit([0.05, -0.05, 0.05, 0, -0.05], margin, 1)[0]))


def test_a_model_of_length_alone() -> None:
    rng = np.random.default_rng(1)
    lengths = rng.permutation(1000)[:200].reshape(-1, 2).astype(np.float64)
    found = length(lengths[:, 0] / 128, lengths[:, 1] / 128, np.ones(100), lengths)  # exact in binary
    assert found["reward"]["value"] == found["margin"]["value"] == pytest.approx(1)
    assert found["slope"]["value"] == pytest.approx(100 / 128)
    assert found["slope"]["at_equal_length"] == pytest.approx(0)
    assert (found["chosen_longer"]["value"], found["chosen_shorter"]["value"], found["wrong_is_longer"]["value"]) == (1, 0, 1)
    assert found["against_longest"] == {"wins": 0, "losses": 0, "p_value": 1.0}


def test_parts_and_their_macro_average() -> None:
    """Part a: 9 of 10 right; part b: 1 of 2. All: 10 of 12; macro: 0.7."""
    chosen = array(*[1] * 9, 0, 1, 0)
    rejected = 1 - chosen
    found = by_part(["a"] * 10 + ["b", None], chosen, rejected, lengths=np.ones((12, 2)), gold_margin=array(*range(12)))
    assert [(p["name"], p["pairs"], p["accuracy"]["value"]) for p in found["parts"]] == [("(none)", 1, 0.0), ("a", 10, 0.9), ("b", 1, 1.0)]
    assert found["macro"]["value"] == pytest.approx(1.9 / 3)
    assert found["parts"][1]["longest_wins"]["value"] == 0.5  # all equally long
    assert found["parts"][1]["gold_margin"]["spearman"]["value"] < 0  # the last margin is the largest, and wrong


def test_the_interval_of_a_macro_average() -> None:
    one = {"value": 0.8, "low": 0.5, "high": 0.9, "n": 10}
    assert macro([one]) == {"value": 0.8, "low": 0.5, "high": pytest.approx(0.9), "n": 1}
    found = macro([one, {"value": 0.6, "low": 0.2, "high": 0.7, "n": 5}, {"value": None, "low": 0, "high": 1, "n": 0}])
    assert found["value"] == pytest.approx(0.7)
    assert (found["low"], found["high"]) == pytest.approx((0.7 - sqrt(0.09 + 0.16) / 2, 0.7 + sqrt(0.02) / 2))
    assert macro([])["value"] is None


def test_margins_of_labels() -> None:
    found = figures(array(1, 2, 3, 4), np.zeros(4), gold_margin=array(1, 2, NAN, 5))["gold_margin"]
    assert found["spearman"] == {"value": pytest.approx(1), "low": -1, "high": 1, "n": 3}
    assert figures(array(1, 2), np.zeros(2), gold_margin=array(3, 3))["gold_margin"] is None


@given(REWARDS, REWARDS, st.integers(0, 2**32 - 1))
def test_swapping_chosen_and_rejected_mirrors_everything(a: Any, b: Any, seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, 100, (len(a), 2)).astype(np.float64)
    one, other = figures(a, b, lengths=lengths), figures(b, a, lengths=lengths[:, ::-1])
    assert one["accuracy"]["value"] == pytest.approx(1 - other["accuracy"]["value"])
    assert (one["accuracy"]["low"], one["accuracy"]["high"]) == pytest.approx((1 - other["accuracy"]["high"], 1 - other["accuracy"]["low"]))
    assert one["ties"] == other["ties"]
    assert one["rewards"]["auc"] == pytest.approx(1 - other["rewards"]["auc"])
    assert one["rewards"]["overlap"] == pytest.approx(other["rewards"]["overlap"])
    for q, mirrored in (("p5", "p95"), ("min", "max"), ("mean", "mean"), ("p50", "p50")):
        assert one["margins"][q] == pytest.approx(-other["margins"][mirrored])
    same = ("reward", "margin", "slope")  # what length does is the same from both sides
    for name in same:
        x, y = ((found["length"][name] or {}).get("value") for found in (one, other))
        assert x == pytest.approx(y, abs=1e-9)
    assert one["length"]["chosen_longer"]["value"] == pytest.approx(_other(other["length"]["chosen_shorter"]["value"]))


def _other(share: float | None) -> float | None:
    return None if share is None else 1 - share


@given(REWARDS, REWARDS, st.floats(-20, 20), st.floats(0.1, 10))
def test_rewards_have_no_zero_and_no_unit(a: Any, b: Any, shift: float, scale: float) -> None:
    """Accuracy and what length does to ranks stay when rewards are shifted and scaled."""
    one, other = figures(a, b), figures(np.round(scale, 1) * a, np.round(scale, 1) * b)
    assert one["accuracy"] == other["accuracy"]
    moved = figures(a + round(shift), b + round(shift))
    assert moved["calibration"]["raw"]["log_loss"] == pytest.approx(one["calibration"]["raw"]["log_loss"])


def test_metrics_are_those_of_training() -> None:
    """The names and means that a log line of training has for the same rewards."""
    import torch

    from prefdata.train.metrics import Tally, of_scores

    chosen, rejected = array(1, 2, 0, 5), array(0, 2, 3, 4.5)
    tally = Tally()
    source = torch.tensor([0, 0, 1, 1])
    of_scores(tally, torch.tensor(chosen), torch.tensor(rejected), torch.zeros(4), source, ["s", "t"])
    theirs = tally.take()
    ours = pair_metrics(chosen, rejected, source=["s", "s", "t", "t"])
    assert {k: v for k, v in theirs.items() if k != "loss"} == pytest.approx({k: ours[k] for k in theirs if k != "loss"})
    assert ours["accuracy"] == 2.5 / 4
    assert ours["log_loss"] == pytest.approx(np.mean([log(1 + exp(-m)) for m in (1, 0, -3, 0.5)]))
    implicit = pair_metrics(chosen, rejected, implicit=True)
    assert implicit["rewards/accuracies"] == ours["accuracy"]
    assert implicit["rewards/margins"] == ours["margin"]
    assert implicit["rewards/chosen"] == 2.0
