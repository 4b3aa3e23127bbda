"""What holds for every rule, on a hundred thousand random prompts: no candidate against itself, no pair against the scores, no tie, every
limit kept, every prompt accounted for, and nothing that depends on the order of the candidates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from prefdata.sampling.select_choose import Chosen, Pool, choose
from prefdata.sampling.select_draws import ends
from prefdata.sampling.select_length import Line, z_score
from prefdata.sampling.select_limits import CODES, NAMES
from prefdata.sampling.select_options import SelectOptions

PROMPTS = 5_000
"""Of each test; times the 26 sets of options it makes 130,000."""

PAIRS: list[dict[str, Any]] = [
    {},
    {"max_margin": 2.5},
    {"min_margin": 2.0, "tie_tolerance": 1.0},
    {"method": "best-random", "seed": 3},
    {"method": "best-random", "max_margin": 2.0, "min_margin": 1.0},
    {"method": "best-median", "tie_tolerance": 0.5},
    {"method": "adjacent"},
    {"method": "adjacent", "max_pairs": 2, "max_uses": 1},
    {"method": "all"},
    {"method": "all", "max_uses": 2, "max_pairs": 3},
    {"method": "all", "temperature": 1.5, "min_confidence": 0.8, "max_pairs": 4},
    {"method": "tournament", "max_uses": 2},
    {"method": "tournament", "max_pairs": 1, "seed": 2**62},
    {"method": "first-round"},
    {"method": "rso", "k": 4},
    {"method": "rso", "k": 5, "beta": 3.0, "pairing": "tournament", "max_margin": 4.0},
    {"method": "rso-paper", "k": 4, "beta": 1.0},
    {"length_control": "z-score"},
    {"length_control": "z-score", "method": "all", "length_weight": 2.0},
    {"length_control": "residual", "method": "tournament"},
    {"length_control": "match", "length_tolerance": 0.2},
    {"length_control": "match", "method": "best-random", "length_tolerance": 0.5},
]
PICKS: list[dict[str, Any]] = [
    {"method": "top-k", "k": 2, "others": "undesirable"},
    {"method": "threshold", "threshold": 0.6, "others": "undesirable", "tie_tolerance": 1.0},
    {"method": "rso", "to": "binary", "k": 3},
    {"method": "top-k", "length_control": "z-score"},
]


def random_pool(seed: int) -> Pool:
    """Prompts of 0 to 9 candidates; half of them have scores of 0 to 3, so that ties and prompts of equal scores are common."""
    rng = np.random.default_rng(seed)
    n = rng.integers(0, 10, PROMPTS)
    whole = rng.random(PROMPTS).repeat(n) < 0.5
    score = np.where(whole, rng.integers(0, 4, n.sum()), rng.normal(0, 2, n.sum()))
    return Pool(score, ends(n), rng.integers(0, 2**64, n.sum(), dtype=np.uint64), rng.integers(1, 400, n.sum()).astype(float))


def permuted(pool: Pool, seed: int) -> tuple[Pool, Any]:
    """The candidates of each prompt in another order, and where each stood."""
    owner = np.repeat(np.arange(PROMPTS), np.diff(pool.offsets))
    order = np.lexsort((np.random.default_rng(seed).random(len(owner)), owner))
    return Pool(pool.score[order], pool.offsets, pool.key[order], pool.length[order]), order


def value_of(pool: Pool, o: SelectOptions, line: Line) -> Any:
    """What decides."""
    if o.length_control == "z-score":
        return z_score(pool.score, pool.offsets) - o.length_weight * z_score(pool.length, pool.offsets)
    return line.residual(pool.score, pool.length) if o.length_control == "residual" else pool.score


def same(pool: Pool, a: Chosen, b: Chosen, order: Any) -> None:
    """`b`, chosen from the permuted pool, is `a`."""
    assert np.array_equal(a.prompt, b.prompt)
    assert np.array_equal(a.first, order[b.first])
    assert np.array_equal(a.second, order[b.second] if len(b.second) else b.second)
    assert np.array_equal(a.margin, b.margin)
    assert np.array_equal(a.why, b.why)
    assert np.array_equal(a.label, b.label)
    assert np.array_equal(a.control.first, order[b.control.first])


def of_one_prompt(pool: Pool, prompt: Any, *at: Any) -> None:
    owner = np.repeat(np.arange(PROMPTS), np.diff(pool.offsets))
    for rows in at:
        assert np.array_equal(owner[rows], prompt)


@pytest.mark.parametrize("options", PAIRS, ids=str)
def test_pairs(options: dict[str, Any]) -> None:
    o = SelectOptions(**options)
    pool = random_pool(PAIRS.index(options))
    line = Line.of(pool.score, pool.length)
    c = choose(pool, o, line)
    value, a, b = value_of(pool, o, line), c.first, c.second
    of_one_prompt(pool, c.prompt, a, b)
    assert len(a) > PROMPTS / 20, "the case is not empty"
    assert (a != b).all()
    assert (pool.score[a] > pool.score[b]).all(), "never against the scores as given"
    assert np.allclose(value[a] - value[b], c.margin, atol=1e-9)
    assert (c.margin > o.tie_tolerance).all()
    assert (c.margin >= o.min_margin).all()
    assert o.max_margin is None or (c.margin <= o.max_margin).all()
    assert len(np.unique(np.stack([a, b]), axis=1).T) == len(a), "no pair twice"
    many, uses = np.bincount(c.prompt, minlength=PROMPTS), np.bincount(np.concatenate([a, b]), minlength=len(pool.score))
    assert many.max() <= (o.max_pairs or np.inf)
    assert uses.max() <= (o.max_uses or np.inf)
    if o.length_control == "match":
        assert (np.abs(pool.length[a] - pool.length[b]) <= o.length_tolerance * np.maximum(pool.length[a], pool.length[b])).all()
    assert np.array_equal(c.why == 0, many > 0), "every prompt has pairs or a reason"
    size, flat = np.diff(pool.offsets), np.array([len(set(p)) < 2 for p in np.split(pool.score, pool.offsets[1:-1])])
    assert np.array_equal(c.why == CODES["one-candidate"], size < 2)
    if not o.tie_tolerance and o.length_control in ("none", "match"):
        assert (c.why[flat & (size > 1)] == CODES["tie"]).all(), "all-equal prompts say so"
    assert (c.prompt[1:] >= c.prompt[:-1]).all()
    assert (c.margin[1:] <= c.margin[:-1])[c.prompt[1:] == c.prompt[:-1]].all()
    x = c.control
    of_one_prompt(pool, x.prompt, x.first, x.second)
    assert np.array_equal(np.bincount(x.prompt, minlength=PROMPTS), many), "the control has as many of each prompt"
    assert (pool.score[x.first] > pool.score[x.second]).all()
    assert (x.margin > o.tie_tolerance).all()
    assert len(np.unique(np.stack([x.first, x.second]), axis=1).T) == len(a)
    other, order = permuted(pool, 1)
    same(pool, c, choose(other, o, line), order)


@pytest.mark.parametrize("options", PICKS, ids=str)
def test_picks(options: dict[str, Any]) -> None:
    o = SelectOptions(**options)
    pool = random_pool(100 + PICKS.index(options))
    line = Line.of(pool.score, pool.length)
    c = choose(pool, o, line)
    value = value_of(pool, o, line)
    of_one_prompt(pool, c.prompt, c.first)
    assert len(np.unique(c.first)) == len(c.first) > PROMPTS / 20
    many = np.bincount(c.prompt[c.label], minlength=PROMPTS)
    assert np.array_equal(c.why == 0, many > 0)
    assert set(np.unique(c.why)) <= {0, CODES["one-candidate"], CODES["tie"]}, NAMES
    least, most = np.full(PROMPTS, np.inf), np.full(PROMPTS, -np.inf)
    np.minimum.at(least, c.prompt[c.label], value[c.first[c.label]])
    np.maximum.at(most, c.prompt[~c.label], value[c.first[~c.label]])
    assert (least - most > o.tie_tolerance)[many > 0].all(), "what is called bad is worse than what is called good"
    if o.method == "top-k":
        size = np.diff(pool.offsets)
        assert np.array_equal(many[c.why == 0], np.minimum(o.size, size)[c.why == 0])
    assert np.array_equal(np.bincount(c.control.prompt, minlength=PROMPTS), many)
    assert len(np.unique(c.control.first)) == len(c.control.first)
    other, order = permuted(pool, 2)
    same(pool, c, choose(other, o, line), order)


def test_best_and_worst_are_the_best_and_the_worst() -> None:
    pool = random_pool(7)
    c = choose(pool, SelectOptions())
    low, high = (np.array([f(p) if len(p) else 0 for p in np.split(pool.score, pool.offsets[1:-1])]) for f in (min, max))
    assert np.array_equal(pool.score[c.first], high[c.prompt])
    assert np.array_equal(pool.score[c.second], low[c.prompt])


@pytest.mark.parametrize("options", [{"max_margin": 3.0}, {"length_control": "match", "length_tolerance": 0.3}], ids=str)
def test_limits_leave_the_widest_pair(options: dict[str, Any]) -> None:
    """best-worst under limits is the widest permitted pair of the prompt, found by trying all."""
    o, pool = SelectOptions(**options), random_pool(9)
    c = choose(pool, o)
    found = dict(zip(c.prompt.tolist(), c.margin.tolist(), strict=True))
    for p in range(300):
        s, x = (v[pool.offsets[p] : pool.offsets[p + 1]] for v in (pool.score, pool.length))
        near = np.abs(x[:, None] - x) <= o.length_tolerance * np.maximum(x[:, None], x) if o.length_control == "match" else True
        gap = np.where(near, s[:, None] - s, 0)
        gap = gap[(gap > 0) & (gap <= (o.max_margin or np.inf))]
        assert found.get(p) == (gap.max() if gap.size else None)


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many candidates go through together."""
    pool = random_pool(11)
    for options in ({"method": "all", "max_pairs": 2}, {"method": "rso", "k": 4}):
        o = SelectOptions(**options)
        whole = choose(pool, o)
        monkeypatch.setattr("prefdata.sampling.select_choose.CANDIDATES", 50)
        monkeypatch.setattr("prefdata.sampling.select_choose.PAIRS", 50)
        same(pool, whole, choose(pool, o), np.arange(len(pool.score)))
        monkeypatch.undo()


