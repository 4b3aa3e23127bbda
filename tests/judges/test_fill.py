"""Texts into templates: one pass, fenced, and nothing that a text contains is more than text."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefdata.judges.fill import fence, fenced, fill, placeholders
from prefdata.judges.subject import conversation, subject_of
from tests.judges.reading import binary, listwise, pair, turn
from tests.strategies import TEXT

BRACES = TEXT | st.sampled_from(
    ["{first}", "{second}", "{{first}}", "{", "}", "{}", "{0}", "{first!r}", "{first.__class__}", "%s", "\\1", "\\g<0>"]
)


def test_only_names_are_filled() -> None:
    assert fill("a {prompt} b", {"prompt": "x"}) == "a x b"
    assert fill("{prompt}{prompt}", {"prompt": "x"}) == "xx"
    assert fill("{{prompt}}", {}) == "{prompt}"


@pytest.mark.parametrize(
    "template",
    [
        '{"winner": "A"}',
        '{"a": {"b": {"c": 1}}}',
        "{}",
        "{ prompt }",
        "{Prompt}",
        "{0}",
        "{prompt!r}",
        "{prompt:>10}",
        "{a-b}",
        "{",
        "}}{{",
    ],
)
def test_other_braces_are_braces(template: str) -> None:
    """A JSON example in a template raises KeyError with str.format (RewardBench and FastChat style formatting)."""
    assert placeholders(template) == set()
    assert fill(template, {}) == template


@given(BRACES, BRACES, BRACES)
def test_values_are_never_looked_at_again(words: str, first: str, second: str) -> None:
    """Successive `replace` calls let a prompt with `{second}` pull in the second answer."""
    plain = words.replace("{", "").replace("}", "")
    assert fill(plain + "{first}|{second}", {"first": first, "second": second}) == f"{plain}{first}|{second}"


def test_a_name_without_a_value() -> None:
    with pytest.raises(KeyError, match="second"):
        fill("{second}", {"first": "x"})


def test_fence_by_hand() -> None:
    token = hashlib.sha256(b"a\nb").hexdigest()[:12]
    assert fence(["a", "b"]) == token
    assert fenced("answer A", "x", token) == f"<<<answer A {token}>>>\nx\n<<<end {token}>>>"


@given(st.lists(TEXT, min_size=1, max_size=4))
def test_no_text_contains_its_fence(texts: list[str]) -> None:
    """Also where a text was made with the token of the others in mind."""
    texts = [*texts, fence(texts)]
    assert not any(fence(texts) in t for t in texts)
    assert re.fullmatch("[0-9a-f]{12}", fence(texts))


def test_half_a_character_has_a_fence() -> None:
    assert len(fence(["\ud800"])) == 12


def test_one_turn_stands_alone_and_several_have_roles() -> None:
    assert conversation("prompt", [turn("Hi?", "user")], "f" * 12) == "<<<prompt ffffffffffff>>>\nHi?\n<<<end ffffffffffff>>>"
    turns = [turn("Be kind.", "system"), turn("Hi?", "user")]
    assert conversation("prompt", turns, "f" * 12) == (
        "<<<prompt ffffffffffff>>>\n<<<system ffffffffffff>>>\nBe kind.\n<<<end ffffffffffff>>>\n"
        "<<<user ffffffffffff>>>\nHi?\n<<<end ffffffffffff>>>\n<<<end ffffffffffff>>>"
    )


def test_tools_and_calls_are_shown() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"q": "sky"}'}}
    turns = [turn("", tool_calls=[call]), turn("blue", "tool", tool_call_id="1"), turn("It is blue.")]
    text = conversation("answer A", turns, "f" * 12)
    assert [line for line in text.split("\n") if not line.startswith("<<<")] == ['look {"q": "sky"}', "blue", "It is blue."]
    assert "<<<call ffffffffffff>>>" in text
    assert "<<<assistant ffffffffffff>>>\n\n" not in text
    asked = subject_of(pair("a", "b", tools='[{"name": "look"}]'))
    assert f'<<<tools {asked.token}>>>\n[{{"name": "look"}}]' in asked.prompt_text


def test_kinds() -> None:
    assert subject_of(pair("a", "b")).names == ("chosen", "rejected")
    row = listwise("a", "b", "a")
    asked = subject_of(row)
    assert asked.names == tuple(c["id"] for c in row["completions"])
    assert (asked.kind, asked.same, asked.distinct) == ("listwise", (0, 1, 0), [0, 1])
    assert subject_of(binary("a")).named([0]) == []
    assert subject_of(binary("a", meta='{"reference": "r"}')).meta == {"reference": "r"}
    assert subject_of(binary("a", meta="[1]")).meta == {}


def test_the_token_depends_on_every_text() -> None:
    rows = [pair("a", "b"), pair("a", "c"), pair("b", "b2"), pair("a", "b", "other"), pair("a", "b", meta='{"reference": "r"}')]
    assert len({subject_of(r).token for r in rows}) == 5
