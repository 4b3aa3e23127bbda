"""Figures about judges, against numbers worked out by hand and against what must hold for any verdicts."""

from __future__ import annotations

from math import comb, log, sqrt, tanh
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefdata.judges.agreement import (
    Calls,
    accuracy,
    agreement,
    binomial_test,
    both_orders,
    cost,
    figures,
    kappa,
    length,
    position,
    rate,
    slope,
)
from prefdata.judges.calibration import at_temperature, calibration, reliability, scores, temperature

NAN = float("nan")


def array(*values: float) -> Any:
    return np.array(values, dtype=np.float64)


def table(**cells: int) -> tuple[Any, Any]:
    """`said` and `gold` with so many comparisons of each combination, as `ft=2`: twice first, where gold says tie."""
    sign = {"f": 1.0, "t": 0.0, "s": -1.0, "n": NAN}
    pairs = [(sign[said], sign[gold]) for (said, gold), n in cells.items() for _ in range(n)]
    return array(*(s for s, _ in pairs)), array(*(g for _, g in pairs))


def test_ties_in_three_ways() -> None:
    # ten comparisons: 5 right, 1 wrong, 2 ties on a decided gold, 1 verdict on a tie, 1 undecided
    said, gold = table(ff=3, ss=2, fs=1, tf=2, ft=1, ns=1)
    assert accuracy(said, gold, "class").value == pytest.approx(5 / 9)
    assert accuracy(said, gold, "dropped")[::3] == (pytest.approx(5 / 6), 6)
    assert accuracy(said, gold, "half").value == pytest.approx((5 + 3 / 2) / 9)
    assert agreement(said, gold)[::3] == (pytest.approx((5 + 3 / 2) / 10), 10)


def test_the_same_tie_is_right() -> None:
    said, gold = table(tt=3, fs=1)
    assert accuracy(said, gold, "class").value == accuracy(said, gold, "half").value == 0.75
    assert accuracy(said, gold, "dropped")[::3] == (0.0, 1)


def test_a_wilson_interval() -> None:
    # 8 of 10: centre (0.8 + z²/20)/(1 + z²/10), Wilson 1927: 0.490 to 0.943
    said, gold = table(ff=8, fs=2)
    value, low, high, n = accuracy(said, gold)
    assert (value, n) == (0.8, 10)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))


def test_comparisons_of_one_prompt_count_less() -> None:
    """Ten comparisons that are five pairs of twins are worth five: G/(G−1) · 4 Σ(w − p)² is more than twice the independent variance."""
    scores = array(1, 1, 1, 1, 0, 0, 1, 1, 0, 0)
    twins = np.repeat(np.arange(5), 2)
    alone, paired = rate(scores), rate(scores, twins)
    assert alone.value == paired.value == 0.6
    # Σ(2·1 − 1.2)² · 3 + (0 − 1.2)² · 2 = 4.8, · 5/4 = 6; independent: 10/9 · 10 · 0.24 = 2.667; 10 / (6 / 2.667) = 4.444
    assert (paired.low, paired.high) == pytest.approx(wilson(0.6, 10 * 2.4 / 0.9 / 6))


def wilson(p: float, n: float) -> tuple[float, float]:
    z = 1.959963984540054
    middle, half = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def test_kappa_by_hand() -> None:
    """Said first 25 of 50, gold first 30 of 50: p_o = 35/50, p_e = 0.5 · 0.6 + 0.5 · 0.4 = 0.5, κ = 0.4.

    Fleiss, Cohen, Everitt:
    0.4 (0.5 − 1.1 · 0.3)² + 0.3 (0.5 − 0.9 · 0.3)² + 0.09 (0.1 · 1.1² + 0.2 · 0.9²) − (0.35 − 1 + 0.7)² = 0.0504, over
    50 · 0.5⁴.
    """
    said, gold = table(ff=20, fs=5, sf=10, ss=15)
    found = kappa(said, gold, symmetric=False)
    assert (found.observed, found.expected) == pytest.approx((0.7, 0.5))
    assert found.value == pytest.approx(0.4)
    assert found.se == pytest.approx(sqrt(0.0504 / (50 * 0.5**4)))
    assert (found.low, found.high) == pytest.approx((0.4 - 1.959964 * 0.126996, 0.4 + 1.959964 * 0.126996), abs=1e-5)


