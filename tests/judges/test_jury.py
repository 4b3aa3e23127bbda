"""Several judges, one verdict."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefdata.errors import UsageError
from prefdata.judges.jury import MOST, SWAPPED, Votes, combine, dawid_skene, turned
from prefdata.judges.settle import Settled
from prefdata.llm.mock_prompt import Asked
from prefdata.llm.mock_server import serving
from tests.judges.labelling import pair, qualities, rows_of, run, store, truthful, words

FIRST, SECOND, TIE = Settled("first", 0.9, None), Settled("second", 0.2, None), Settled("tie", 0.5, "tie")
FLIP, NONE, HARD = Settled("tie", 0.5, "flip"), Settled("undecided", None, "cut-off"), Settled("first", None, None)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([FIRST, FIRST, SECOND], Settled("first", 2.5 / 4, None)),
        ([SECOND, NONE, NONE], Settled("second", 0.5 / 2, None)),
        ([FIRST, SECOND], Settled("tie", 0.5, "split")),
        ([FIRST, SECOND, TIE], Settled("tie", 0.5, "split")),
        ([FIRST, TIE, TIE], Settled("tie", 0.5, "tie")),
        ([FIRST, FLIP, FLIP], Settled("tie", 0.5, "flip")),
        ([FIRST, FIRST, TIE], Settled("first", 3 / 4, None)),
        ([NONE, NONE], Settled("undecided", None, "cut-off")),
        ([HARD], HARD),
    ],
)
def test_majority(said: list[Settled], expected: Settled) -> None:
    assert combine(said, [1.0] * len(said), "majority", {}) == expected


def test_weights() -> None:
    """0.9 and 0.2 with weights 1 and 3: 0.375; a verdict without a probability counts 3/4."""
    found = combine([FIRST, SECOND], [1.0, 3.0], "weighted", {})
    assert found.outcome == "second"
    assert found.p == pytest.approx(0.375)
    found = combine([HARD, SECOND, NONE], [1.0, 1.0, 9.0], "weighted", {})
    assert found.outcome == "second"
    assert found.p == pytest.approx(0.475)
    even = combine([Settled("first", 0.7, None), Settled("second", 0.3, None)], [1.0, 1.0], "weighted", {})
    assert even == Settled("tie", 0.5, "split")


OUTCOMES = st.sampled_from([FIRST, SECOND, TIE, FLIP, NONE, HARD])


def mirrored(s: Settled) -> Settled:
    names: dict[str, Any] = {"first": "second", "second": "first"}
    return Settled(names.get(s.outcome, s.outcome), None if s.p is None else 1 - s.p, s.why)


@given(st.lists(OUTCOMES, min_size=1, max_size=5), st.sampled_from(["majority", "weighted"]))
def test_changing_sides_changes_the_verdict(said: list[Settled], how: Any) -> None:
    weights = [1.0 + i for i in range(len(said))]
    one = combine(said, weights, how, {})
    other = mirrored(combine([mirrored(s) for s in said], weights, how, {}))
    assert (one.outcome, one.why) == (other.outcome, other.why)
    assert one.p == pytest.approx(other.p)


def simulated(n: int, accuracy: list[float], seed: int = 0) -> tuple[Counter[Votes], list[tuple[Votes, str]]]:
    draw = random.Random(seed)
    seen = []
    for _ in range(n):
        truth = draw.choice(["first", "second"])
        seen.append((tuple(truth if draw.random() < a else SWAPPED[truth] for a in accuracy), truth))
    return Counter(said for said, _ in seen), seen


def test_dawid_skene_learns_whom_to_believe() -> None:
    """Two judges of 90 % and three of 55 %: a majority of the weak drowns the good, Dawid-Skene does not let it."""
    counts, seen = simulated(3000, [0.9, 0.9, 0.55, 0.55, 0.55])
    posterior = dawid_skene(counts)
    right = sum((posterior[said][0] > 0.5) == (truth == "first") for said, truth in seen)
    majority = sum((said.count("first") > said.count("second")) == (truth == "first") for said, truth in seen)
    assert right > majority + 0.05 * len(seen)
    assert posterior["first", "first", "second", "second", "second"][0] > 0.5


def test_dawid_skene_has_no_favourite_place() -> None:
    """In pairs the record's own answer is always first: 90 % first places are no reason to believe in the first place."""
    counts: Counter[Votes] = Counter({("first", "first"): 90, ("second", "second"): 5, ("first", "second"): 3, ("second", "first"): 2})
    posterior = dawid_skene(counts)
    for said in counts:
        first, tie = posterior[said]
        other, _ = posterior[turned(said)]
        assert first + tie + other == pytest.approx(1, abs=1e-6)


