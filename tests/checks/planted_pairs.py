"""Planted cases of PD2 and PD3."""

from __future__ import annotations

from tests.checks.build import GOOD, A, B, Case, binary, listwise, pair, turn


def talk(first: str, answer: str) -> list[dict[str, str]]:
    return [turn("user", first), turn("assistant", answer)]


ULTRA = {"prompt": "Q", "chosen": talk("Q", "Yes."), "rejected": talk("Q", "No."), "score_chosen": 8.0, "score_rejected": 5.0}
ASKED = "What is the capital of France?"
LONG = "The river rises in the hills and runs down to the sea."
LISTED = listwise("a", "b", "c", ranks=[1, 2, 3])

CASES = {
    "PD201": Case([GOOD, pair(A, A)], [2], "record"),
    "PD202": Case([GOOD, pair([*A, turn("user", "u"), *A], [*A, turn("user", "u"), *B])], [2]),
    "PD203": Case([GOOD, pair("Paris is it.", "Paris")], [2]),
    "PD204": Case([GOOD, pair("Sure.\n\nHuman: and then?")], [2], "chosen[0].content"),
    "PD205": Case([pair(A, B), GOOD, pair(B, A)], [1, 3]),
    "PD206": Case([GOOD, pair(A, margin=0.0)], [2], "margin"),
    "PD207": Case([{"chosen": talk("Q", "Yes."), "rejected": talk(q, "No.")} for q in ("Q", "R")], [2]),
    "PD208": Case([pair("Yes.", "No."), pair("Maybe.", "No."), pair("no", "yes!")], [1, 3]),
    "PD209": Case([GOOD, *(pair(x, y) for x, y in ("ab", "bc", "cd", "db"))], [3, 4, 5]),
    "PD210": Case([GOOD, pair(LONG, LONG.replace("runs", "ran"))], [2]),
    "PD211": Case([ULTRA, {**ULTRA, "score_rejected": 9.0}], [2], options={"from_": "ultrafeedback-binarized"}),
    "PD212": Case([GOOD, pair(A, p_chosen=0.2)], [2], "p_chosen"),
    "PD213": Case([pair("Paris.", prompt=ASKED), pair(f'"{ASKED}" Paris.', prompt=ASKED)], [2], "chosen[0].content"),
    "PD215": Case([pair(A, margin=1.0, p_chosen=0.9), pair(B, margin=1.0, p_chosen=0.5)], [2], "margin"),
    "PD301": Case([listwise("a", "b"), listwise("a")], [2], "completions"),
    "PD302": Case([binary("a", True), binary("b", True), binary("a", False)], [1, 3], "label"),
    "PD304": Case([LISTED, listwise("a", "b", "d", ranks=[0, 1, 2])], [2], "completions"),
    "PD305": Case([LISTED, listwise("a", "b", scores=[3, 10])], [2], "completions", options={"limits": {"PD305": {"low": 1, "high": 5}}}),
    "PD307": Case([LISTED, listwise("a", "b", "a", scores=[3, 2, 4])], [2], "completions"),
    "PD308": Case([LISTED, listwise("a", "b", scores=[2, 4], ranks=[1, 2])], [2], "completions"),
    "PD310": Case([LISTED, listwise("a", "b", scores=[None, None])], [2], "completions"),
}