def test_kappa_in_a_file_of_pairs() -> None:
    """Gold always says chosen; taken as it stands p_e = p_o and kappa is 0. From both sides: p_e = 1/2 and κ = 2 · 0.9 − 1."""
    said, gold = table(ff=9, sf=1)
    assert kappa(said, gold, symmetric=False).value == pytest.approx(0)
    found = kappa(said, gold)
    assert found.value == pytest.approx(0.8)
    # κ is then 2 p_o − 1, and its standard error twice that of a share: 2 √(0.09/10)
    assert found.se == pytest.approx(2 * sqrt(0.9 * 0.1 / 10))


def test_kappa_with_ties() -> None:
    # 4 ff, 2 tt, 2 ss, 1 ft, 1 sf: p_o = 0.8; ties said 0.2, in gold 0.3; the rest in halves: p_e = 0.2 · 0.3 + 0.8 · 0.7 / 2 = 0.34
    said, gold = table(ff=4, tt=2, ss=2, ft=1, sf=1)
    found = kappa(said, gold)
    assert (found.observed, found.expected) == pytest.approx((0.8, 0.34))
    assert found.value == pytest.approx((0.8 - 0.34) / (1 - 0.34))


def test_the_interval_of_kappa_knows_prompts() -> None:
    """Everything twice is the same kappa, and no more certain when the twins are of one prompt."""
    said, gold = table(ff=20, fs=5, sf=10, ss=15)
    twice, prompts = (np.repeat(said, 2), np.repeat(gold, 2)), np.repeat(np.arange(50), 2)
    alone, together, apart = kappa(said, gold), kappa(*twice, prompts), kappa(*twice)
    assert alone.value == together.value == apart.value
    assert together.se == pytest.approx(alone.se)
    assert apart.se == pytest.approx((alone.se or 0) / sqrt(2))


def test_kappa_of_nothing() -> None:
    assert kappa(*table(tt=5)).value is None
    assert kappa(array(), array()).n == 0
    assert kappa(*table(nf=2)).n == 0


def test_a_binomial_test() -> None:
    assert binomial_test(9, 10) == binomial_test(1, 10) == pytest.approx(2 * 11 / 1024)
    assert binomial_test(5, 10) == 1.0
    exact = 2 * sum(comb(2100, k) for k in range(1100, 2101)) / 2**2100
    assert binomial_test(1100, 2100) == pytest.approx(exact, rel=0.01)  # the approximation
    assert binomial_test(0, 0) == 1.0


def calls(*rows: tuple[int, int, float]) -> Calls:
    """Rows of (comparison, whether swapped, slot that won)."""
    at, swapped, won = zip(*rows, strict=True)
    return Calls(np.array(at), array(*swapped), array(*won))


def test_position_by_hand() -> None:
    found = position(
        calls(
            *[(0, 0, 1), (0, 1, -1)],  # i wins in both orders
            *[(1, 0, 1), (1, 1, 1)],  # the first place wins twice
            *[(2, 1, -1), (2, 0, -1)],  # the second place wins twice
            *[(3, 0, 0), (3, 1, 0)],  # twice a tie: consistent
            *[(4, 0, 0), (4, 1, 1)],  # tie, then j: neither consistent nor the same place
            *[(5, 0, 1), (5, 1, NAN)],  # one order cannot be read: no statement about consistency
            *[(6, 0, 1)],  # one order alone
            *[(7, 0, 1), (7, 1, 1)],  # the first place again
        ),
        gold=array(1, 1, -1, 0, NAN, 1, -1, NAN),
    )
    assert (found["consistent"]["value"], found["consistent"]["n"]) == (pytest.approx(2 / 6), 6)
    assert (found["same_position"]["value"], found["same_position"]["n"]) == (pytest.approx(3 / 6), 6)
    assert (found["favours_first"]["value"], found["favours_first"]["n"]) == (pytest.approx(2 / 3), 3)
    assert found["favours_first"]["p_value"] == 1.0  # 2 · (3 + 1)/2³
    # winners in the first place: 0 once of two, 1 twice, 2 never, 4 once of one, 5 once, 6 once, 7 twice
    assert (found["first_rate"]["value"], found["first_rate"]["n"]) == (pytest.approx(8 / 11), 11)
    assert found["first_rate"]["p_value"] == pytest.approx(2 * (165 + 55 + 11 + 1) / 2**11)
    # gold's winner is first in one of two calls of 0, 1, 2 and 5, and second in the one of 6
    assert (found["gold_first"]["value"], found["gold_first"]["n"]) == (pytest.approx(4 / 9), 9)


