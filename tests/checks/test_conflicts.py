"""Rows that contradict each other, against plain definitions on small graphs."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from prefdata.checks import conflicts
from prefdata.checks.facts import Facts
from tests.checks.build import binary, pair
from tests.checks.views import facts, found

ANSWERS = "abcdef"
VOTES = st.lists(
    st.tuples(st.sampled_from("PQ"), st.sampled_from(ANSWERS), st.sampled_from(ANSWERS)).filter(lambda t: t[1] != t[2]), max_size=25
)


@given(VOTES)
def test_cycles_are_edges_whose_end_leads_back(votes: list[tuple[str, str, str]]) -> None:
    """An edge is on a cycle of the majority graph when its start can be reached from its end."""
    count = Counter(votes)
    edges = {(p, a, b) for p, a, b in votes if count[p, a, b] > count[p, b, a]}
    reach = {(p, a, b): (p, a, b) in edges for p in "PQ" for a in ANSWERS for b in ANSWERS}
    for p, k, i, j in itertools.product("PQ", ANSWERS, ANSWERS, ANSWERS):  # Warshall: the middle node is the outermost loop but one
        reach[p, i, j] |= reach[p, i, k] and reach[p, k, j]
    want = [i for i, (p, a, b) in enumerate(votes) if (p, a, b) in edges and reach[p, b, a]]
    hits = conflicts.preference_cycle(facts([pair(a, b, prompt=p) for p, a, b in votes])) if votes else []
    assert found(hits) == want
    for h in hits:
        assert h.others is not None
        for row, other in zip(h.rows.tolist(), h.others.tolist(), strict=True):
            assert (votes[row][0], votes[row][2]) == votes[other][:2]
            assert other in want


def test_a_long_chain_and_a_long_ring() -> None:
    """A chain has no cycle, a ring of the same length is one; neither is walked by recursion."""
    n = 20_000
    nodes = np.arange(n)
    for heads_, parts in ((nodes + 1, n + 1), (np.append(nodes[1:], 0), 1)):
        frame = pl.DataFrame({"prompt": np.zeros(n), "chosen": nodes, "rejected": heads_}).cast(pl.UInt64)
        assert len(found(conflicts.preference_cycle(Facts(frame, ["f"])))) == n * (parts == 1)
        assert len(set(conflicts.components(nodes, heads_, heads_.max() + 1).tolist())) == parts


def test_components_by_hand() -> None:
    """0 -> 1 -> 2 -> 0, 2 -> 3 -> 4 -> 3, 5 alone."""
    part = conflicts.components(np.array([0, 1, 2, 2, 3, 4]), np.array([1, 2, 0, 3, 4, 3]), 6).tolist()
    assert part[0] == part[1] == part[2] and part[3] == part[4]
    assert len(set(part)) == 3


@given(VOTES)
def test_swapped_rows_are_those_with_a_reversed_row(votes: list[tuple[str, str, str]]) -> None:
    want = [i for i, (p, a, b) in enumerate(votes) if (p, b, a) in votes]
    hits = conflicts.swapped_duplicate(facts([pair(a, b, prompt=p) for p, a, b in votes])) if votes else []
    assert found(hits) == want
    for h in hits:
        assert h.others is not None
        assert [votes.index((p, b, a)) for p, a, b in (votes[i] for i in h.rows.tolist())] == h.others.tolist()


def test_contradictions_are_swaps_only_when_read_loosely() -> None:
    """Rows 0 and 1 are exact swaps; 3 contradicts both of 0's kind; the prompt of 4 differs in case only, that of 5 in a word."""
    rows = [
        pair("Yes", "No"),
        pair("No", "Yes"),
        pair("Yes", "Maybe"),
        pair("no.", "YES"),
        pair("No!", "Yes", prompt="q"),
        pair("No", "Yes", "R"),
    ]
    assert found(conflicts.swapped_duplicate(facts(rows))) == [0, 1]
    (hits,) = conflicts.contradiction(facts(rows))
    assert (hits.rows.tolist(), hits.others is not None and hits.others.tolist()) == ([3, 4], [0, 0])


def test_both_labels_names_the_other_row() -> None:
    rows = [binary("a", True), binary("b", True), binary("a", False), binary("a", True, prompt="R")]
    (hits,) = conflicts.both_labels(facts(rows, "binary"))
    assert (hits.rows.tolist(), hits.others is not None and hits.others.tolist()) == ([0, 2], [2, 0])
