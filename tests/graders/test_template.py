"""Templates: what they may name, and that data stays data."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefdata.graders.graded import Failed
from prefdata.graders.rows import row_of
from prefdata.graders.template import cut, fill
from tests.graders.rows import row, scores

META = '{"answer": "4", "n": 1.0, "ok": true, "deep": {"a b": [10, {"c": "x"}]}, "none": null, "id": "from meta"}'
RECORD = {"id": "abc", "prompt": [{"role": "user", "content": "2 + 2?"}], "meta": META, "source": None}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no variables", "no variables"),
        ("{{ item.answer }}", "4"),
        ("{{item.answer}}/{{ item.meta.answer }}", "4/4"),
        ("{{ item.id }}", "abc"),  # a field of the record wins
        ("{{ item.meta.id }}", "from meta"),
        ('{{ item.deep["a b"][1].c }}', "x"),
        ("{{ item['deep']['a b'][0] }}", "10"),
        ("{{ item.n }} {{ item.ok }} {{ item.deep }}", '1.0 true {"a b": [10, {"c": "x"}]}'),
        ("{{ item.prompt[0].content }} {{ item.prompt_text }}", "2 + 2? 2 + 2?"),
        ('{"a": {"b": "{{ sample.output_json.a }}"}}', '{"a": {"b": "1"}}'),
        ("{{ sample.output_text }}", '{"a": 1}'),
        ("{{ sample.choices[0].message.content }}", '{"a": 1}'),
    ],
)
def test_filled(text: str, expected: str) -> None:
    assert fill(text, row_of(RECORD, [{"role": "assistant", "content": '{"a": 1}'}])) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{{ item.missing }}", "invalid-variable"),
        ("{{ item.none }}", "invalid-variable"),
        ("{{ item.source }}", "invalid-variable"),
        ("{{ item.prompt[1].content }}", "invalid-variable"),
        ("{{ item.answer.more }}", "invalid-variable"),
        ("{{ item.answer[0] }}", "invalid-variable"),
        ("{{ sample.output_json.a }}", "sample-parse"),
        ("{{ sample.output_tools[0].function.name }}", "sample-parse"),
    ],
)
def test_missing(text: str, code: str) -> None:
    with pytest.raises(Failed, match=f"^{code}:"):
        fill(text, row_of(RECORD, [{"role": "assistant", "content": "no JSON"}]))


WRONG = ["{{ }}", "{{item}}", "{{ user.x }}", "{{ item.a|upper }}", "{{ item.a() }}", "{{ sample.text }}", "{{ item.a", "{{ item.a[-1] }}"]


@pytest.mark.parametrize("text", [*WRONG, "{% if %}{{ 7*7 }}"])
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\{\{"):
        cut(text)


BRACES = st.text(alphabet="{}item.sapleouttext_ x", max_size=40) | st.sampled_from(
    ["{{ item.secret }}", "{{item.a}}", "}}{{", "{{ sample.output_text }}"]
)


@given(BRACES, BRACES)
def test_data_is_never_a_template(a: str, b: str) -> None:
    """Braces in the record and in the answer come out as they went in."""
    r = row(a, a=b, secret="secret")
    assert fill("<{{ sample.output_text }}|{{ item.a }}>", r) == f"<{a}|{b}>"


def test_an_answer_cannot_name_its_reference() -> None:
    copy = {"type": "string_check", "input": "{{ sample.output_text }}", "reference": "{{ item.answer }}", "operation": "eq"}
    assert scores(copy, row("{{ item.answer }}", answer="42"), row("42", answer="42")) == [0.0, 1.0]


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=8)
)
def test_json_answers(value: object) -> None:
    sample = row(json.dumps(value))["sample"]
    assert sample.get("output_json") == value


def test_rows_of_answers_with_tool_calls() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns: list[dict[str, object]] = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "7", "tool_call_id": "1", "tool_calls": None},
        {"role": "assistant", "content": "It is 7.", "tool_calls": None},
    ]
    sample = row_of(RECORD, turns)["sample"]
    assert (sample["output_text"], sample["output_tools"]) == ("It is 7.", [call])
