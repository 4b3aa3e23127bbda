"""From statements to labels, by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefdata.judges.judge import load
from prefdata.judges.options import JudgeOptions
from prefdata.judges.settle import Settled, settle
from prefdata.judges.statement import Outcome, Statement, Verdict

BOTH = JudgeOptions()
COT = load("pairwise-cot")
HARD = {"A": "first", "B": "second", "t": "tie", "x": "invalid", "-": "abstain"}


def said(ij: str, ji: str = "") -> list[Statement]:
    """Verdicts of both orders, one letter each: A, B, t(ie), x (invalid), - (abstain)."""
    return [
        Statement("j", shown, Verdict(HARD[c], why="no-verdict" if c == "x" else None), sample=k)  # type: ignore[arg-type]
        for shown, letters in (((0, 1), ij), ((1, 0), ji))
        for k, c in enumerate(letters)
    ]


def sure(*log_odds: tuple[tuple[int, int], float], tie: float = 0.0) -> list[Statement]:
    out = []
    for shown, x in log_odds:
        p = 1 / (1 + math.exp(-x))
        outcome: Outcome = "tie" if x == 0 or tie >= (1 - tie) * max(p, 1 - p) else "first" if x > 0 else "second"
        out.append(Statement("j", shown, Verdict(outcome, p_first=tie / 2 + (1 - tie) * p, log_odds=x, p_tie=tie)))
    return out


@pytest.mark.parametrize(
    ("ij", "ji", "outcome", "p", "why"),
    [
        ("A", "B", "first", 2.5 / 3, None),  # (a + 1/2)/(k + 1) with a = k = 2
        ("B", "A", "second", 0.5 / 3, None),
        ("t", "t", "tie", 0.5, "tie"),
        ("A", "A", "tie", 0.5, "flip"),
        ("B", "B", "tie", 0.5, "flip"),
        ("A", "t", "tie", 0.5, "flip"),  # MT-Bench: verdicts that differ are a tie
        ("AAB", "BBB", "first", 5.5 / 7, None),
        ("AAB", "AAB", "tie", 0.5, "flip"),
        ("AAt", "BBt", "first", 5.5 / 7, None),
        ("AB", "AB", "tie", 0.5, "tie"),
        ("AAx", "B-x", "first", 3.5 / 4, None),
        ("A", "x", "undecided", None, "half-judged"),
        ("A", "-", "undecided", None, "half-judged"),
        ("A", "", "undecided", None, "half-judged"),
        ("x", "x", "undecided", None, "no-verdict"),
        ("-", "-", "undecided", None, "abstain"),
        ("x", "-x", "undecided", None, "no-verdict"),
        ("", "", "undecided", None, "not-compared"),
    ],
)
def test_votes(ij: str, ji: str, outcome: str, p: float | None, why: str | None) -> None:
    found = settle(said(ij, ji), 0, 1, BOTH)
    assert (found.outcome, found.why) == (outcome, why)
    assert found.p == (None if p is None else pytest.approx(p))


@pytest.mark.parametrize(("order", "shown"), [("given", "ij"), ("random", "ji")])
def test_one_order_is_enough_where_one_was_asked_for(order: Any, shown: str) -> None:
    found = settle(said("A") if shown == "ij" else said("", "B"), 0, 1, JudgeOptions(order=order))
    assert found == Settled("first", 0.75, None)


@pytest.mark.parametrize(
    ("x", "y", "outcome", "p", "average", "mean"),
    [
        (4.0, 0.5, "tie", 0.5, "first", 1 / (1 + math.exp(-1.75))),  # the second order says that j is better: a flip, unless averaged
        (4.0, -2.0, "first", 1 / (1 + math.exp(-3.0)), "first", 1 / (1 + math.exp(-3.0))),
        (-4.0, 2.0, "second", 1 / (1 + math.exp(3.0)), "second", 1 / (1 + math.exp(3.0))),
        (2.5, 2.5, "tie", 0.5, "tie", 0.5),
        (0.0, 0.0, "tie", 0.5, "tie", 0.5),
        (600.0, -600.0, "first", 1.0, "first", 1.0),
    ],
)
def test_log_probs(x: float, y: float, outcome: str, p: float, average: str, mean: float) -> None:
    statements = sure(((0, 1), x), ((1, 0), y))
    found = settle(statements, 0, 1, BOTH)
    assert (found.outcome, found.p) == (outcome, pytest.approx(p))
    found = settle(statements, 0, 1, JudgeOptions(flip="average"))
    assert (found.outcome, found.p) == (average, pytest.approx(mean))


def test_annotations_read_back() -> None:
    """They have p_first alone, half of P(tie) in it: a tie with p_first 0.53 stays a tie."""
    statements = [Statement("j", shown, Verdict("tie", p_first=0.53)) for shown in ((0, 1), (1, 0))]
    assert settle(statements, 0, 1, BOTH) == Settled("tie", 0.5, "tie")
    statements = [Statement("j", (0, 1), Verdict("first", p_first=0.9)), Statement("j", (1, 0), Verdict("second", p_first=0.2))]
    assert settle(statements, 0, 1, BOTH) == Settled("first", pytest.approx(6 / 7), None)  # odds 9 and 4: their geometric mean is 6
    statements = [Statement("j", (0, 1), Verdict("first", p_first=0.4)), Statement("j", (1, 0), Verdict("second", p_first=0.6))]
    assert settle(statements, 0, 1, BOTH) == Settled("first", 0.5, None)  # of another annotator, whose p contradicts its verdict
    assert settle(statements, 1, 0, BOTH) == Settled("second", 0.5, None)
    statements = [Statement("j", (0, 1), Verdict("first", p_first=1.0)), Statement("j", (1, 0), Verdict("second", p_first=0.2))]
    assert settle(statements, 0, 1, BOTH) == Settled("first", pytest.approx(2.5 / 3), None)  # no log-odds: votes


def test_ties_of_log_probs_count_half() -> None:
    """t/2 + (1 - t) σ(2) with t = 0.2."""
    assert settle(sure(((0, 1), 2.0), ((1, 0), -2.0), tie=0.2), 0, 1, BOTH).p == pytest.approx(0.1 + 0.8 / (1 + math.exp(-2)))
    assert settle(sure(((0, 1), 2.0), ((1, 0), -2.0), tie=0.6), 0, 1, BOTH) == Settled("tie", 0.5, "tie")


def test_votes_with_log_probs_are_averaged_in_each_order() -> None:
    """Orders weigh the same, also where one has more answers: (mean(1, 3) + 4)/2 = 3."""
    statements = sure(((0, 1), 1.0), ((0, 1), 3.0), ((1, 0), -4.0))
    assert settle(statements, 0, 1, BOTH).p == pytest.approx(1 / (1 + math.exp(-3)))


def test_one_vote_without_log_probs_makes_all_of_them_votes() -> None:
    statements = [*sure(((0, 1), 9.0)), *said("", "B")]
    assert settle(statements, 0, 1, BOTH).p == pytest.approx(2.5 / 3)


def test_flips_of_votes_can_be_averaged() -> None:
    """Shares 2.5/3 and 1/2 of two votes each: odds 5 and 1, mean log-odds ln(5)/2."""
    found = settle(said("AA", "AB"), 0, 1, JudgeOptions(flip="average"))
    assert found.outcome == "first"
    assert found.p == pytest.approx(1 / (1 + 5**-0.5))
    assert settle(said("A", "A"), 0, 1, JudgeOptions(flip="average")) == Settled("tie", 0.5, "flip")


def test_clamp() -> None:
    """Bai et al. (2022): 40 to 60 % for judges that reason; others keep their probabilities, and ties stay at 0.5."""
    options = JudgeOptions(clamp=(0.4, 0.6))
    assert settle(said("A", "B"), 0, 1, options, COT).p == 0.6
    assert settle(said("B", "A"), 0, 1, options, COT).p == 0.4
    assert settle(said("A", "A"), 0, 1, options, COT).p == 0.5
    assert settle(said("A", "B"), 0, 1, options, load("pairwise")).p == pytest.approx(2.5 / 3)
    assert settle(said("A", "B"), 0, 1, BOTH, COT.model_copy(update={"clamp": (0.2, 0.8)})).p == 0.8
    with pytest.raises(ValueError, match=r"around 0\.5"):
        JudgeOptions(clamp=(0.4, 0.7))


def scores(**by_place: Sequence[Any]) -> list[Statement]:
    """a=[...] of place 0, b=[...] of place 1: numbers, dicts of aspects, or None for an invalid call."""
    out = []
    for name, values in by_place.items():
        for v in values:
            verdict = Verdict("invalid", "cut-off") if v is None else Verdict(scores=v) if isinstance(v, dict) else Verdict(score=v)
            out.append(Statement("j", ("abc".index(name),), verdict))
    return out


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([7.0], [5.0], Settled("first", None, None)),
        ([5.0], [7.0], Settled("second", None, None)),
        # distilabel and SimPO: max and min (argmax and argmin) of equal scores are the same answer, chosen == rejected
        ([5.0], [5.0], Settled("tie", 0.5, "tie")),
        ([5.0], [5.0 + 1e-9], Settled("tie", 0.5, "tie")),
        ([7.0, 1.0], [5.0, 4.0], Settled("second", None, None)),
        ([7.0, None], [5.0], Settled("first", None, None)),
        # distilabel: TypeError; JudgeLM: -1 and -1 compare as a tie; open-instruct: the worst score
        ([None], [5.0], Settled("undecided", None, "half-judged")),
        ([None], [None], Settled("undecided", None, "cut-off")),
        ([], [5.0], Settled("undecided", None, "half-judged")),
        ([], [], Settled("undecided", None, "not-compared")),
    ],
)
def test_scores(a: list[Any], b: list[Any], expected: Settled) -> None:
    assert settle(scores(a=a, b=b, c=[9.0]), 0, 1, BOTH) == expected


def test_aspects_are_compared_where_they_apply_to_both() -> None:
    """open-instruct averages N/A as -1. Here honesty does not apply to the second answer, so 4 stands against 3.5, not 3 against 3.5."""
    first, second = {"truth": 5.0, "help": 3.0, "honesty": 1.0}, {"truth": 4.0, "help": 3.0, "honesty": None}
    assert settle(scores(a=[first], b=[second]), 0, 1, BOTH) == Settled("first", None, None)
    # votes are averaged by aspect first: truth (5 + 1)/2
    assert settle(scores(a=[first, {"truth": 1.0, "help": None, "honesty": None}], b=[second]), 0, 1, BOTH) == Settled("second", None, None)
    only = {"truth": None, "help": None, "honesty": 5.0}
    assert settle(scores(a=[only], b=[second]), 0, 1, BOTH) == Settled("undecided", None, "nothing-in-common")


def test_soft_labels_of_scores() -> None:
    """P(i > j) + P(i = j)/2 of two independent scores: 0.5*0.75 + 0.5*(0.75*0 + 0.25/2) ..., by enumeration."""
    a, b = (0.0, 0.5, 0.5), (0.25, 0.75, 0.0)
    by_hand = 0.5 * (0.25 + 0.75 / 2) + 0.5 * 1.0
    statements = [
        Statement("j", (0,), Verdict(score=2.5, spread=a)),
        Statement("j", (1,), Verdict(score=1.75, spread=b)),
    ]
    assert settle(statements, 0, 1, BOTH) == Settled("first", pytest.approx(by_hand), None)
    assert settle(statements, 1, 0, BOTH) == Settled("second", pytest.approx(1 - by_hand), None)


def test_a_soft_label_never_contradicts_the_hard_one() -> None:
    """Means 2.0 and 1.9, but the second is more often higher: the label stands, with p = 0.5."""
    statements = [
        Statement("j", (0,), Verdict(score=2.0, spread=(0.75, 0.0, 0.0, 0.0, 0.25))),
        Statement("j", (1,), Verdict(score=1.9, spread=(0.1, 0.9, 0.0, 0.0, 0.0))),
    ]
    assert settle(statements, 0, 1, BOTH) == Settled("first", 0.5, None)


def test_rankings() -> None:
    """Each list is a vote on all its pairs; both lists have to agree."""
    lists = [Statement("j", (0, 1, 2), Verdict(order=((1,), (0, 2)))), Statement("j", (2, 1, 0), Verdict(order=((1,), (2,), (0,))))]
    assert settle(lists, 1, 0, BOTH) == Settled("first", pytest.approx(2.5 / 3), None)
    assert settle(lists, 0, 1, BOTH).outcome == "second"
    assert settle(lists, 0, 2, BOTH) == Settled("tie", 0.5, "flip")
    assert settle(lists[:1], 0, 2, JudgeOptions(order="given")) == Settled("tie", 0.5, "tie")
    assert settle([*lists[:1], Statement("j", (2, 1, 0), Verdict("invalid", "incomplete"))], 0, 1, BOTH).why == "half-judged"


LETTERS = st.text(st.sampled_from("ABtx-"), max_size=4)


@given(LETTERS, LETTERS, st.sampled_from(["tie", "average"]), st.randoms())
def test_symmetry(ij: str, ji: str, flip: Any, random: Any) -> None:
    """The order of the statements counts for nothing, and the label changes sides with the candidates."""
    options = JudgeOptions(flip=flip)
    statements = said(ij, ji)
    found = settle(statements, 0, 1, options)
    other = settle(statements, 1, 0, options)
    assert other.outcome == {"first": "second", "second": "first"}.get(found.outcome, found.outcome)
    assert found.p is None if other.p is None else found.p == pytest.approx(1 - other.p)
    shuffled = statements[:]
    random.shuffle(shuffled)
    again = settle(shuffled, 0, 1, options)
    assert again.outcome == found.outcome
    assert again.p is None if found.p is None else again.p == pytest.approx(found.p)
    assert found.outcome != "tie" or found.p == 0.5
    assert found.outcome != "first" or (found.p is not None and found.p > 0.5)
