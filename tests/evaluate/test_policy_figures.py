"""The functions behind eval policy on arrays: the logistic model finds what it was drawn from, sides can be changed, ties are halves."""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats  # type: ignore[import-untyped]

from prefdata.errors import UsageError
from prefdata.evaluate.policy_figures import figures, means, sign_test, t_interval, t_quantile
from prefdata.evaluate.policy_length import length_controlled
from prefdata.evaluate.policy_options import EvalPolicyOptions
from prefdata.evaluate.policy_steps import check
from prefdata.evaluate.policy_table import by_scores, by_verdicts, pairs_of, with_part

THETA, PHI = 0.4, 1.3


def drawn(n: int, seed: int = 0, ties: float = 0.0) -> tuple[Any, Any]:
    """Lengths, and outcomes of the model with THETA and PHI."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(20, 3000, (n, 2)).astype(float)
    d = lengths[:, 1] - lengths[:, 0]
    won = (rng.random(n) < special.expit(THETA + PHI * np.tanh(d / d.std()))).astype(float)
    return lengths, np.where(rng.random(n) < ties, 0.5, won)


def test_the_logistic_model_finds_its_parameters() -> None:
    lengths, won = drawn(40_000)
    found = length_controlled(won, lengths, np.arange(len(won)))
    assert found is not None
    assert found["theta"] == pytest.approx(THETA, abs=0.05)
    assert found["phi"] == pytest.approx(PHI, abs=0.08)
    assert found["value"] == pytest.approx(1 / (1 + exp(-THETA)), abs=0.012)
    assert won.mean() == pytest.approx(found["value"], abs=0.03)  # lengths are the same on average, so length control changes little


def test_length_alone_wins_nothing_at_equal_length() -> None:
    """Where the longer one is preferred and tuned is nearly always longer, the plain win rate is far above that at equal length."""
    rng = np.random.default_rng(1)
    lengths = np.stack([rng.integers(100, 500, 5000), rng.integers(300, 900, 5000)], 1).astype(float)
    d = lengths[:, 1] - lengths[:, 0]
    won = (rng.random(5000) < special.expit(2 * np.tanh(d / d.std()))).astype(float)
    found = length_controlled(won, lengths, np.arange(5000))
    assert found is not None
    assert won.mean() > 0.75
    assert found["low"] < 0.5 < found["high"]
    assert found["value"] == pytest.approx(0.5, abs=0.06)


def test_intervals_hold_what_they_say() -> None:
    """95 % of 400 intervals have the truth in them, and with every comparison given three times as one prompt they are no narrower."""
    hits = 0
    for seed in range(400):
        lengths, won = drawn(200, seed)
        found = length_controlled(won, lengths, np.arange(200))
        assert found is not None
        hits += found["low"] <= special.expit(THETA) <= found["high"]
    assert 365 <= hits <= 396  # 380 and four standard deviations
    lengths, won = drawn(200)
    once = length_controlled(won, lengths, np.arange(200))
    thrice = length_controlled(np.repeat(won, 3), np.repeat(lengths, 3, 0), np.repeat(np.arange(200), 3))
    assert once and thrice
    assert thrice["high"] - thrice["low"] == pytest.approx(once["high"] - once["low"], rel=0.03)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, float("nan")]), st.integers(0, 5000), st.integers(0, 5000)), min_size=1, max_size=40)
)
def test_sides_can_be_changed(rows: list[tuple[float, int, int]]) -> None:
    """wr(a, b) = 1 - wr(b, a), whatever the data; the value lies in its interval, and the interval in (0, 1)."""
    won, *lengths = (np.array(column, float) for column in zip(*rows, strict=True))
    both = np.stack(lengths, 1)
    at = np.arange(len(won)) // 2
    one, other = length_controlled(won, both, at), length_controlled(1 - won, both[:, ::-1], at)
    assert (one is None) == (other is None) == bool(np.isnan(won).all())
    if one and other:
        assert one["value"] == pytest.approx(1 - other["value"], abs=1e-6)
        assert (one["low"], one["high"]) == pytest.approx((1 - other["high"], 1 - other["low"]), abs=1e-6)
        assert 0 <= one["low"] <= one["value"] <= one["high"] <= 1


def test_ends_of_the_scale() -> None:
    """All ties give one half; all wins give nearly 1 and no certainty; equal lengths everywhere leave the plain win rate."""
    lengths, at = drawn(100)[0], np.arange(100)
    ties = length_controlled(np.full(100, 0.5), lengths, at)
    wins = length_controlled(np.ones(100), lengths, at)
    flat = length_controlled(np.repeat([1.0, 0.0, 0.5, 1.0], 25), np.full((100, 2), 70.0), at)
    assert ties and wins and flat
    assert ties["value"] == 0.5
    assert wins["value"] > 0.99
    assert wins["low"] < 0.9
    assert flat["value"] == pytest.approx(0.625, abs=1e-4)
    assert (flat["phi"], flat["std_length"]) == (None, 0.0)


@pytest.mark.parametrize(("df", "off"), [(1, 1e-12), (2, 1e-12), (3, 0.008), (5, 0.0012), (10, 1e-4), (30, 1e-6), (1000, 1e-9)])
def test_quantiles_of_student(df: int, off: float) -> None:
    assert t_quantile(df) == pytest.approx(stats.t.ppf(0.975, df), rel=off)


def test_means_and_signs() -> None:
    nan = float("nan")
    values, prompt = np.array([1.0, 0.0, 0.5, nan, 1.0, nan]), np.array([0, 0, 1, 1, 2, 3])
    assert means(values, prompt).tolist() == [0.5, 0.5, 1.0]
    assert sign_test(np.array([1.0, 2.0, 3.0, -1.0, 0.0])) == {"for": 3, "against": 1, "even": 1, "p_value": pytest.approx(10 / 16)}
    assert t_interval(np.array([1.0])) is None


def turns(text: str, role: str = "assistant") -> list[dict[str, Any]]:
    return [{"role": role, "content": text}]


def listed(prompt: str, base: list[str], tuned: list[str], scores: dict[str, float | None], **more: Any) -> dict[str, Any]:
    """A list as generate and score write it: equal texts are one candidate, each sample says how it ended."""
    about = [
        {"annotator": who, "kind": "source", "completions": [text], "aspect": "finish_reason", "rationale": "stop"}
        for who, texts in (("base", base), ("tuned", tuned))
        for text in texts
    ]
    completions = [{"id": t, "messages": turns(t), "score": scores[t]} for t in dict.fromkeys([*base, *tuned])]
    return {"prompt": turns(prompt, "user"), "completions": completions, "annotations": about, **more}


LISTS = [
    listed("p", ["a", "b"], ["b", "c"], {"a": 1.0, "b": 2.0, "c": 2.0}, meta='{"topic": "x"}'),  # a < b, b = c
    listed("q", ["a"], ["a"], {"a": 3.0}, meta='{"topic": "y"}'),
    listed("r", ["a", "b"], ["c"], {"a": 3.0, "b": None, "c": 1.0}, meta=None),
    listed("s", ["a"], ["b"], {"a": 3.0, "b": None}, meta="[]"),
]


def test_the_table_by_hand() -> None:
    lists = pl.DataFrame(LISTS, infer_schema_length=None)
    table = by_scores(lists, 0.0)
    wanted = [
        ("p", 0, "a", "b", 1.0, "win", None),
        ("p", 1, "b", "c", 0.0, "tie", "tie"),
        ("q", 0, "a", "a", 0.0, "tie", "identical"),
        ("r", 0, "a", "c", -2.0, "loss", None),
        ("r", 1, "b", None, None, None, "no-answer-tuned"),
        ("s", 0, "a", "b", None, None, "no-score"),
    ]
    columns = ("prompt", "sample", "base", "tuned", "difference", "outcome", "why")
    found = [(r[0][0]["content"], *r[1:]) for r in table.select(columns).rows()]
    assert found == wanted
    f = figures(table)
    assert (f["prompts"], f["comparisons"], f["decided"]) == (4, 6, 4)
    assert f["without"] == {"no-answer-tuned": 1, "no-score": 1}
    assert f["ties"] == {"identical": 1, "tie": 1}
    assert f["win_rate"]["value"] == (1 + 0.5 + 0.5 + 0) / 4
    assert f["sign_test"] == {"for": 1, "against": 1, "even": 1, "p_value": 1.0}
    assert f["score"]["difference"]["mean"] == pytest.approx((0.5 + 0 - 2) / 3)
    assert f["identical"] == {**f["identical"], "value": 1 / 5, "n": 5}
    assert f["ends"]["tuned"]["answers"] == 5
    assert by_scores(lists, 1.0)["outcome"].to_list() == ["tie", "tie", "tie", "loss", None, None]
    parts = by_scores(with_part(lists, "topic"), 0.0)
    assert parts["part"].to_list() == ["x", "x", "y", None, None, None]
    with pytest.raises(UsageError, match="--by colour: no record has such a column or key of meta; there are: source, split, topic"):
        with_part(lists, "colour")


def test_verdicts_by_hand(tmp_path: Any) -> None:
    """Pairs are the different answers that are there, tuned as chosen; what is said of one reaches its row by its id."""
    lists = pl.DataFrame(LISTS, infer_schema_length=None)
    path = str(tmp_path / "pairs.parquet")
    assert pairs_of(lists, path) == 4
    pairs = pl.read_parquet(path)
    assert [(r["rejected"][0]["content"], r["chosen"][0]["content"]) for r in pairs.to_dicts()] == [
        ("a", "b"),
        ("b", "c"),
        ("a", "c"),
        ("a", "b"),
    ]
    said = pl.DataFrame(
        {
            "pair": pairs["id"],
            "outcome": ["win", "tie", None, "loss"],
            "p_tuned": [0.9, 0.5, None, 0.2],
            "why": [None, "flip", "no-verdict", None],
        }
    )
    table = by_verdicts(lists, said[[2, 0, 3]])
    assert table.select("outcome", "p_tuned", "why").rows() == [
        ("win", 0.9, None),
        (None, None, "not-judged"),
        ("tie", None, "identical"),
        (None, None, "no-verdict"),
        (None, None, "no-answer-tuned"),
        ("loss", 0.2, None),
    ]
    assert "score_base" not in table.columns


def test_tool_calls_are_part_of_the_text() -> None:
    call = {"id": None, "type": "function", "function": {"name": "find", "arguments": '{"x": 1}'}}
    plain = {"role": "assistant", "content": "Hello", "tool_calls": None}
    calling = {"role": "assistant", "content": "", "tool_calls": [call, call]}
    row = listed("p", ["a"], ["b"], {"a": 1.0, "b": 2.0})
    row["completions"] = [{"id": i, "messages": [m], "score": s} for i, m, s in (("a", plain, 1.0), ("b", calling, 2.0))]
    table = by_scores(pl.DataFrame([row], infer_schema_length=None), 0.0)
    assert table.select("base", "tuned", "length_tuned").row(0) == ("Hello", 'find {"x": 1}\nfind {"x": 1}', 27)


def test_what_cannot_be_compared_is_said_together() -> None:
    with pytest.raises(UsageError) as e:
        check(EvalPolicyOptions.model_validate({"base": "M", "tuned": "M", "tuned_server": "http://b/v1"}))
    said = str(e.value)
    assert "compare by what? --reward-model FOLDER, --judge NAME" in said
    assert "--base and --tuned are both 'M': serve the two under different names" in said
