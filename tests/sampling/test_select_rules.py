"""Rules of selection over arrays: exact probabilities by enumeration, hand-derived pairs, and what theory says about the best of eight."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations, pairwise, permutations
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare  # type: ignore[import-untyped]

from prefdata.sampling import select_rules as rules
from prefdata.sampling.select_choose import Chosen, Pool, choose
from prefdata.sampling.select_draws import ends, gumbel, mixed, ordered, uniform
from prefdata.sampling.select_options import SelectOptions

SURE = 1e-4
"""p-values of fixed draws: below it the draws are not what they should be."""


def keys(n: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 2**64, size=n, dtype=np.uint64)


def pool(*prompts: list[float], lengths: list[list[float]] | None = None, seed: int = 0) -> Pool:
    scores = np.array([s for p in prompts for s in p], dtype=float)
    length = np.array([x for p in lengths for x in p], dtype=float) if lengths else np.ones(len(scores))
    return Pool(scores, ends(np.array([len(p) for p in prompts])), keys(len(scores), seed), length)


def chosen(found: Pool, **options: Any) -> Chosen:
    return choose(found, SelectOptions(**options))


def pairs(found: Pool, c: Chosen) -> list[tuple[float, float, float]]:
    return [(found.score[a], found.score[b], m) for a, b, m in zip(c.first, c.second, c.margin, strict=True)]


def sets_drawn(mask: Any, n: int) -> Counter[tuple[int, ...]]:
    return Counter(tuple(np.flatnonzero(row)) for row in mask.reshape(-1, n))


def agrees(found: Counter[tuple[int, ...]], exact: dict[tuple[int, ...], float]) -> None:
    total = sum(found.values())
    assert set(found) <= set(exact)
    assert math.isclose(sum(exact.values()), 1)
    assert chisquare([found[s] for s in exact], [total * p for p in exact.values()]).pvalue > SURE


def plackett_luce(values: list[float], beta: float, k: int) -> dict[tuple[int, ...], float]:
    """Sets of k drawn one after the other with weights exp(v / beta): the sum over all orders."""
    w = [math.exp(v / beta) for v in values]
    out: dict[tuple[int, ...], float] = {tuple(s): 0.0 for s in combinations(range(len(values)), k)}
    for order in permutations(range(len(values)), k):
        p, left = 1.0, sum(w)
        for i in order:
            p, left = p * w[i] / left, left - w[i]
        out[tuple(sorted(order))] += p
    return out


def algorithm_1(values: list[float], beta: float, k: int) -> dict[tuple[int, ...], float]:
    """The sets that Algorithm 1 accepts, over all orders of the candidates and all outcomes of its draws."""
    out: Counter[tuple[int, ...]] = Counter()

    def run(left: tuple[int, ...], accepted: tuple[int, ...], p: float) -> None:
        if len(accepted) == k:
            out[tuple(sorted(accepted))] += p  # type: ignore[assignment]
            return
        best = max(values[i] for i in left)
        states = {(accepted, ()): p}  # (accepted, not accepted in this pass)
        for i in left:
            after: dict[Any, float] = {}
            for (yes, no), q in states.items():
                a = math.exp((values[i] - best) / beta) if len(yes) < k else 0.0
                for state, share in (((*yes, i), no), a), ((yes, (*no, i)), 1 - a):
                    after[state] = after.get(state, 0.0) + q * share
            states = {s: q for s, q in after.items() if q > 0}
        for (yes, no), q in states.items():
            run(no, yes, q)

    orders = list(permutations(range(len(values))))
    for order in orders:
        run(order, (), 1 / len(orders))
    return dict(out)


@pytest.mark.parametrize(
    ("values", "beta", "k"), [([1.0, 0.0, 0.3, -1.0, 0.7], 0.5, 2), ([0.0, 2.0, 1.0, 1.5], 1.0, 3), ([0.0] * 5, 0.5, 2)]
)
def test_rso_is_plackett_luce(values: list[float], beta: float, k: int) -> None:
    runs = 100_000
    n = len(values)
    mask = rules.rso(np.tile(values, runs), np.arange(runs + 1) * n, keys(runs * n), 7, beta, k)
    assert (mask.reshape(-1, n).sum(axis=1) == k).all()
    exact = plackett_luce(values, beta, k)
    agrees(sets_drawn(mask, n), exact)
    included = mask.reshape(-1, n).mean(axis=0)
    assert included == pytest.approx([sum(p for s, p in exact.items() if i in s) for i in range(n)], abs=5 * 0.5 / math.sqrt(runs))


@pytest.mark.parametrize(("values", "beta", "k"), [([1.0, 0.0, 0.3, -1.0], 0.5, 2), ([0.0, 2.0, 1.0], 1.0, 2), ([0.0] * 4, 0.5, 2)])
def test_rso_paper_is_algorithm_1_shuffled(values: list[float], beta: float, k: int) -> None:
    runs, n = 60_000, len(values)
    mask = rules.rso_paper(np.tile(values, runs), np.arange(runs + 1) * n, keys(runs * n, 1), 7, beta, k)
    agrees(sets_drawn(mask, n), algorithm_1(values, beta, k))


def test_rso_and_algorithm_1_are_not_the_same() -> None:
    """What the page says about the two: a small but real difference."""
    exact, paper = plackett_luce([2.0, 1.0, 0.0], 1.0, 2), algorithm_1([2.0, 1.0, 0.0], 1.0, 2)
    assert 0.005 < sum(abs(exact[s] - paper[s]) for s in exact) / 2 < 0.2


@pytest.mark.parametrize("rule", [rules.rso, rules.rso_paper])
def test_fewer_candidates_than_asked(rule: Any) -> None:
    offsets = np.array([0, 0, 1, 4, 10])
    mask = rule(np.arange(10.0), offsets, keys(10), 0, 0.5, 5)
    assert [int(mask[a:b].sum()) for a, b in pairwise(offsets)] == [0, 1, 3, 5]


@pytest.mark.parametrize("rule", [rules.rso, rules.rso_paper])
@pytest.mark.parametrize(("beta", "best"), [(1e-6, True), (1e9, False)])
def test_limits_of_beta(rule: Any, beta: float, best: bool) -> None:
    """A small beta takes the k best; a large one draws evenly."""
    runs, n, k = 20_000, 6, 2
    mask = rule(np.tile([5.0, 4.0, 3.0, 2.0, 1.0, 0.0], runs), np.arange(runs + 1) * n, keys(runs * n), 0, beta, k)
    found = sets_drawn(mask, n)
    if best:
        assert found == {(0, 1): runs}
    else:
        agrees(found, {tuple(s): 1 / 15 for s in combinations(range(n), k)})


def test_acceptance_by_hand() -> None:
    """Weights 1, 1/2, 1/4: mean 7/12, (7/4)^2 / (21/16) = 7/3; equal scores accept all."""
    rate, size = rules.acceptance(np.array([0.0, -math.log(2), -math.log(4), 3.0, 3.0]), np.array([0, 3, 3, 5]), 1.0)
    assert rate == pytest.approx([7 / 12, 0, 1])
    assert size == pytest.approx([7 / 3, 0, 2])


def test_draws_are_even_and_apart() -> None:
    sequential = np.arange(200_000, dtype=np.uint64)  # the worst keys there are
    a, b = uniform(sequential, 0, "one"), uniform(sequential, 0, "other")
    assert chisquare(np.histogram(a, 100, (0, 1))[0]).pvalue > SURE
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.01
    assert abs(np.corrcoef(a, uniform(sequential, 1, "one"))[0, 1]) < 0.01
    assert a.min() > 0
    assert a.max() < 1
    g = gumbel(sequential, 0, "g")
    assert g.mean() == pytest.approx(0.5772, abs=0.015)
    assert g.std() == pytest.approx(math.pi / math.sqrt(6), abs=0.015)
    assert len(np.unique(mixed(sequential))) == len(sequential)


def test_order_of_ragged_prompts_with_ties() -> None:
    values, offsets = np.array([1.0, 3, 2, 5, 5, 5, 0, 2, 9, -1, 2]), np.array([0, 3, 3, 6, 7, 11])
    k = np.array([0, 0, 0, 9, 3, 6, 0, 5, 0, 0, 1], dtype=np.uint64)
    assert ordered(values, offsets, k).tolist() == [1, 2, 0, 4, 5, 3, 6, 8, 10, 7, 9]
    same = np.array([2.0, 2.0, 1.0, 3.0, 3.0, 3.0])
    assert ordered(same, np.array([0, 3, 6]), np.array([7, 2, 0, 5, 4, 6], dtype=np.uint64)).tolist() == [1, 0, 2, 4, 3, 5]


def test_rules_by_hand() -> None:
    found = pool([3.0, 1.0, 4.0, 2.0], [7.0, 7.0, 5.0])
    everything = [(4, 1, 3), (4, 2, 2), (3, 1, 2), (4, 3, 1), (3, 2, 1), (2, 1, 1), (7, 5, 2), (7, 5, 2)]
    assert pairs(found, chosen(found)) == [(4, 1, 3), (7, 5, 2)]
    assert pairs(found, chosen(found, method="best-median")) == [(4, 2, 2)], "the median of 7, 7, 5 is a tie with the best"
    assert sorted(pairs(found, chosen(found, method="adjacent"))) == [(2, 1, 1), (3, 2, 1), (4, 3, 1), (7, 5, 2)]
    assert sorted(pairs(found, chosen(found, method="all"))) == sorted(everything)
    assert [m for _, _, m in pairs(found, chosen(found, method="all"))] == [3, 2, 2, 1, 1, 1, 2, 2], "largest margin first"
    assert pairs(found, chosen(found, method="all", min_margin=2, max_margin=2)) == [(4, 2, 2), (3, 1, 2), (7, 5, 2), (7, 5, 2)]
    assert pairs(found, chosen(found, max_margin=2.5)) in ([(4, 2, 2), (7, 5, 2)], [(3, 1, 2), (7, 5, 2)])
    assert pairs(found, chosen(found, tie_tolerance=1)) == [(4, 1, 3), (7, 5, 2)]
    assert pairs(found, chosen(found, method="adjacent", tie_tolerance=1)) == [(7, 5, 2)]
    top = chosen(found, method="top-k", k=2)
    assert found.score[top.first].tolist() == [4, 3, 7, 7]
    picked = chosen(found, method="threshold", threshold=0.5)
    assert found.score[picked.first].tolist() == [4, 3, 7, 7], "(3 - 1) / (4 - 1) = 0.67, (2 - 1) / 3 = 0.33"


def test_labels_of_the_others() -> None:
    """What is not picked is undesirable, but not what is as good as a pick."""
    found = pool([3.0, 1.0, 3.0, 3.0, 2.0])
    c = chosen(found, method="top-k", k=2, others="undesirable")
    assert [(found.score[i], bool(good)) for i, good in zip(c.first, c.label, strict=True)] == [
        (3, True),
        (3, True),
        (2, False),
        (1, False),
    ]


def test_median_of_eight_is_the_fifth() -> None:
    found = pool([float(i) for i in range(8)])
    assert pairs(found, chosen(found, method="best-median")) == [(7, 3, 4)]


def test_best_random_is_random() -> None:
    """Every worse candidate is drawn equally often (a released max_random always takes the first)."""
    runs = 30_000
    found = Pool(np.tile([0.0, 1.0, 2.0, 9.0, 3.0], runs), np.arange(runs + 1) * 5, keys(5 * runs), np.ones(5 * runs))
    c = chosen(found, method="best-random")
    assert (c.first % 5 == 3).all()
    assert chisquare(np.bincount(c.second % 5, minlength=5)[[0, 1, 2, 4]]).pvalue > SURE
    assert not np.array_equal(c.second, chosen(found, method="best-random", seed=1).second)


def test_tournament() -> None:
    """n - 1 games; every candidate but the best loses once; who meets whom is drawn."""
    runs = 20_000
    for n in (2, 3, 5, 8):
        found = Pool(np.tile(np.arange(float(n)), runs), np.arange(runs + 1) * n, keys(n * runs), np.ones(n * runs))
        c = chosen(found, method="tournament")
        assert (np.bincount(c.prompt) == n - 1).all()
        assert (np.bincount(c.second, minlength=n * runs).reshape(runs, n) == [1] * (n - 1) + [0]).all()
    worst_loses_to = np.bincount(c.first[c.second % 8 == 0] % 8, minlength=8)[1:]  # its first game is against anyone
    assert chisquare(worst_loses_to).pvalue > SURE


def test_first_round_pairs_share_nothing() -> None:
    runs, n = 20_000, 5
    found = Pool(np.tile(np.arange(float(n)), runs), np.arange(runs + 1) * n, keys(n * runs), np.ones(n * runs))
    c = chosen(found, method="first-round")
    assert (np.bincount(c.prompt) == 2).all()
    assert np.bincount(np.concatenate([c.first, c.second])).max() == 1
    which = Counter(zip((c.first % n).tolist(), (c.second % n).tolist(), strict=True))
    assert chisquare([which[b, a] for a, b in combinations(range(n), 2)]).pvalue > SURE


def test_best_of_eight_is_worth_what_theory_says() -> None:
    """E max of 8 standard normal numbers = 1.4236; the random control has mean 0."""
    runs, sd = 50_000, 3.0
    found = Pool(np.random.default_rng(0).normal(10, sd, 8 * runs), np.arange(runs + 1) * 8, keys(8 * runs), np.ones(8 * runs))
    c = chosen(found, method="top-k")
    assert found.score[c.first].mean() - 10 == pytest.approx(1.4236 * sd, abs=4 * 0.61 * sd / math.sqrt(runs))
    assert found.score[c.control.first].mean() == pytest.approx(10, abs=4 * sd / math.sqrt(runs))


def test_control_is_even_over_the_pairs_that_are_no_ties() -> None:
    runs = 30_000
    found = Pool(np.tile([0.0, 1.0, 1.0, 4.0], runs), np.arange(runs + 1) * 4, keys(4 * runs), np.ones(4 * runs))
    for options in ({}, {"method": "all", "max_pairs": 3}):
        c = chosen(found, **options).control
        code = Counter(zip((c.first % 4).tolist(), (c.second % 4).tolist(), strict=True))
        assert set(code) == {(1, 0), (2, 0), (3, 0), (3, 1), (3, 2)}
        assert chisquare(list(code.values())).pvalue > SURE
