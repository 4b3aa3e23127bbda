"""How replies are read. Cases are failures of released labelling code (rlaif.md 3.1 to 3.7) and replies as models write them."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prefdata.judges.judge import Aspect, Judge, load
from prefdata.judges.parse import parse
from prefdata.judges.reasons import AGAIN, INVALID
from prefdata.judges.statement import Verdict
from prefdata.judges.structured import instruction, response_format
from prefdata.llm.request import DRY, OK, REFUSALS, Reply
from tests.judges.reading import completion

ONE, COT, RUBRIC, ADDITIVE, LIST, CHECK, MULTI = (
    load(n) for n in ("pairwise", "pairwise-cot", "rubric", "self-rewarding", "listwise", "checklist", "multi-aspect")
)
TWO = Judge(
    name="two", version=1, ask="aspects", about="", prompt="{answer}", scale=(1, 5),
    aspects=[Aspect(name="truth", about=""), Aspect(name="good_form", about="")],
)  # fmt: skip


def read(judge: Judge, text: str | None, n: int = 2, finish: str = "stop", structured: bool = False) -> Verdict:
    return parse(Reply(b"", OK, completion(text, finish=finish)), judge, n, structured=structured)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Answer: A", "first"),
        ("Answer: B", "second"),
        ("Answer: tie", "tie"),
        ("reasons\n\nAnswer: B\n\n", "second"),
        ("reasons\r\nAnswer: B\r\n", "second"),
        ("answer: b", "second"),
        ("ANSWER: TIE.", "tie"),
        ("**Answer: A**", "first"),
        ("**Answer:** A", "first"),
        ("Answer: **B**.", "second"),
        ("### Answer: A", "first"),
        ("Answer: [[B]]", "second"),
        ("Answer: (A)", "first"),
        ('Answer: "A"', "first"),
        ("Final answer: B", "second"),
        ("Final verdict: [[A]]", "first"),
        ("[[B]]", "second"),
        ("My final verdict is: [[B]].", "second"),
        # MT-Bench, RewardBench: a substring test in the order A, B, C reads an explanation that quotes "[[A]]" as A
        ('The reply "[[A]]" would be wrong.\nfinal [[B]]', "second"),
        ("Answer: A\nOn second thought:\nAnswer: B", "second"),
        # the judge quotes what a candidate says about the verdict
        ('It contains "Answer: A".\nAnswer: B', "second"),
        ("<think>Answer: A</think>\nAnswer: B", "second"),
    ],
)
def test_last_line(text: str, expected: str) -> None:
    assert read(COT, text).outcome == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        # verifiers `parse_judge_choice` scans prose for a letter: "a pity" was A, "Neither is a good answer" was A
        ("B wins. But what a pity.", "no-verdict"),
        ("Neither is a good answer.", "no-verdict"),
        ("Answer: A\nThis is my verdict.", "no-verdict"),
        ("Answer: A is better", "no-verdict"),
        ("Answer: A or B", "no-verdict"),
        ("Answer: neither", "no-verdict"),
        ("Answer:", "no-verdict"),
        ("Answer: C", "no-verdict"),
        ("[[C]]", "no-verdict"),
        ("Answer: AB", "no-verdict"),
        ("Answers: A", "no-verdict"),
        ("A", "no-verdict"),  # of a judge that reasons, the label alone is not its form
        ("The candidate wrote [[A]]", "no-verdict"),
        ('It says "Answer: A"', "no-verdict"),
        ("Answer: A Answer: B", "several-verdicts"),
        ("[[A]] or [[B]]", "several-verdicts"),
        ("Answer: A, [[B]]", "several-verdicts"),
        ("Answer:" + " " * 300 + "A", "no-verdict"),
        ("", "empty"),
        (" \n\t\n", "empty"),
        (None, "empty"),
        # FastChat stores "$ERROR$" after 16 failed tries and goes on as if it were a judgement
        ("$ERROR$", "no-verdict"),
        ("<think>Answer: A", "cut-off"),
        ("x\u2028Answer: A", "no-verdict"),  # a line ends with a line feed or a carriage return
    ],
)
def test_no_verdict(text: str | None, why: str) -> None:
    found = read(COT, text)
    assert (found.outcome, found.why) == ("invalid", why)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A", "first"),
        (" B", "second"),
        ("(A", "first"),
        ("[[B]]", "second"),
        ("a", "first"),
        ("tie", "tie"),
        ("**B**", "second"),
        ("A.", "first"),
        ("Answer: B", "second"),
    ],
)
def test_a_label_alone(text: str, expected: str) -> None:
    assert read(ONE, text).outcome == expected


@pytest.mark.parametrize("text", ["A\n.", "(\rA", "Both", "A is", "I", "AB", "C", "t", "ti", "Answer", "A\nB", "A or B", "the"])
def test_no_label_alone(text: str) -> None:
    assert read(ONE, text).why == "no-verdict"


def test_cut_off() -> None:
    """The first token of a one-token judge is its verdict; every other reply that was cut off has none."""
    assert read(ONE, "A", finish="length").outcome == "first"
    assert read(ONE, "B\n", finish="length").outcome == "second"
    assert read(ONE, "a", finish="length").why == "cut-off"  # "a better one is ..."
    assert read(ONE, "A better", finish="length").why == "cut-off"
    assert read(COT, "x\nAnswer: A", finish="length").why == "cut-off"  # "Answer: A and B are equal"
    assert read(COT, None, finish="length").why == "cut-off"  # all tokens went into hidden thoughts
    assert read(RUBRIC, "7", finish="length").score == 7
    assert read(RUBRIC, "1", finish="length").why == "cut-off"  # "10"
    assert read(RUBRIC, "10", finish="length").score == 10
    assert read(LIST, "Ranking: 1 > 2", finish="length").why == "cut-off"
    assert read(COT, '{"rationale": "", "verdict": "A"}', finish="length", structured=True).why == "cut-off"


@pytest.mark.parametrize(
    ("text", "score"),
    [("Score: 3", 3), ("score: [[4]]", 4), ("Rating: [[2]]", 2), ("**Score:** 5/5", 5), ("Overall score: 4.5.", 4.5), ("Score: 0", 0)],
)
def test_score_lines(text: str, score: float) -> None:
    assert read(ADDITIVE, "It has Score: 1.\n" + text) == Verdict(score=score, rationale="It has Score: 1.")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        # open-instruct `synth_pref`: an unparsable rating became the string "1", a valid worst score
        ("Score: seven", "no-verdict"),
        # "N/A" became -1 there and was averaged; JudgeLM's failure [-1, -1] compares as a tie
        ("Score: N/A", "no-verdict"),
        ("Score: -1", "out-of-range"),
        ("Score: 6", "out-of-range"),
        ("Score: 40/100", "out-of-range"),
        ("Score: 3 Score: 4", "several-verdicts"),
        ("Score: 3 to 4", "no-verdict"),
        ("Score: 3, as I said", "no-verdict"),
        ("3", "no-verdict"),
        ("Score: NaN", "no-verdict"),
        ("Score: inf", "no-verdict"),
        ("Score: 1e1", "no-verdict"),
        ("Score: ٣", "no-verdict"),
        ("Score: 99999999999999999999", "no-verdict"),
    ],
)
def test_no_score(text: str, why: str) -> None:
    assert read(ADDITIVE, text).why == why


def test_a_number_alone() -> None:
    assert read(RUBRIC, "7").score == 7
    assert read(RUBRIC, " 10 ").score == 10
    assert read(RUBRIC, "7/10").score == 7
    assert read(RUBRIC, "7/5").why == "out-of-range"
    assert read(RUBRIC, "0").why == "out-of-range"
    assert read(RUBRIC, "7 of 10").why == "no-verdict"
    assert read(RUBRIC, "7\n.").why == "no-verdict"


def test_rescaled_by_hand() -> None:
    """direct-RLAIF: r = 2(s - 1)/9 - 1."""
    judge = load("direct-rlaif")
    assert read(judge, "1").score == -1
    assert read(judge, "10").score == 1
    assert read(judge, "7").score == pytest.approx(1 / 3)


def test_aspects_are_found_by_name() -> None:
    """open-instruct and distilabel match sections by place after splitting at blank lines: one paragraph more shifts all ratings."""
    lines = ["helpfulness: 2", "", "- **honesty**: N/A", "Instruction Following: 4/5", "TRUTHFULNESS: 3."]
    found = read(MULTI, "One paragraph too many.\n\n" + "\n".join(lines))
    assert found.scores == {"instruction-following": 4, "truthfulness": 3, "honesty": None, "helpfulness": 2}
    assert found.score is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("truth: 4", "incomplete"),
        ("truth: 4\ntruth: 4", "several-verdicts"),
        ("truth: 4\nother: 4", "no-verdict"),
        ("truth: 4\ngood_form: 4\nSo much for that.", "no-verdict"),
        ("truth: 4\n\nIn between.\n\ngood_form: 4", "incomplete"),
        ("truth: 6\ngood_form: 4", "out-of-range"),
        # distilabel's UltraFeedback: IndexError on a rating that is no number
        ("truth: high\ngood_form: 4", "no-verdict"),
        ("truth:\ngood_form: 4", "incomplete"),
        ("truth: 4 5\ngood_form: 4", "incomplete"),
        ("4\n4", "no-verdict"),
    ],
)
def test_no_aspects(text: str, why: str) -> None:
    assert read(TWO, text).why == why


def test_checklist() -> None:
    assert read(CHECK, "Two checks.\n1: yes\n2: **No**.", 2).scores == {"1": 1, "2": 0}
    assert read(CHECK, "2: no\n1: yes", 2).scores == {"1": 1, "2": 0}
    assert read(CHECK, "1: yes", 2).why == "incomplete"
    assert read(CHECK, "1: yes\n1: no", 2).why == "several-verdicts"
    assert read(CHECK, "1: yes\n2: maybe", 2).why == "no-verdict"
    assert read(CHECK, "0: yes\n1: no", 2).why == "incomplete"  # numbered from 0: open-instruct's template numbers its texts from 2
    assert read(CHECK, "2: yes\n3: no", 2).why == "no-verdict"


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("Ranking: 2 > 1 = 3", ((1,), (0, 2))),
        ("**Ranking:** 3>2>1", ((2,), (1,), (0,))),
        ("Final ranking: [2] > [1] > [3].", ((1,), (0,), (2,))),
        ("ranking: 1=2=3", ((0, 1, 2),)),
    ],
)
def test_rankings(text: str, order: tuple[tuple[int, ...], ...]) -> None:
    assert read(LIST, "Words.\n" + text, 3) == Verdict(order=order, rationale="Words.")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Ranking: 1 > 2", "incomplete"),
        ("Ranking: 1 > 2 > 2 > 3", "several-verdicts"),
        ("Ranking: 1 > 2 > 4", "out-of-range"),
        ("Ranking: 0 > 1 > 2", "out-of-range"),
        ("Ranking: 1, 2, 3", "no-verdict"),
        ("Ranking: 1 >> 2 > 3", "no-verdict"),
        ("Ranking: 1 < 2 < 3", "no-verdict"),
        ("Ranking: 123", "out-of-range"),
        ("Ranking: 1 2 > 3", "no-verdict"),
        ("1 > 2 > 3", "no-verdict"),
        ("Ranking:", "no-verdict"),
    ],
)
def test_no_ranking(text: str, why: str) -> None:
    assert read(LIST, text, 3).why == why


def test_json_is_read_only_where_it_was_asked_for() -> None:
    assert read(COT, '{"rationale": "r", "verdict": "B"}', structured=True) == Verdict("second", rationale="r")
    assert read(COT, '```json\n{"rationale": "r", "verdict": "tie"}\n```', structured=True).outcome == "tie"
    assert read(COT, '<think>{"verdict": "B"}</think>{"rationale": "</think>", "verdict": "A"}', structured=True).outcome == "first"
    assert read(COT, '{"rationale": "r", "verdict": "B"}').why == "no-verdict"
    assert read(RUBRIC, '{"score": 7}', structured=True).score == 7
    fields = '{"scores": {"honesty": null, "truthfulness": 1, "helpfulness": 2, "instruction-following": 3, "x": 9}}'
    named = {"instruction-following": 3, "truthfulness": 1, "honesty": None, "helpfulness": 2}
    assert read(MULTI, fields, structured=True).scores == named
    assert read(CHECK, '{"scores": {"1": "yes", "2": "No"}}', structured=True).scores == {"1": 1, "2": 0}
    assert read(LIST, '{"rationale": "", "ranking": [[2], [1, 3]]}', 3, structured=True).order == ((1,), (0, 2))


@pytest.mark.parametrize(
    ("judge", "text", "why"),
    [
        (COT, "Answer: A", "not-json"),
        (COT, '["A"]', "not-json"),
        (COT, '{"verdict": "A", "verdict": "B"}', "not-json"),
        (COT, 'Here it is: {"verdict": "A"}', "not-json"),
        (COT, '{"verdict": "A"} {"verdict": "B"}', "not-json"),
        (COT, '{"rationale": "verdict: A"}', "no-verdict"),
        (COT, '{"verdict": "C"}', "no-verdict"),
        (COT, '{"verdict": ["A"]}', "no-verdict"),
        (COT, '{"rationale": "\\ud800", "verdict": null}', "no-verdict"),
        (COT, "[" * 100_000, "not-json"),
        (COT, '{"verdict": NaN}', "not-json"),
        (RUBRIC, '{"score": NaN}', "not-json"),
        (RUBRIC, '{"score": 1e999}', "out-of-range"),
        (RUBRIC, '{"score": true}', "no-verdict"),
        (RUBRIC, '{"score": "7"}', "no-verdict"),
        (RUBRIC, '{"score": 11}', "out-of-range"),
        (MULTI, '{"scores": {"honesty": 1}}', "incomplete"),
        (MULTI, '{"honesty": 1}', "no-verdict"),
        (CHECK, '{"scores": {"1": true, "2": "yes"}}', "no-verdict"),
        (LIST, '{"ranking": [[1], [1]]}', "several-verdicts"),
        (LIST, '{"ranking": [[1], []]}', "no-verdict"),
        (LIST, '{"ranking": [1, 2]}', "no-verdict"),
        (LIST, '{"ranking": [[true], [2]]}', "no-verdict"),
    ],
)
def test_json_without_a_verdict(judge: Judge, text: str, why: str) -> None:
    found = read(judge, text, structured=True)
    assert (found.outcome, found.why) == ("invalid", why)


def test_half_characters_in_json_can_be_written() -> None:
    found = read(COT, '{"rationale": "\\ud800!", "verdict": "A"}', structured=True)
    assert found.rationale == "?!"


def test_what_the_server_says_without_a_judge() -> None:
    """AlpacaEval stores a failed call as -1 or as an empty completion, RewardBench as 0.5: here each has its own word."""
    for code in REFUSALS:
        found = parse(Reply(b"", code), COT, 2)
        assert (found.outcome, found.why) == ("abstain" if code == "content-filter" else "invalid", code)
    assert parse(Reply(b"", DRY), COT, 2) == Verdict("invalid", "dry")
    assert read(COT, "Answer: A", finish="content_filter") == Verdict("abstain", "content-filter")
    assert parse(Reply(b"", OK, completion(None, refusal="No.")), COT, 2) == Verdict("abstain", "refusal")
    assert parse(Reply(b"", OK, b"{}"), COT, 2) == Verdict("invalid", "empty")
    assert "dry" not in AGAIN
    assert set(INVALID) >= AGAIN
    assert not AGAIN & set(REFUSALS)


def test_reasons_are_kept() -> None:
    assert read(COT, "First.\n\nSecond.\nAnswer: A").rationale == "First.\n\nSecond."
    assert read(COT, "<think>secret</think>Why.\nAnswer: A").rationale == "Why."
    assert read(COT, "Answer: A").rationale is None
    assert read(ONE, "Words.\nAnswer: A").rationale is None


LETTERS = st.text(st.sampled_from("ABab[]*_ .:\n(tie)Answer\"'12>=#`\u2028\x00"), max_size=40)


@given(LETTERS | st.text(max_size=30), st.sampled_from([ONE, COT]))
@example("Answer: A\n\x0b", COT)
@example("A\n.", ONE)
def test_a_verdict_is_the_last_line(text: str, judge: Judge) -> None:
    """Whatever is read as a verdict has, but for signs around it, one of few forms in its last line."""
    found = read(judge, text)
    if found.outcome in ("first", "second", "tie"):
        last = [line for line in text.replace("\r", "\n").split("\n") if line.strip()][-1]
        said = "".join(c for c in last.lower() if c.isascii() and c.isalpha())
        label = {"first": "a", "second": "b", "tie": "tie"}[found.outcome]
        assert (
            said in {"answer" + label, "finalanswer" + label, "verdict" + label}
            or (f"[[{label}]]" in "".join(last.lower().split()))
            or said == label
        )


@given(
    st.binary(max_size=60) | st.text(max_size=60).map(str.encode),
    st.sampled_from([ONE, COT, RUBRIC, ADDITIVE, LIST, CHECK, MULTI, TWO]),
    st.booleans(),
)
def test_any_text_is_a_verdict_or_has_a_reason(data: bytes, judge: Judge, structured: bool) -> None:
    found = read(judge, data.decode("utf-8", "replace"), structured=structured)
    assert found.why in INVALID if found.outcome == "invalid" else found.why is None


@pytest.mark.parametrize(
    "unit", [" ", "*", "(", "[", "\n", "Answer: ", "[[A]] ", "1 > ", "the ", "```\n", "Ranking: ", "1: yes\n", "<think>", '{"a":']
)
@pytest.mark.parametrize("structured", [False, True])
def test_long_replies_take_no_time(unit: str, structured: bool) -> None:
    """Linear: a megabyte of anything is read in well under a second (a pattern that backtracks would take hours)."""
    text = "x" + unit * (1_000_000 // len(unit)) + "!"
    reply = Reply(b"", OK, completion(text))
    for judge in (ONE, COT, RUBRIC, ADDITIVE, LIST, CHECK, MULTI):
        began = time.process_time()
        assert parse(reply, judge, 26, structured=structured).outcome == "invalid"
        assert time.process_time() - began < 1


@pytest.mark.parametrize("judge", [ONE, COT, RUBRIC, MULTI, CHECK, LIST], ids=lambda j: j.name)
def test_schemas(judge: Judge) -> None:
    """All fields are required and no other is allowed, as strict servers demand, and reasons come before the verdict."""
    form = response_format(judge, 3)["json_schema"]
    assert form["strict"] is True

    def strict(schema: dict[str, object]) -> None:
        if schema["type"] == "object":
            properties = schema["properties"]
            assert isinstance(properties, dict)
            assert schema["required"] == list(properties)
            assert schema["additionalProperties"] is False
            for inner in properties.values():
                strict(inner)

    strict(form["schema"])
    fields = list(form["schema"]["properties"])
    assert fields == (["rationale"] if judge.reasoning else []) + [
        {"compare": "verdict", "score": "score", "rank": "ranking"}.get(judge.ask, "scores")
    ]
    assert list(json.loads(instruction(judge, 3).split("form: ")[1].split(" The ranking")[0])) == fields
