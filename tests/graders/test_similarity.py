"""Metrics against values worked out by hand.

the cat sat on the mat | the cat is on the mat: 5 of 6 words, 3 of 5 pairs, 1 of 4 triples (on the mat), 0 of 3 fours are in both.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefdata.graders.similarity import Measure, metric
from tests.graders.rows import codes, row, scores

SAID, WANTED = "the cat sat on the mat", "the cat is on the mat"
METRICS = ["fuzzy_match", "bleu", "gleu", "meteor", *(f"rouge_{n}" for n in (1, 2, 3, 4, 5)), "rouge_l"]


@pytest.fixture(scope="module")
def measures() -> dict[str, Measure]:
    return {name: metric(name) for name in METRICS}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fuzzy_match", 40 / 43),  # 20 letters in order, of 22 and 21
        ("bleu", (5 / 6 * 3 / 5 * 1 / 4 * (1 / 2) / 3) ** (1 / 4)),  # no four: half a match, the lengths are equal
        ("gleu", (5 + 3 + 1 + 0) / (6 + 5 + 4 + 3)),
        ("meteor", 5 / 6 * (1 - 0.5 * (2 / 5) ** 3)),  # 5 matches in 2 chunks
        ("rouge_1", 5 / 6),
        ("rouge_2", 3 / 5),
        ("rouge_3", 1 / 4),
        ("rouge_4", 0.0),
        ("rouge_5", 0.0),
        ("rouge_l", 5 / 6),  # the cat on the mat
    ],
)
def test_by_hand(name: str, expected: float, measures: dict[str, Measure]) -> None:
    assert measures[name](SAID, WANTED) == pytest.approx(expected)


def test_brevity_and_recall(measures: dict[str, Measure]) -> None:
    """Half of the words: all that is said is right."""
    assert measures["bleu"]("the cat is", "the cat is on the mat") == pytest.approx(2.718281828 ** (1 - 6 / 3))
    assert measures["gleu"]("the cat is", "the cat is on the mat") == pytest.approx((3 + 2 + 1) / (6 + 5 + 4 + 3))
    assert measures["rouge_1"]("the cat is", "the cat is on the mat") == pytest.approx(2 * 1 * 0.5 / 1.5)
    assert measures["meteor"]("running cats", "run cat") == pytest.approx(1 - 0.5 / 8)  # stems, one chunk of two


@pytest.mark.parametrize("text", ["yes", "It isn't so.", "你好世界吗", "Привет мир", "42", "naïve café"])
def test_the_same_text(text: str, measures: dict[str, Measure]) -> None:
    """1 in every script. Of METEOR the penalty of a single chunk is left; n-grams longer than the text are none."""
    for name, measure in measures.items():
        if name not in ("meteor", "rouge_2", "rouge_3", "rouge_4", "rouge_5"):
            assert measure(text, text) == pytest.approx(1.0), name
    assert measures["meteor"](text, text) >= 0.5
    assert measures["rouge_2"]("a 你好", "a 你好") == 1.0


@settings(max_examples=60)
@given(st.text(max_size=40), st.text(min_size=1, max_size=40).filter(str.strip))
def test_between_0_and_1_and_always_the_same(measures: dict[str, Measure], said: str, wanted: str) -> None:
    for name, measure in measures.items():
        found = measure(said, wanted)
        assert 0.0 <= found <= 1.0, name
        assert measure(said, wanted) == found


def test_as_a_grader() -> None:
    spec = {"type": "text_similarity", "input": "{{ sample.output_text }}", "reference": "{{ item.ref }}", "evaluation_metric": "rouge_l"}
    assert scores(spec, row(SAID, ref=WANTED), row("", ref=WANTED)) == [pytest.approx(5 / 6), 0.0]
    assert codes(spec, row(SAID, ref=" "), row(SAID), row(SAID, "length", ref=WANTED)) == ["empty-reference", "invalid-variable", "cut-off"]
