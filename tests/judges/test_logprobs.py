"""Probabilities from the tokens of a verdict, by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from prefdata.judges import logprobs
from prefdata.judges.judge import Judge, load
from prefdata.judges.parse import parse
from prefdata.judges.statement import Verdict
from prefdata.llm.request import OK, Reply
from tests.judges.reading import Spread, completion

PAIRWISE, COT, RUBRIC, MULTI = (load(n) for n in ("pairwise", "pairwise-cot", "rubric", "multi-aspect"))


def ln(**p: float) -> Spread:
    """Log-probs of probabilities; `_` in a name is a space."""
    return {k.replace("_", " "): math.log(v) for k, v in p.items()}


def of(p: dict[str, float]) -> Spread:
    return {k: math.log(v) for k, v in p.items()}


def read(judge: Judge, text: str, tokens: list[tuple[str, Spread]], **more: Any) -> Verdict:
    return parse(Reply(b"", OK, completion(text, tokens)), judge, 2, **more)


def test_by_hand() -> None:
    found = read(PAIRWISE, "A", [("A", ln(A=0.62, B=0.31, The=0.05))])
    assert found.outcome == "first"
    assert found.p_first == pytest.approx(2 / 3)
    assert found.log_odds == pytest.approx(math.log(2))
    assert found.p_valid == pytest.approx(0.93)
    assert not found.floored


def test_variants_are_added() -> None:
    """The text is B, the most probable token; but all ways to write A together are more probable."""
    spread = of({"B": 0.35, "A": 0.3, " A": 0.2, "(A": 0.05, "a": 0.03, '"A"': 0.02, "\u0120A": 0.01, "**B**": 0.02})
    found = read(PAIRWISE, "B", [("B", spread)])
    assert found.outcome == "first"
    assert found.p_first == pytest.approx(0.61 / 0.98)
    assert found.p_valid == pytest.approx(0.98)


def test_ties_count_half() -> None:
    found = read(PAIRWISE, "tie", [("tie", ln(tie=0.5, A=0.4, B=0.1))])
    assert (found.outcome, found.p_tie) == ("tie", pytest.approx(0.5))
    assert found.p_first == pytest.approx(0.65)
    assert found.log_odds == pytest.approx(math.log(4))


def test_a_label_that_is_not_among_the_tokens() -> None:
    """AlpacaEval takes its probability for 0, and the log-odds are infinite; here it is the smallest one returned, an upper bound."""
    found = read(PAIRWISE, "A", [("A", ln(A=0.9, The=0.06, I=0.02))])
    assert found.floored
    assert found.log_odds == pytest.approx(math.log(45))
    assert found.p_valid == pytest.approx(0.9)
    assert read(PAIRWISE, "A", [("A", {"A": math.log(0.98), "x": -9999.0, "I": math.log(0.01)})]).log_odds == pytest.approx(math.log(98))


def test_the_token_that_was_drawn_may_be_an_improbable_one() -> None:
    """Servers list the k most probable tokens; at a temperature another one can be drawn, and has its log-prob beside them."""
    body = json.loads(completion("B", [("B", ln(A=0.75, The=0.04))]))
    body["choices"][0]["logprobs"]["content"][0]["logprob"] = math.log(0.2)
    found = parse(Reply(b"", OK, json.dumps(body).encode()), PAIRWISE, 2)
    assert (found.outcome, found.floored) == ("first", False)
    assert found.p_first == pytest.approx(0.75 / 0.95)


def test_equal_labels_are_a_tie() -> None:
    assert read(PAIRWISE, "A", [("A", ln(A=0.5, B=0.5))]).outcome == "tie"


def test_improbable_forms_are_not_used() -> None:
    """A, B and tie together have 0.5: the label is the text's, there is no soft label, and p_valid tells why."""
    found = read(PAIRWISE, "B", [("B", ln(A=0.3, B=0.2, The=0.4))])
    assert found == Verdict("second", p_valid=pytest.approx(0.5))
    assert read(PAIRWISE, "B", [("B", ln(A=0.3, B=0.2, The=0.4))], min_p_valid=0.4).outcome == "first"


def test_log_probs_are_no_verdict_without_the_text() -> None:
    assert read(PAIRWISE, "I cannot", [("I", ln(A=0.6, B=0.39)), (" cannot", ln(A=0.5))]).why == "no-verdict"


def test_the_token_of_the_verdict_is_read() -> None:
    """In a reasoned reply the last one; "A" in the reasons has log-probs, too."""
    tokens = [("Both", ln(A=0.9, B=0.1)), ("\n", ln(A=0.5)), ("Answer", ln(A=0.9)), (":", ln(A=0.9)), (" B", ln(_B=0.75, _A=0.25))]
    found = read(COT, "Both\nAnswer: B", tokens)
    assert found.outcome == "second"
    assert found.p_first == pytest.approx(0.25)
    found = read(PAIRWISE, "(B)", [("(", ln(A=0.6)), ("B", ln(A=0.1, B=0.9)), (")", ln(A=1.0))])
    assert found.p_first == pytest.approx(0.1)
    # white space that the server takes off the text, and the end token that some list
    found = read(PAIRWISE, "B", [("\n", ln(A=0.6)), (" B", ln(_A=0.1, _B=0.9)), ("</s>", ln(A=1.0))])
    assert found.p_first == pytest.approx(0.1)
    # thoughts before the answer
    tokens = [("<think>", ln(A=0.9)), ("A", ln(A=1.0)), ("</think>", ln(A=0.9)), ("B", ln(A=0.2, B=0.8))]
    assert read(PAIRWISE, "<think>A</think>B", tokens).p_first == pytest.approx(0.2)
    assert read(PAIRWISE, "B", [("C", ln(A=0.6, B=0.4))]).p_first is None  # tokens of another text


