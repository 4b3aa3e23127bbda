"""Rules of PD3, against plain definitions."""

from __future__ import annotations

import itertools
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from prefdata.checks import lists
from tests.checks.build import binary, listwise, turn
from tests.checks.views import found, view


def is_ranking(ranks: list[float]) -> bool:
    """By the definition of each way to count ties: ranks are 1 + those below, those not above, the mean of the two, 1 + levels below."""
    below = [sum(s < r for s in ranks) for r in ranks]
    upto = [sum(s <= r for s in ranks) for r in ranks]
    levels = [len({s for s in ranks if s < r}) for r in ranks]
    ways = zip(*((b + 1, u, (b + 1 + u) / 2, d + 1) for b, u, d in zip(below, upto, levels, strict=True)), strict=True)
    return any(list(way) == ranks for way in ways)


@given(st.lists(st.lists(st.sampled_from([0, 1, 1.5, 2, 2.5, 3, 4, 5]), min_size=1, max_size=5), min_size=1, max_size=10))
def test_rankings(records: list[list[float]]) -> None:
    rows = [listwise(*(f"t{i}" for i in range(len(r))), ranks=[float(x) for x in r]) for r in records]
    assert found(lists.rank_gaps(view(rows, "listwise"))) == [i for i, r in enumerate(records) if not is_ranking(r)]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=7), st.sampled_from(lists.METHODS))
def test_every_way_to_rank_is_a_ranking(values: list[int], method: Any) -> None:
    ranks = pl.Series(values).rank(method).to_list()
    assert not lists.rank_gaps(view([listwise(*(f"t{i}" for i in range(len(values))), ranks=[float(r) for r in ranks])], "listwise"))


def test_ranks_of_some_candidates() -> None:
    rows = [listwise("a", "b", ranks=[None, 1]), listwise("a", "b"), listwise("a", "b", ranks=[1, 1]), listwise("a", "b", ranks=[1, 3])]
    assert [(h.rows.tolist(), h.note) for h in lists.rank_gaps(view(rows, "listwise"))] == [
        ([3], "not 1, 2, 3, … with ties"),
        ([0], "some candidates have none"),
    ]


VALUE = st.none() | st.sampled_from([1.0, 2.0, 3.0])


@given(st.lists(st.lists(st.tuples(VALUE, VALUE), min_size=1, max_size=5), min_size=1, max_size=8))
def test_scores_and_ranks(records: list[list[tuple[float | None, float | None]]]) -> None:
    """Against the definitions, candidate by candidate."""
    rows = []
    for r in records:
        row = listwise(*(f"t{i}" for i in range(len(r))))
        for c, (score, rank) in zip(row["completions"], r, strict=True):
            c |= {"score": score, "rank": rank}
        rows.append(row)
    v = view(rows, "listwise")
    against, few = [], []
    for i, r in enumerate(records):
        both = [(s, k) for s, k in r if s is not None and k is not None]
        against += [i] * any(k < m and s < t for (s, k), (t, m) in itertools.permutations(both, 2))
        decided = [(s, k) for s, k in r if s is not None or k is not None]
        comparable = all(s is not None for s, _ in decided) or all(k is not None for _, k in decided)
        few += [i] * (len(r) > 1 and (len(decided) < 2 or not comparable))
    assert found(lists.score_against_rank(v)) == against
    assert found(lists.undecided(v)) == few


def test_score_ranges() -> None:
    v = view([listwise("a", "b", scores=[1, 5]), listwise("a", "b", scores=[0, 9]), listwise("a", "b", scores=[None, 3])], "listwise")
    assert not lists.score_range(v)
    assert found(lists.score_range(v, low=1)) == found(lists.score_range(v, high=5)) == [1]
    one = view([binary(score=7.0), binary(score=2.0), binary(score=None)], "binary")
    assert [(h.rows.tolist(), h.field) for h in lists.score_range(one, 1, 5)] == [([0], "score")]
    assert not lists.score_range(view([binary()], "binary"), 1, 5)


def test_equal_candidates() -> None:
    def calls(arguments: str) -> list[dict[str, Any]]:
        function = {"name": "f", "arguments": arguments}
        return [{**turn("assistant", "x"), "tool_calls": [{"id": "1", "type": "function", "function": function}]}]

    rows = [listwise("a", "b", "a"), listwise("a", "b", "a", scores=[1, 2, 2]), listwise("a", "b"), listwise("x", "y")]
    for c, arguments in zip(rows[3]["completions"], ("{}", "[]"), strict=True):
        c["messages"] = calls(arguments)
    hits = lists.equal_candidates(view(rows, "listwise"))
    assert [(h.rows.tolist(), h.note) for h in hits] == [([1], "with different scores or ranks"), ([0], None)]