def test_calls_of_several_votes_are_matched_in_turn() -> None:
    at, straight, turned = both_orders(calls((0, 0, 1), (0, 0, -1), (0, 1, -1), (0, 1, -1), (0, 0, 1)))
    assert (at.tolist(), straight.tolist(), turned.tolist()) == ([0, 0], [1, -1], [1, 1])


def test_length_by_hand() -> None:
    characters = np.array([[100, 10], [10, 100], [50, 60], [200, 10], [10, 90], [40, 40], [30, 0]], dtype=np.float64)
    said = array(1, -1, 1, -1, 0, 1, 1)  # longer, longer, shorter but near, shorter, tie, equally long, longer but near
    gold = array(1, 1, 1, 1, -1, 1, NAN)
    found = {k: v for k, v in length(said, gold, characters).items() if k != "slope"}
    assert {k: (v["value"], v["n"]) for k, v in found.items()} == {
        "prefers_longer": (pytest.approx(2 / 3), 3),  # rows 0, 1, 3
        "gold_longer": (pytest.approx(3 / 4), 4),  # rows 0, 3, 4 of 0, 1, 3, 4
        "longest_wins": (pytest.approx(3.5 / 6), 6),  # rows 0, 3, 4, and half of row 5
        "gold_is_shorter": (pytest.approx(1 / 2), 2),  # rows 1 (wrong) and 2 (right)
        "gold_is_longer": (pytest.approx(1.5 / 3), 3),  # rows 0 (right), 3 (wrong), 4 (tie)
        "wrong_is_longer": (pytest.approx(1 / 2), 2),  # rows 1 (yes) and 3 (no)
    }


def test_slope_by_hand() -> None:
    # all differences as large as their root mean square: x = ±tanh(1), and 3 of 4 times the longer wins: β tanh(1) = log 3
    found = slope(array(1, -1, 1, 1), array(50, -50, 50, -50))
    assert found is not None
    assert found["value"] == pytest.approx(log(3) / tanh(1))
    assert found["se"] == pytest.approx(1 / sqrt(4 * tanh(1) ** 2 * 0.75 * 0.25))
    assert slope(array(1, -1), array(50, -50)) is None  # the longer always wins
    assert slope(array(1, 1), array(0, 0)) is None
    tied = slope(array(0, 0), array(50, -50))
    assert tied is not None
    assert tied["value"] == pytest.approx(0)


def test_calibration_by_hand() -> None:
    p, y = array(0.9, 0.9, 0.9, 0.9), array(1, 1, 1, 0)
    found = scores(p, y)
    assert found["brier"] == pytest.approx((3 * 0.01 + 0.81) / 4)
    assert found["log_loss"] == pytest.approx(-(3 * log(0.9) + log(0.1)) / 4)
    assert found["ece"] == pytest.approx(0.15)
    assert reliability(p, y) == [{"low": 0.85, "high": 0.9, "n": 4, "confidence": pytest.approx(0.9), "accuracy": 0.75}]
    # logit 0.9 = log 9 becomes logit 0.75 = log 3 at T = 2
    assert temperature(p, y) == pytest.approx(2)
    assert at_temperature(p, 2).tolist() == pytest.approx([0.75] * 4)