def test_lines_add_up() -> None:
    """The line of the whole data is that of numpy, however the data is cut."""
    pool = random_pool(5)
    slope = np.polyfit(np.log(pool.length), pool.score, 1)[0]
    line = Line()
    for part in np.array_split(np.arange(len(pool.score)), 13):
        line = line.plus(Line.of(pool.score[part], pool.length[part]))
    assert line.plus(Line()).slope == pytest.approx(slope, rel=1e-9)
    assert Line().plus(line) == line
    left = line.residual(pool.score, pool.length)
    assert np.polyfit(np.log(pool.length), left, 1)[0] == pytest.approx(0, abs=1e-9)
    assert Line.of(np.array([1.0, 2.0]), np.array([5.0, 5.0])).slope == 0


def test_length_control_by_hand() -> None:
    """z(r) = 1, 0, -1 times sqrt(3/2), z(len) = 1, -1, 0 times sqrt(3/2): with weight 1/2 the values are 1/2, 1/2, -1 times sqrt(3/2)."""
    pool = Pool(np.array([3.0, 2.0, 1.0]), np.array([0, 3]), np.arange(3, dtype=np.uint64), np.array([300.0, 100.0, 200.0]))
    c = choose(pool, SelectOptions(method="all", length_control="z-score"))
    assert sorted(zip(c.first.tolist(), c.second.tolist(), strict=True)) == [(0, 2), (1, 2)], "the two best are a tie now"
    assert c.margin == pytest.approx([1.5 * 1.5**0.5] * 2)
    turned = SelectOptions(length_control="z-score", length_weight=2.5, against_score=True)
    assert choose(pool, turned).first.tolist() == [1]
    assert choose(pool, turned).second.tolist() == [0], "chosen has the lower score as given: only where that was asked for"
    kept = choose(pool, turned.model_copy(update={"against_score": False}))
    assert (kept.first.tolist(), kept.second.tolist()) == ([1], [2])