@pytest.mark.parametrize(
    "given",
    [
        None,  # alpaca_eval #301: a provider that leaves log-probs out; the call was paid, so the hard label counts
        {},
        {"content": None},
        {"content": []},
        {"content": "A"},
        {"content": [None]},
        {"content": [{"token": "A", "logprob": -0.1}]},
        {"content": [{"token": "A", "logprob": -0.1, "top_logprobs": []}]},
        {"content": [{"token": "A", "logprob": -0.1, "top_logprobs": None}]},
        {"content": [{"token": "A", "logprob": None, "top_logprobs": [{"token": "A", "logprob": None}]}]},
        {"content": [{"token": None, "logprob": -1, "top_logprobs": [{"token": 3, "logprob": -1}, "A"]}]},
        {"content": [{"token": "A", "logprob": "x", "top_logprobs": [{"token": "A", "logprob": True}]}]},
        {"content": [{"token": "A", "logprob": 7.0, "top_logprobs": [{"token": "A", "logprob": 7.0}]}]},
    ],
)
def test_missing_and_broken_log_probs(given: Any) -> None:
    body = json.loads(completion("A"))
    body["choices"][0]["logprobs"] = given
    assert parse(Reply(b"", OK, json.dumps(body).encode()), PAIRWISE, 2) == Verdict("first")


def test_not_a_number_is_left_out() -> None:
    token = {"token": "A", "logprob": math.nan, "top_logprobs": [{"token": "A", "logprob": math.nan}, {"token": "B", "logprob": -math.inf}]}
    assert logprobs.compared(token) is None


def test_expected_score_by_hand() -> None:
    found = read(RUBRIC, "7", [("7", of({"7": 0.5, "8": 0.3, "6": 0.15, "no": 0.05}))])
    assert found.score == pytest.approx((7 * 0.5 + 8 * 0.3 + 6 * 0.15) / 0.95)
    assert found.p_valid == pytest.approx(0.95)
    assert found.spread is not None
    assert sum(found.spread) == pytest.approx(1)
    assert read(load("direct-rlaif"), "7", [("7", of({"7": 0.5, "10": 0.5}))]).score == pytest.approx(2 * 7.5 / 9 - 1)


def test_ten_in_two_tokens() -> None:
    """Where "10" is "1" and "0", P("1") belongs to 1 and to 10: it is used only when it is clear how much to which."""
    # "10" is a token: "1" is 1
    assert read(RUBRIC, "1", [("1", of({"1": 0.5, "10": 0.25, "2": 0.25}))]).score == pytest.approx(0.5 + 2.5 + 0.5)
    # "1" was drawn, so the next token says how probable "0" is: P(10) = 0.6 * 0.9, P(1) = 0.6 * 0.1
    tokens = [("1", of({"1": 0.6, "9": 0.4})), ("0", of({"0": 0.9, "\n": 0.1}))]
    assert read(RUBRIC, "10", tokens).score == pytest.approx(10 * 0.54 + 1 * 0.06 + 9 * 0.4)
    # "9" was drawn, and nobody knows what "1" would have become: the number said stands
    found = read(RUBRIC, "9", [("9", of({"9": 0.7, "1": 0.3}))])
    assert (found.score, found.spread) == (9, None)
    # too improbable to matter
    assert read(RUBRIC, "9", [("9", of({"9": 0.5, "8": 0.4995, "1": 0.0005}))]).score == pytest.approx(4.5 + 8 * 0.4995 + 0.0005)
    # the last token that was asked for
    assert read(RUBRIC, "10", [("1", of({"1": 0.6, "9": 0.4}))]).spread is None


def test_long_scales() -> None:
    """Of 1, 10 and 100 in three tokens one token more does not tell; 7 and 70 to 79 neither."""
    judge = Judge(name="x", version=1, ask="score", about="", prompt="{answer}", scale=(0, 100), top_logprobs=20)
    tokens = [("1", of({"1": 0.95, "x": 0.05})), ("0", of({"0": 1.0})), ("0", of({"0": 1.0}))]
    assert read(judge, "100", tokens).score == 100
    tokens = [("7", of({"7": 1.0})), ("5", of({"5": 0.5, "4": 0.5}))]
    assert read(judge, "75", tokens).score == pytest.approx(74.5)


def test_numbers_with_points_are_as_said() -> None:
    assert read(RUBRIC, "7.5", [("7", of({"7": 0.9, "8": 0.1})), (".", ln(A=1.0)), ("5", of({"5": 1.0}))]).score == 7.5


def test_aspects_have_expected_scores() -> None:
    lines = [("instruction-following", 0.5), ("truthfulness", 0.25), ("honesty", 0.75), ("helpfulness", 1.0)]
    text, tokens = "", []
    for name, p in lines:
        tokens += [(f"{name}:", ln(A=1.0)), (" 4", of({" 4": p, " 5": 1 - p} if p < 1 else {" 4": 0.5, " x": 0.5})), ("\n", ln(A=1.0))]
        text += f"{name}: 4\n"
    found = read(MULTI, text, tokens)
    assert found.scores == {
        "instruction-following": pytest.approx(4.5),
        "truthfulness": pytest.approx(4.75),
        "honesty": pytest.approx(4.25),
        "helpfulness": 4,  # valid scores have 0.5 together
    }
    assert found.p_valid == pytest.approx(0.5)