def test_dawid_skene_of_many_comparisons() -> None:
    """More comparisons than it is fitted to: the shares count. Nothing is lost, not even what occurs once."""
    few, _ = simulated(1000, [0.9, 0.7, 0.6])
    many = Counter({said: n * 1000 for said, n in few.items()}) + Counter({("tie", "first", None): 1})
    small, large = dawid_skene(few), dawid_skene(many)
    assert sum(many.values()) > 100 * MOST
    for said in few:
        assert large[said][0] == pytest.approx(small[said][0], abs=0.03)
    assert ("tie", "first", None) in large
    assert dawid_skene({(None, None): 5}) == {}


def opposite(asked: Asked) -> str:
    a, b = qualities(asked)
    return "B" if a > b else "A" if b > a else "tie"


@pytest.mark.parametrize("how", ["majority", "weighted", "dawid-skene"])
def test_a_jury_labels(how: str, tmp_path: Path) -> None:
    """Two judges that see the truth outvote one that says the opposite; every annotation is kept."""
    data = store(tmp_path / "p.jsonl", [pair(n, n % 5 + 1, (n + 1 + n // 5) % 5 + 1) for n in range(24)])
    with serving(judge=truthful) as good, serving(judge=words(opposite)) as bad:
        jury = tmp_path / "jury.yaml"
        jury.write_text(
            "members:\n"
            f"  - {{judge: pairwise, model: a, base_url: '{good.url}', weight: 2}}\n"
            f"  - {{judge: pairwise, model: b, base_url: '{good.url}'}}\n"
            f"  - {{judge: pairwise, model: c, base_url: '{bad.url}'}}\n"
        )
        result = run(data, tmp_path / "out.jsonl", good.url, judge=str(jury), jury=how, decide="hard")
        assert (good.stats.requests, bad.stats.requests) == (2 * 2 * 24, 2 * 24)
    for row in rows_of(tmp_path / "out.jsonl"):
        assert row["chosen"][0]["content"].split()[1] > row["rejected"][0]["content"].split()[1]
        assert [a["annotator"] for a in row["annotations"]] == ["pairwise-v1:a"] * 2 + ["pairwise-v1:b"] * 2 + ["pairwise-v1:c"] * 2
    assert list(result.report["judges"]) == ["pairwise-v1:a", "pairwise-v1:b", "pairwise-v1:c"]
    assert result.report["unanimous"] == result.counts["dropped"].get("tie", 0)


def test_members_from_the_command_line(tmp_path: Path) -> None:
    """NAME@MODEL gives a judge a model of its own; different judges may be one jury; the same one twice is a mistake."""
    data = store(tmp_path / "p.jsonl", [pair(0, 5, 2)])
    with serving(judge=truthful) as server:
        result = run(data, tmp_path / "out.jsonl", server.url, judge="pairwise@x,pairwise@y,rubric", decide="hard")
        assert server.stats.models == {"x": 2, "y": 2, "mock": 2}
    assert list(result.report["judges"]) == ["pairwise-v1:x", "pairwise-v1:y", "rubric-v1:mock"]
    with pytest.raises(UsageError, match="pairwise-v1:x is named twice"):
        run(data, tmp_path / "o.jsonl", "http://127.0.0.1:9/v1", judge="pairwise@x,pairwise@x")


def test_a_wrong_jury(tmp_path: Path) -> None:
    data = store(tmp_path / "p.jsonl", [pair(0, 5, 2)])
    jury = tmp_path / "jury.yaml"
    jury.write_text("members:\n  - {judge: pairwise, modell: a}\n  - {judge: rubric, model: b, weight: -1}\n")
    with pytest.raises(UsageError) as e:
        run(data, tmp_path / "o.jsonl", "http://127.0.0.1:9/v1", judge=str(jury))
    assert "line 2" in str(e.value)
    assert "did you mean 'model'?" in str(e.value)
    assert "line 3" in str(e.value)