def test_calibration_bins() -> None:
    # the confidence of 0.15 is 0.85, with the other answer favoured; 0.5 favours none
    p, y = array(0.15, 0.85, 0.85, 0.5, 0.97, 1.0), array(0, 1, 0, 1, 1, 1)
    found = reliability(p, y)
    assert [(b["low"], b["high"], b["n"], b["accuracy"]) for b in found] == [
        (0.5, 0.55, 1, 0.5),
        (0.8, 0.85, 3, pytest.approx(2 / 3)),
        (0.95, 1.0, 2, 1.0),
    ]
    # |1/2 − 1/2| · 1/6 + |2/3 − 0.85| · 3/6 + |1 − 0.985| · 2/6
    assert scores(p, y)["ece"] == pytest.approx((3 * (0.85 - 2 / 3) + 2 * 0.015) / 6)


def test_a_sure_and_wrong_judge_has_a_finite_loss() -> None:
    found = scores(array(1.0), array(0))
    assert found["log_loss"] == pytest.approx(-log(1e-6))


def test_temperatures_have_ends() -> None:
    assert temperature(array(0.9, 0.8), array(0, 0)) == pytest.approx(100)  # worse than chance
    assert temperature(array(0.6, 0.6), array(1, 1)) == pytest.approx(0.01)
    assert temperature(array(0.5), array(1)) == 1.0


def test_the_tempered_figures_are_held_out() -> None:
    """Prompts 0, 5, 10 ... are one fold. In it all are wrong, elsewhere all right: fitted on the others, T is at its lowest end, and the
    fold that T has not seen is judged badly. A fit on all would hide that."""
    gold = array(*[-1 if i % 5 == 0 else 1 for i in range(50)])
    found = calibration(np.full(50, 0.9), gold, np.arange(50))
    assert found is not None
    assert found["temperature"] == pytest.approx(log(9) / log(4), rel=1e-6)  # 40 of 50 right
    assert found["tempered"]["brier"] > found["raw"]["brier"]
    # the 10 wrong ones are judged at 1 − 1e-6 and more (T = 1/100), the 40 others at 30 of 40 right: 0.75
    assert found["tempered"]["brier"] == pytest.approx((10 * 1 + 40 * 0.25**2) / 50, abs=1e-4)


def test_the_temperature_has_not_seen_other_comparisons_of_the_prompt() -> None:
    """As above, with five comparisons of each of ten prompts, which stand side by side: prompts 0 and 5 are wrong."""
    prompts = np.repeat(np.arange(10), 5)
    found = calibration(np.full(50, 0.9), np.where(prompts % 5 == 0, -1.0, 1.0), prompts)
    assert found is not None
    assert found["tempered"]["brier"] == pytest.approx((10 * 1 + 40 * 0.25**2) / 50, abs=1e-4)


def test_calibration_of_nothing() -> None:
    assert calibration(array(NAN, 0.5), array(1, 0)) is None
    one = calibration(array(0.7), array(1))
    assert one is not None
    assert one["tempered"] is None


def test_cost() -> None:
    assert cost(400, 800, 120_000, 1_600, 0.5) == {"calls": 2000, "tokens_in": 300_000, "tokens_out": 4000, "usd": 1.25}
    assert cost(400, 800, 1, 1, None)["usd"] is None
    assert cost(0, 0, 0, 0, 0.0)["calls"] is None


SIGNS = st.sampled_from([1.0, -1.0, 0.0, NAN])


@st.composite
def judged(draw: Any) -> dict[str, Any]:
    n = draw(st.integers(1, 25))

    def column(of: st.SearchStrategy[float]) -> Any:
        return np.array(draw(st.lists(of, min_size=n, max_size=n)), dtype=np.float64)

    rows = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, 1), SIGNS), min_size=1, max_size=40))
    return {
        "said": column(SIGNS),
        "gold": column(SIGNS),
        "p": column(st.floats(0.001, 0.999) | st.just(NAN)),
        "characters": np.stack([column(st.integers(1, 300)), column(st.integers(1, 300))], axis=1),
        "cluster": column(st.integers(0, 9)).astype(np.int64),
        "calls": calls(*rows),
    }


