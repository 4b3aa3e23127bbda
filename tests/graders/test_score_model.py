"""Graders that ask a model, through the client and the journal, against a real server on the loopback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prefdata.graders.asking import plan_of, read
from prefdata.graders.graded import Graded
from prefdata.graders.run import grade_rows, load_grader
from prefdata.graders.specs import LabelModel, ScoreModel
from prefdata.llm.plan import Unanswered, answer
from prefdata.llm.request import Reply
from tests.graders.rows import row
from tests.llm.asking import reply_to, run
from tests.llm.server import Exchange, Server

SPEC: dict[str, Any] = {
    "type": "score_model",
    "name": "my_score_model",
    "input": [
        {"role": "system", "content": "You are an expert grader."},
        {"role": "user", "content": "Reference: {{ item.reference_answer }}. Model answer: {{ sample.output_text }}"},
    ],
    "pass_threshold": 0.5,
    "model": "o4-mini-2025-04-16",
    "range": [0, 1],
    "sampling_params": {"max_completions_tokens": 32768, "top_p": 1, "reasoning_effort": "medium"},
}


def asked(spec: Any, rows: list[dict[str, Any]], server: Server, path: Path, **how: Any) -> list[Graded]:
    """As `prefdata score` does it: ask with all plans, then read what the journal has."""
    grader = load_grader(spec)
    _, journal = run(server, path, [plan_of(grader, r, **how) for r in rows])
    said = []
    with journal:
        for r in rows:
            found = answer(plan_of(grader, r, **how), lambda requests: [reply_to(journal, x) for x in requests], lambda _: "not-asked")
            said.append({} if isinstance(found, Unanswered) else found)
    return grade_rows(grader, rows, said)


def equal(exchange: Exchange) -> None:
    """A grader model that can tell whether two texts are the same."""
    wanted, _, given = exchange.text.removeprefix("Reference: ").partition(". Model answer: ")
    exchange.answer(json.dumps({"steps": [], "result": 1.0 if wanted == given else 0.5}))


def test_the_documented_run(tmp_path: Path) -> None:
    """Two equal answers get the reward 1.0. The request is the documented one, braces in an answer are not filled."""
    rows = [
        row("fuzzy wuzzy was a bear", reference_answer="fuzzy wuzzy was a bear"),
        row("{{ item.reference_answer }}", reference_answer=1.0),
    ]
    with Server(equal) as server:
        assert asked(SPEC, rows, server, tmp_path) == [Graded(1.0), Graded(0.5)]
        bodies = [json.loads(b) for b in server.asked]
    last = next(b for b in bodies if "{{" in b["messages"][1]["content"])
    assert last["messages"][1]["content"] == "Reference: 1.0. Model answer: {{ item.reference_answer }}"
    assert (last["model"], last["max_completion_tokens"], last["reasoning_effort"]) == ("o4-mini-2025-04-16", 32768, "medium")
    assert "max_tokens" not in last
    schema = last["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["steps", "result"]
    assert schema["properties"]["steps"]["items"]["required"] == ["description", "conclusion"]


def test_another_model_and_plain_numbers(tmp_path: Path) -> None:
    spec = {**SPEC, "sampling_params": {"temperature": 1, "seed": 42}}
    with Server(lambda e: e.answer("0.25")) as server:
        assert asked(spec, [row("x", reference_answer="y")], server, tmp_path, model="m", structured=False) == [Graded(0.25)]
        body = json.loads(next(iter(server.asked)))
    assert (body["model"], body["max_tokens"], body["seed"], body["temperature"]) == ("m", 2048, 42, 1.0)
    assert "response_format" not in body


def test_part_of_a_formula_and_rows_that_are_not_asked_about(tmp_path: Path) -> None:
    """A record without the reference, and a cut answer, cost nothing."""
    right = {"type": "string_check", "input": "{{ sample.output_text }}", "reference": "{{ item.reference_answer }}", "operation": "eq"}
    multi = {"type": "multi", "graders": {"model": SPEC, "same": right}, "calculate_output": "0.5 * model + 0.5 * same"}
    rows = [row("a", reference_answer="a"), row("b", reference_answer="a"), row("a"), row("a", "length", reference_answer="a")]
    with Server(equal) as server:
        found = asked(multi, rows, server, tmp_path)
        assert server.requests == 2
    assert [g.score for g in found] == [1.0, 0.25, None, None]
    assert dict(found[1].parts) == {"model": 0.5, "same": 0.0}
    assert [(g.why or "").partition(":")[0] for g in found] == ["", "", "invalid-variable", "cut-off"]


def test_what_was_not_asked_has_no_score() -> None:
    assert grade_rows(load_grader(SPEC), [row("a", reference_answer="a")])[0].why == "not-asked: no reply of the grader model is there"


def reply(text: str, finish: str = "stop", code: str = "ok", **message: Any) -> Reply:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
    return Reply(b"", code, json.dumps({"choices": [choice]}).encode())


SCORE = ScoreModel(model="m", input=[{"role": "user", "content": "x"}], range=(0, 10))
LABEL = LabelModel(model="m", input=[{"role": "user", "content": "x"}], labels=["good", "bad"], passing_labels=["good"])


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"steps": [], "result": 7.5}', 7.5),
        ('{"result": 7, "steps": [{"description": "a", "conclusion": "3"}]}', 7.0),
        ('```json\n{"result": 7}\n```', 7.0),
        ('{"result": "7"}', 7.0),
        ("<think>3, no, 4</think>\n5", 5.0),
        (" 7 ", 7.0),
        (".5", 0.5),
        ("1e1", 10.0),
        ('{"result": 11}', 10.0),  # cut to the range
        ('{"result": -3}', 0.0),
        ("-0.5", 0.0),
    ],
)
def test_scores(text: str, score: float) -> None:
    assert read(SCORE, reply(text)) == Graded(score)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (reply("I would say 7."), "no-score"),
        (reply("7/10"), "no-score"),
        (reply("The result is {\"result\": 7}"), "no-score"),
        (reply('{"result": null}'), "no-score"),
        (reply('{"result": true}'), "no-score"),
        (reply('{"result": NaN}'), "no-score"),
        (reply('{"score": 7}'), "no-score"),
        (reply(""), "no-score"),
        (reply("[7]"), "no-score"),
        (reply("1e999"), "no-score"),
        (reply("7", "length"), "reply-cut-off"),
        (reply("<think>7", "length"), "reply-cut-off"),
        (reply("", refusal="I cannot."), "refused"),
        (reply("7", "content_filter"), "refused"),
        (reply("", code="content-filter"), "content-filter"),
        (reply("", code="context-length"), "context-length"),
        (reply("", code="dry"), "not-asked"),
    ],
)  # fmt: skip
def test_replies_without_a_score_are_never_0(given: Reply, code: str) -> None:
    found = read(SCORE, given)
    assert found.score is None
    assert found.why is not None
    assert found.why.startswith(f"{code}: ")


def test_labels() -> None:
    """1 for a passing label, 0 for another one, and nothing for what is none."""
    texts = ['{"steps": [], "result": "good"}', '{"result": "bad"}', "good", "Good", "good or bad", ""]
    assert [read(LABEL, reply(t)).score for t in texts] == [1.0, 0.0, 1.0, None, None, None]
