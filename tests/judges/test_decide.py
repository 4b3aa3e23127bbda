"""Verdicts to pairs, by policy."""

from __future__ import annotations

from itertools import combinations, permutations
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefdata.judges.decide import Choice, choose
from prefdata.judges.frames import ANNOTATIONS, Annotations, about_two, annotated, oriented
from prefdata.judges.options import LabelOptions
from prefdata.judges.settle import Settled
from prefdata.schema.ids import record_id
from prefdata.schema.records import Pair

FIRST, SECOND, TIE = Settled("first", 0.9, None), Settled("second", 0.2, None), Settled("tie", 0.5, "tie")
FLIP, NONE, HARD = Settled("tie", 0.5, "flip"), Settled("undecided", None, "cut-off"), Settled("first", None, None)
IDS = ("a", "b", "c", "d")


def options(**given: Any) -> LabelOptions:
    return LabelOptions(model="m", **{"decide": "soft", **given})


@pytest.mark.parametrize(
    ("found", "given", "expected"),
    [
        (FIRST, {}, [Choice(0, 1, 0.9)]),
        (SECOND, {}, [Choice(1, 0, 0.8)]),
        (SECOND, {"decide": "hard"}, [Choice(1, 0, None)]),
        (TIE, {}, "tie"),
        (FLIP, {}, "flip"),
        (TIE, {"decide": "hard"}, "tie"),
        (FLIP, {"ties": "soft"}, [Choice(0, 1, 0.5)]),
        (NONE, {"ties": "soft"}, "cut-off"),
        (HARD, {}, "no-probability"),
        (HARD, {"decide": "hard"}, [Choice(0, 1, None)]),
    ],
)
def test_one_comparison(found: Settled, given: dict[str, Any], expected: Any) -> None:
    chosen, lost = choose({(0, 1): found}, ("chosen", "rejected"), options(**given))
    assert (chosen if chosen else "".join(lost)) == expected
    assert len(chosen) + lost.total() == 1


def test_a_record_without_comparisons() -> None:
    assert choose({}, ("a",), options()) == ([], {"one-candidate": 1})


def judged(quality: dict[int, int]) -> dict[tuple[int, int], Settled]:
    """All comparisons of candidates by their quality; 0 is a candidate that nothing is known of."""
    out = {}
    for i, j in combinations(sorted(quality), 2):
        a, b = quality[i], quality[j]
        out[i, j] = NONE if not a * b else TIE if a == b else FIRST if a > b else SECOND
    return out


def test_best_and_worst() -> None:
    """3 > 2 = 2 > 1; a candidate without any verdict is neither."""
    assert choose(judged({0: 2, 1: 3, 2: 1, 3: 2}), IDS, options(pairs="best-worst"))[0] == [Choice(1, 2, 0.9)]
    assert choose(judged({0: 2, 1: 3, 2: 0}), IDS, options(pairs="best-worst"))[0] == [Choice(1, 0, 0.8)]
    assert choose(judged({0: 2, 1: 2, 2: 2}), IDS, options(pairs="best-worst")) == ([], {"tie": 1})
    assert choose(judged({0: 2, 1: 0, 2: 0}), IDS, options(pairs="best-worst")) == ([], {"cut-off": 1})


@given(st.lists(st.integers(0, 4), min_size=2, max_size=4), st.sampled_from(["all", "best-worst"]), st.sampled_from(["drop", "soft"]))
def test_the_order_of_candidates_does_not_matter(quality: list[int], pairs: str, ties: str) -> None:
    """Pairs are the same, by id, however the candidates stand in the record."""
    seen = set()
    for order in permutations(range(len(quality))):
        ids = [IDS[k] for k in order]
        chosen, lost = choose(judged({i: quality[k] for i, k in enumerate(order)}), ids, options(pairs=pairs, ties=ties))
        found = frozenset((ids[c.better], ids[c.worse], None if c.p is None else round(c.p, 9) == 0.5) for c in chosen)
        assert all(quality[IDS.index(a)] >= quality[IDS.index(b)] for a, b, _ in found)
        seen.add((found, frozenset(lost.items())))
    assert len(seen) == 1


def annotation(*names: str, **more: Any) -> dict[str, Any]:
    base = dict.fromkeys(f.name for f in ANNOTATIONS.inner.fields)  # type: ignore[attr-defined]
    return {**base, "annotator": "x", "kind": "judge", "completions": list(names), **more}


def column(*rows: list[dict[str, Any]]) -> pl.Series:
    made = Annotations()
    for row in rows:
        made.add(row)
    return made.series()


def test_annotations_are_put_behind_those_that_are_there() -> None:
    a, b = annotation("chosen", outcome="first"), annotation("rejected", score=1.5)
    df = pl.DataFrame({"annotations": pl.Series([[a], None, []], dtype=ANNOTATIONS)})
    assert annotated(df, column([b], [b, a], []))["annotations"].to_list() == [[a, b], [b, a], []]
    assert annotated(df.clear(), column())["annotations"].to_list() == []


def test_turning_pairs() -> None:
    """A turned pair has the content of the same pair written the other way, and the id of that."""
    said = [[annotation("chosen", "rejected", outcome="second")], [annotation("rejected", score=2.0), annotation()]]
    texts = [("p", "x", "y"), ("q", "v", "w")]
    rows = [
        {
            "id": "0" * 32,
            "prompt": [{"role": "user", "content": p}],
            "chosen": [{"role": "assistant", "content": c}],
            "rejected": [{"role": "assistant", "content": r}],
            "margin": 1.0,
            "p_chosen": 0.6,
        }
        for p, c, r in texts
    ]
    df = pl.DataFrame(rows).with_columns(pl.Series("annotations", said, dtype=ANNOTATIONS))
    out = oriented(df, [True, False], [0.7, 0.9]).to_dicts()
    assert [(r["chosen"][0]["content"], r["rejected"][0]["content"]) for r in out] == [("y", "x"), ("v", "w")]
    assert [(r["margin"], r["p_chosen"]) for r in out] == [(None, 0.7), (1.0, 0.9)]
    assert out[0]["annotations"] == [annotation("rejected", "chosen", outcome="second")]
    assert out[1]["annotations"] == said[1]
    for r in out:
        assert r["id"] == record_id(Pair.model_validate(r))
    assert [r["p_chosen"] for r in oriented(df, [True, False], None).to_dicts()] == [None, None]


def test_annotations_about_two() -> None:
    said = [annotation("i", "j"), annotation("j", "i"), annotation("i", "k"), annotation("i", score=1.0), annotation()]
    assert [a["completions"] for a in about_two(said, "j", "i")] == [["rejected", "chosen"], ["chosen", "rejected"], ["rejected"]]