def near(a: Any, b: Any) -> None:
    """The same table, up to the last digits."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for k in a:
            near(a[k], b[k])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            near(x, y)
    else:
        assert a == b or a == pytest.approx(b, rel=1e-6, abs=1e-6)


@given(judged(), st.data())
def test_the_names_of_the_answers_do_not_matter(given_: dict[str, Any], data: Any) -> None:
    """Calling i what was called j, in any of the comparisons, changes no figure at all."""
    n = len(given_["said"])
    flip = np.array(data.draw(st.lists(st.sampled_from([1.0, -1.0]), min_size=n, max_size=n)))
    turned = dict(given_)
    for name in ("said", "gold"):
        turned[name] = given_[name] * flip
    turned["p"] = np.where(flip < 0, 1 - given_["p"], given_["p"])
    turned["characters"] = np.where(flip[:, None] < 0, given_["characters"][:, ::-1], given_["characters"])
    c = given_["calls"]
    turned["calls"] = Calls(c.at, np.where(flip[c.at] < 0, 1 - c.swapped, c.swapped), c.won)
    near(figures(**given_), figures(**turned))


@given(judged())
def test_showing_the_answers_in_the_other_order(given_: dict[str, Any]) -> None:
    """With the same winners in the other places, shares of the first place become those of the second and nothing else changes."""
    c = given_["calls"]
    before, after = figures(**given_), figures(**given_ | {"calls": Calls(c.at, 1 - c.swapped, -c.won)})
    for name in ("favours_first", "first_rate", "gold_first"):
        x, y = before["position"].pop(name), after["position"].pop(name)
        assert x["n"] == y["n"]
        if x["n"]:
            assert y["value"] == pytest.approx(1 - x["value"])
            assert (y["low"], y["high"]) == pytest.approx((1 - x["high"], 1 - x["low"]))
        assert x.get("p_value") == y.get("p_value")
    near(before, after)


@given(judged())
def test_every_figure_is_a_number_in_its_range(given_: dict[str, Any]) -> None:
    def walk(x: Any) -> None:
        if isinstance(x, dict):
            if "low" in x and "high" in x and x.get("value") is not None:
                assert x["low"] - 1e-9 <= x["value"] <= x["high"] + 1e-9
            for v in x.values():
                walk(v)
        elif isinstance(x, list):
            for v in x:
                walk(v)
        else:
            assert x is None or np.isfinite(x)

    walk(figures(**given_))


@given(st.lists(st.sampled_from([1.0, -1.0, 0.0]), min_size=2, max_size=60).filter(lambda s: set(s) != {0.0}))
def test_kappa_of_perfect_agreement_is_one(signs: list[float]) -> None:
    gold = array(*signs)
    found = kappa(gold, gold)
    assert (found.value, found.se) == (pytest.approx(1), pytest.approx(0, abs=1e-9))
    assert agreement(gold, gold).value == 1


@given(st.lists(st.integers(0, 6), min_size=3, max_size=3), st.lists(st.integers(0, 6), min_size=3, max_size=3))
def test_kappa_of_independent_raters_is_zero(said: list[int], gold: list[int]) -> None:
    """Every verdict of one rater as often with each verdict of the other: n(a, b) = said(a) gold(b). Symmetric raters, as from both sides
    the dependence of two raters who both favour the first answer is agreement."""
    said, gold = [said[0], said[1], said[0]], [gold[0], gold[1], gold[0]]
    letters = "fts"
    found = kappa(*table(**{a + b: said[i] * gold[j] for i, a in enumerate(letters) for j, b in enumerate(letters)}))
    if found.value is not None:
        assert found.value == pytest.approx(0, abs=1e-9)


@given(st.integers(1, 30), st.floats(0.01, 100), st.lists(st.floats(0.02, 0.98), min_size=2, max_size=30))
def test_the_temperature_is_found_again(n: int, t: float, shares: list[float]) -> None:
    """Probabilities that were made too sure or too timid by T: fitted on outcomes as frequent as they were meant, T comes back."""
    meant = np.array(shares)
    if np.abs(np.log(meant / (1 - meant))).max() < 0.1:
        return
    shown = at_temperature(meant, 1 / t)
    if shown.min() < 1e-5 or shown.max() > 1 - 1e-5:
        return
    # soft outcomes in place of very many hard ones
    assert temperature(shown, meant) == pytest.approx(min(100.0, max(0.01, t)), rel=1e-3)
