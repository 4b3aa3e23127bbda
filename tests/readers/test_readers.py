"""`prefdata validate FILE --target NAME`: what is wrong in files that others wrote, with line, code and words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefdata.checks.rule import Rule
from prefdata.errors import InputError, UsageError
from prefdata.exporters.options import ExportOptions
from prefdata.exporters.run import export
from prefdata.readers import READERS, Found, Inspected, by_code, inspect
from tests.conftest import Convert

MARK = b"\xef\xbb\xbf"
Q: dict[str, Any] = {"role": "user", "content": "Q?"}
Y: dict[str, Any] = {"role": "assistant", "content": "Yes."}
N: dict[str, Any] = {"role": "assistant", "content": "No."}
CALL: dict[str, Any] = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "f", "parameters": {}}}


def row(messages: Any = (Q,), yes: Any = (Y,), no: Any = (N,), **more: Any) -> dict[str, Any]:
    """A row of OpenAI; keywords go to `input`, and `top` beside it."""
    top = more.pop("top", {})
    values = [list(v) if isinstance(v, tuple) else v for v in (messages, yes, no)]
    return {"input": {"messages": values[0], **more}, "preferred_output": values[1], "non_preferred_output": values[2], **top}


def without(r: dict[str, Any], *path: str) -> dict[str, Any]:
    *front, last = path
    inner = r
    for key in front:
        inner = inner[key]
    del inner[last]
    return r


def encoded(r: Any) -> bytes:
    return r if isinstance(r, bytes) else json.dumps(r).encode()


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., Inspected]:
    """`look(target, rows)`: the rows in a file, good for the service otherwise (nine good rows before, the mark where it is wanted)."""

    def go(target: str, *rows: Any, data: bytes | None = None, name: str = "train.jsonl", good: Any = None, n: int = 9) -> Inspected:
        path = tmp_path / name
        if data is None:
            mark = MARK if target == "azure-dpo" else b""
            data = mark + b"".join(encoded(r) + b"\n" for r in [*([good] * n if good else []), *rows])
        path.write_bytes(data)
        return inspect(str(path), target)

    return go


def seen(result: Inspected) -> list[tuple[int, str, str | None, str]]:
    return [(f.line, f.code, f.field, f.message) for f in result.findings]


BOTH = ("azure-dpo", "openai-dpo")
LONG = "x" * 1_048_577
OLD = {"preferred_completion": [Y], "non_preferred_completion": [N], "input": {"messages": [Q]}}
BAD_ROWS: list[tuple[Any, str, str | None, str]] = [
    # keys
    (without(row(), "input"), "PD820", "input", "the row has no input"),
    (without(row(), "preferred_output"), "PD820", "preferred_output", "the row has no preferred_output"),
    (without(row(), "input", "messages"), "PD820", "input", "input has no messages"),
    (row([{"content": "Q?"}, Q]), "PD820", "input.messages[0]", "the message has no role"),
    (row([{"role": "system"}, Q]), "PD820", "input.messages[0]", "the message has no content"),
    (row(top={"id": 7}), "PD821", "id", "a row has no key 'id'"),
    (row(seed=7), "PD821", "input", "input has no key 'seed'"),
    (row([{**Q, "date": "today"}]), "PD821", "input.messages[0]", "a message of role 'user' has no key 'date'"),
    (row(yes=[{**Y, "score": 5}]), "PD821", "preferred_output[0]", "a message of role 'assistant' has no key 'score'"),
    (row([{**Q, "tool_calls": [CALL]}]), "PD821", "input.messages[0]", "a message of role 'user' has no key 'tool_calls'"),
    (row([Q, {**Y, "weight": 0}, Q][2:], yes=[{**Y, "weight": 1}]),
     "PD824", "preferred_output[0].weight", "`weight` belongs to supervised fine-tuning"),
    (row(top={"weight": 1}), "PD824", "weight", "`weight` belongs to supervised fine-tuning"),
    # types
    (row(top={"input": [Q]}), "PD823", "input", "input must be an object with messages, not a list"),
    (row(messages={"role": "user", "content": "Q?"}), "PD823", "input.messages", "messages must be a list with a message, not an object"),
    (row(messages=[]), "PD823", "input.messages", "messages must be a list with a message, not an empty list"),
    (row(messages="Q?"), "PD823", "input.messages", "messages must be a list with a message, not a text"),
    (row(["Q?", Q]), "PD823", "input.messages[0]", "a message must be an object, not a text"),
    (row(yes=Y), "PD823", "preferred_output", "preferred_output must be a list of messages, not an object"),
    (row(no="No."), "PD823", "non_preferred_output", "non_preferred_output must be a list of messages, not a text"),
    (row(no=None), "PD823", "non_preferred_output", "non_preferred_output must be a list of messages, not null"),
    (row([{"role": 1, "content": "Q?"}, Q]), "PD823", "input.messages[0].role", "role must be a text, not a number"),
    (row([{"role": "user", "content": 3}]), "PD823", "input.messages[0].content", "content must be a text, not a number"),
    (row([{"role": "user", "content": None}]), "PD823", "input.messages[0].content", "content must be a text, not null"),
    (row([{**Q, "name": None}]), "PD823", "input.messages[0].name", "name is null; leave the key out"),
    (row([{**Q, "name": 3}]), "PD823", "input.messages[0].name", "name must be a text, not a number"),
    (row(parallel_tool_calls="yes"), "PD823", "input.parallel_tool_calls", "parallel_tool_calls must be true or false"),
    # messages
    (row([{"role": "human", "content": "Q?"}]), "PD830", "input.messages[0].role", "'human' is no role of the services"),
    (row([{"role": "user", "content": " \n"}]), "PD831", "input.messages[0].content", "the text of the 'user' message is empty or blank"),
    (row(no=[{"role": "assistant", "content": ""}]),
     "PD831", "non_preferred_output[0].content", "the text of the 'assistant' message is empty or blank"),
    (row([{"role": "user", "content": [{"type": "text", "text": " "}]}]), "PD831", "input.messages[0].content", "a text is empty or blank"),
    (row([Q, Y]), "PD832", "input.messages", "the input ends in a message of role assistant"),
    (row([{"role": "system", "content": "S"}]), "PD832", "input.messages", "the input ends in a message of role system"),
    (row(yes=[]), "PD833", "preferred_output", "preferred_output has no assistant message"),
    (row(yes=[Y, {**Y, "content": "Yes!"}]), "PD834", "preferred_output", "preferred_output has 2 messages"),
    (row(yes=[{"role": "system", "content": "S"}, Y][::-1]),
     "PD835", "preferred_output[1].role", "a message of role 'system' does not belong to an answer"),
    (row(yes=[Y], no=[dict(Y)]), "PD836", "non_preferred_output", "the two answers are equal"),
    (row([{"role": "user", "content": LONG}]),
     "PD837", "input.messages[0].content", "the message has 1,048,577 characters; 1,048,576 are taken"),
    (row([Q, {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}][1:]),
     "PD843", "input.messages[0].content", "the content has a part of type 'image_url'; text alone is taken"),
    # tools
    (row(tools={"f": 1}), "PD840", "input.tools", "tools must be a list, not an object"),
    (row(tools=None), "PD840", "input.tools", "tools must be a list, not null"),
    (row(tools=[{"name": "f"}]), "PD840", "input.tools", 'tool 0 must be {"type": "function", "function": {...}}'),
    (row(tools=[TOOL, {"type": "function", "function": {}}]), "PD840", "input.tools", "the function of tool 1 has no name"),
    (row(tools=[{"type": "function", "function": {"name": "f", "parameters": "{}"}}]),
     "PD840", "input.tools", "the parameters of tool 0 must be an object, not a text"),
    (row(tools=[TOOL] * 129), "PD839", "input.tools", "there are 129 tools; 128 are taken"),
    (row(yes=[{"role": "assistant", "tool_calls": [{**CALL, "id": None}]}]),
     "PD841", "preferred_output[0].tool_calls[0]", "the call has no id"),
    (row(yes=[{"role": "assistant", "tool_calls": [{**CALL, "type": "tool"}]}]),
     "PD841", "preferred_output[0].tool_calls[0]", "the type of a call must be function"),
    (row(yes=[{"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": {}}}]}]),
     "PD841", "preferred_output[0].tool_calls[0]", "arguments must be a JSON text, not an object"),
    (row(yes=[{**Y, "tool_calls": []}]), "PD841", "preferred_output[0].tool_calls", "tool_calls must be a list with a call, not empty"),
    (row([Q, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "content": "3"}]),
     "PD841", "input.messages[2]", "the result of a tool call does not name the call (tool_call_id)"),
    # lines
    (b"", "PD804", None, "the line is blank"),
    (b"  \t", "PD804", None, "the line is blank"),
    (b'{"input": ', "PD805", None, "not valid JSON: "),
    (b'{{"input": {"messages": []}}}', "PD805", None, "not valid JSON: "),
    (b'{"input": "caf\xe9"}', "PD806", None, "byte 14 (0xe9) is not UTF-8"),
    (b'{"input": "\\ud83d"}', "PD806", None, "not valid JSON: a lone surrogate"),
    (b'{"input": 1, "input": 2}', "PD807", None, "the key 'input' occurs twice in one object"),
    (b'{"input": {"messages": [{"role": "user", "role": "user"}]}}', "PD807", None, "the key 'role' occurs twice in one object"),
    (b'{"input": NaN}', "PD808", None, "not valid JSON: NaN is no JSON number"),
    (b'{"input": 1e999}', "PD808", None, "not valid JSON"),
    (b'["a"]', "PD809", None, "the row is no JSON object"),
    (b"null", "PD809", None, "the row is no JSON object"),
]  # fmt: skip


@pytest.mark.parametrize("target", BOTH)
@pytest.mark.parametrize(("bad", "code", "field", "message"), BAD_ROWS, ids=[f"{i}-{b[1]}" for i, b in enumerate(BAD_ROWS)])
def test_one_bad_row(look: Callable[..., Inspected], target: str, bad: Any, code: str, field: str | None, message: str) -> None:
    """It is the eleventh of twelve rows, and the only finding."""
    result = look(target, *[row()] * 10, bad, row())
    assert [(line, c, f) for line, c, f, _ in seen(result)] == [(11, code, field)]
    found = result.findings[0]
    assert found.message.startswith(message)
    assert found.severity == by_code()[code].severity
    assert found.file.endswith("train.jsonl") and found.unit == "line"


GOOD_ROWS = [
    row(),
    row([{"role": "system", "content": "S"}, Q]),
    row([{**Q, "name": "Ann"}]),
    row([{"role": "user", "content": [{"type": "text", "text": "Q?"}]}]),
    row([{"role": "user", "content": "x" * 1_048_576}]),
    row(tools=[TOOL] * 128, parallel_tool_calls=False),
    row(tools=[]),
    row([Q, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "content": "3", "tool_call_id": "c1"}], tools=[TOOL]),
    row([Q, {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "content": "3", "tool_call_id": "c1"}]),
    row(yes=[{"role": "assistant", "tool_calls": [CALL]}]),
]


@pytest.mark.parametrize("target", BOTH)
def test_good_rows(look: Callable[..., Inspected], target: str) -> None:
    assert look(target, *GOOD_ROWS) == Inspected(10, look(target, *GOOD_ROWS).counts, [])


def test_old_names_are_told_from_unknown_ones(look: Callable[..., Inspected]) -> None:
    assert seen(look("azure-dpo", OLD, good=row())) == [
        (10, "PD822", "preferred_completion", "preferred_completion is called preferred_output by now"),
        (10, "PD822", "non_preferred_completion", "non_preferred_completion is called non_preferred_output by now"),
    ]


def test_where_the_services_differ(look: Callable[..., Inspected]) -> None:
    several = row([Q, Y, Q])
    assert seen(look("azure-dpo", several, good=row())) == []
    assert seen(look("openai-dpo", several, good=row())) == [(10, "PD842", "input.messages", "the input has 2 user messages")]
    called = row(yes=[{"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "content": "3", "tool_call_id": "c1"}])
    assert [c for _, c, _, _ in seen(look("azure-dpo", called, good=row()))] == ["PD834"]
    assert [c for _, c, _, _ in seen(look("openai-dpo", called, good=row()))] == ["PD835"]


def test_too_many_messages(look: Callable[..., Inspected]) -> None:
    turns = [Q, *[Y, Q] * 1024]
    assert seen(look("azure-dpo", row(turns), good=row())) == [(10, "PD838", "input.messages", "there are 2,049 messages; 2,048 are taken")]


ROWS = b"".join(encoded(row()) + b"\n" for _ in range(10))


@pytest.mark.parametrize(
    ("target", "data", "name", "want"),
    [
        ("azure-dpo", MARK + ROWS, "train.jsonl", []),
        ("azure-dpo", MARK + ROWS.replace(b"\n", b"\r\n"), "train.jsonl", []),
        ("azure-dpo", MARK + ROWS.rstrip(), "train.jsonl", []),
        ("openai-dpo", ROWS, "train.jsonl", []),
        ("azure-dpo", ROWS, "train.jsonl", [(1, "PD801", "the file has no byte-order mark")]),
        ("openai-dpo", MARK + ROWS, "train.jsonl", [(1, "PD803", "the file begins with a byte-order mark, which OpenAI does not ask for")]),
        ("openai-dpo", ROWS + b"\n", "train.jsonl", [(11, "PD804", "the line is blank")]),
        ("openai-dpo", ROWS[: len(ROWS) // 2], "train.jsonl", [(0, "PD811", "the file has 5 rows; it must have at least 10")]),
        ("openai-dpo", b"", "train.jsonl", [(0, "PD811", "the file has 0 rows; it must have at least 10")]),
        ("azure-dpo", MARK, "train.jsonl", [(0, "PD811", "the file has 0 rows; it must have at least 10")]),
        ("openai-dpo", ROWS, "train.txt", [(0, "PD812", "the name must end in .jsonl")]),
        ("openai-dpo", ROWS.decode().encode("utf-16"), "train.jsonl", [(0, "PD806", "the file is UTF-16")]),
        ("openai-dpo", b"\x1f\x8b\x08\x00", "train.jsonl", [(0, "PD806", "the file is compressed (gzip)")]),
        ("trl", b"PAR1", "train.parquet", [(0, "PD806", "the file is Parquet, not JSON lines")]),
    ],
)
def test_whole_files(look: Callable[..., Inspected], target: str, data: bytes, name: str, want: list[tuple[int, str, str]]) -> None:
    assert [(line, code, message) for line, code, _, message in seen(look(target, data=data, name=name))] == want


def test_files_that_are_too_large(look: Callable[..., Inspected], monkeypatch: pytest.MonkeyPatch) -> None:
    """By a reader with the rules of OpenAI and a smaller limit: the true one is 512 MB."""
    assert [READERS[t].max_bytes for t in BOTH] == [512_000_000] * 2
    monkeypatch.setitem(READERS, "small", READERS["openai-dpo"]._replace(max_bytes=len(ROWS)))
    assert seen(look("small", data=ROWS[:-1])) == []
    assert [(line, code) for line, code, _, _ in seen(look("small", data=ROWS))] == [(0, "PD810")]


PKU = {"prompt": "Q?", "response_0": "Yes.", "response_1": "No.", "better_response_id": 0}
TALK = {"prompt": [Q], "chosen": "Yes.", "rejected": "No."}


@pytest.mark.parametrize(
    ("bad", "want"),
    [
        (PKU, []),
        ({**PKU, "safer_response_id": 1, "is_response_0_safe": True}, []),
        ({**PKU, "better_response_id": "1"}, []),
        ({**PKU, "better_response_id": 2}, [("PD850", "better_response_id", "better_response_id is 2, neither 0 nor 1")]),
        ({**PKU, "better_response_id": -1}, [("PD850", "better_response_id", "better_response_id is -1, neither 0 nor 1")]),
        ({**PKU, "better_response_id": 0.5}, [("PD850", "better_response_id", "better_response_id is 0.5, neither 0 nor 1")]),
        ({**PKU, "better_response_id": None}, [("PD850", "better_response_id", "better_response_id is null, neither 0 nor 1")]),
        (without(dict(PKU), "better_response_id"), [("PD820", "better_response_id", "the row has no better_response_id")]),
        (without(dict(PKU), "response_1"), [("PD820", "response_1", "the row has no response_1")]),
        ({**PKU, "prompt": [Q]}, [("PD851", "prompt", "the prompt is a list of messages")]),
        ({**PKU, "prompt": " "}, [("PD831", "prompt", "prompt is empty or blank")]),
        ({**PKU, "prompt": None}, [("PD823", "prompt", "prompt must be a text, not null")]),
        ({**PKU, "response_0": "No."}, [("PD836", "response_1", "the two answers are equal")]),
        ({**PKU, "response_0": ""}, [("PD831", "response_0", "response_0 is empty or blank")]),
        ({**PKU, "response_0": [Y]}, [("PD823", "response_0", "response_0 must be a text, not a list")]),
        (b"", [("PD804", None, "the line is blank")]),
    ],
)
def test_align_anything(look: Callable[..., Inspected], bad: Any, want: list[tuple[str, str | None, str]]) -> None:
    assert [f[1:] for f in seen(look("align-anything", PKU, bad))] == want
    assert all(line == 2 for line, *_ in seen(look("align-anything", PKU, bad)))


@pytest.mark.parametrize(
    ("bad", "want"),
    [
        (TALK, []),
        ({**TALK, "prompt": "Q?"}, [("PD823", "prompt")]),
        ({**TALK, "prompt": []}, [("PD823", "prompt")]),
        ({**TALK, "prompt": [{"role": "human", "content": "Q?"}]}, [("PD830", "prompt[0].role")]),
        ({**TALK, "prompt": [{"role": "user", "content": ""}]}, [("PD831", "prompt[0].content")]),
        ({**TALK, "prompt": ["Q?"]}, [("PD823", "prompt[0]")]),
        ({**TALK, "chosen": [Y]}, [("PD823", "chosen")]),
        ({**TALK, "chosen": "No."}, [("PD836", "rejected")]),
    ],
)
def test_align_anything_with_conversations(look: Callable[..., Inspected], bad: Any, want: list[tuple[str, str]]) -> None:
    assert [(code, field) for _, code, field, _ in seen(look("align-anything", TALK, bad))] == want


def test_align_anything_files(look: Callable[..., Inspected]) -> None:
    line = encoded(PKU)
    assert seen(look("align-anything", data=MARK + line + b"\n"))[0][:2] == (1, "PD802")
    array = b"[" + line + b",\n " + encoded({**PKU, "better_response_id": 7}) + b"]"
    found = look("align-anything", data=array, name="train.json")
    assert found.rows == 2
    assert [(f.line, f.unit, f.code) for f in found.findings] == [(2, "row", "PD850")]
    lines = look("align-anything", data=line + b"\n" + line + b"\n", name="train.json")
    assert [f.code for f in lines.findings] == ["PD805", "PD811"], "a .json file is read as one array"
    assert [f.code for f in look("align-anything", data=line, name="train.txt").findings] == ["PD812"]
    assert [f.code for f in look("align-anything", data=b'{"a": 1}', name="train.json").findings] == ["PD809", "PD811"]


CHAT = {"prompt": [Q], "chosen": [Y], "rejected": [N]}
PLAIN = {"prompt": "Q?", "chosen": " Yes.", "rejected": " No."}
KTO = {"prompt": [Q], "completion": [Y], "label": True}


@pytest.mark.parametrize(
    ("first", "second", "want"),
    [
        (CHAT, CHAT, []),
        (PLAIN, PLAIN, []),
        (KTO, {**KTO, "label": False}, []),
        ({"prompt": [Q]}, {"prompt": [Q]}, []),
        ({"messages": [Q, Y]}, {"messages": [Q, Y]}, []),
        ({**CHAT, "margin": 1}, {**CHAT, "margin": 0.5}, []),
        ({"prompt": "Q", "completions": ["a"], "labels": [True]}, {"prompt": "Q", "completions": ["a"], "labels": [True]}, []),
        (CHAT, {**CHAT, "prompt": "Q?"}, [("PD861", "prompt"), ("PD860", "prompt")]),
        (CHAT, PLAIN, [("PD861", "chosen"), ("PD861", "prompt"), ("PD861", "rejected")]),
        ({**CHAT, "margin": 1.0}, CHAT, [("PD862", "margin")]),
        ({**CHAT, "margin": 1.0}, {**CHAT, "margin": None}, [("PD862", "margin")]),
        (CHAT, {**CHAT, "margin": 1.0}, [("PD862", "margin")]),
        ({**CHAT, "margin": 1.0}, {**CHAT, "margin": "1"}, [("PD861", "margin"), ("PD823", "margin")]),
        (CHAT, {**CHAT, "rejected": [Y]}, [("PD836", "rejected")]),
        (PLAIN, {**PLAIN, "chosen": " No."}, [("PD836", "rejected")]),
        (PLAIN, {**PLAIN, "chosen": " "}, [("PD831", "chosen")]),
        (KTO, {**KTO, "label": 1}, [("PD863", "label")]),
        (KTO, {**KTO, "label": "true"}, [("PD863", "label")]),
        (CHAT, {**CHAT, "prompt": [Q, Y]}, [("PD864", "prompt")]),
        (CHAT, {**CHAT, "prompt": []}, [("PD831", "prompt")]),
        (CHAT, {**CHAT, "prompt": [{"role": "human", "content": "Q?"}]}, [("PD830", "prompt[0].role")]),
        (CHAT, {**CHAT, "chosen": [{"role": "assistant", "content": ""}]}, [("PD831", "chosen[0].content")]),
        (CHAT, {**CHAT, "chosen": [{"role": "assistant", "content": 3}]}, [("PD823", "chosen[0].content")]),
        (CHAT, {**CHAT, "chosen": [Q]}, [("PD833", "chosen")]),
        (CHAT, {**CHAT, "chosen": ["Yes."]}, [("PD823", "chosen[0]"), ("PD833", "chosen")]),
        (CHAT, {**CHAT, "tools": '[{"name": "f"}]'}, [("PD840", "tools")]),
        (CHAT, {**CHAT, "tools": "[{"}, [("PD840", "tools")]),
        (CHAT, {**CHAT, "tools": json.dumps([TOOL])}, []),
    ],
)
def test_trl(look: Callable[..., Inspected], first: Any, second: Any, want: list[tuple[str, str]]) -> None:
    result = look("trl", first, second)
    assert [(code, field) for _, code, field, _ in seen(result)] == want
    assert {line for line, *_ in seen(result)} <= {2}


@pytest.mark.parametrize(
    ("only", "want"),
    [
        ({"prompt": [Q], "chosen": [Y]}, [("PD820", "rejected", "the first row has no rejected, which its layout needs")]),
        ({"completion": "a", "label": True}, [("PD820", "prompt", "the first row has no prompt, which its layout needs")]),
        ({"question": "Q?"}, [("PD820", "prompt", "the first row has no prompt, which its layout needs")]),
        ({"chosen": [Q, Y], "rejected": [Q, N]}, []),
    ],
)
def test_trl_layouts(look: Callable[..., Inspected], only: Any, want: list[tuple[str, str, str]]) -> None:
    assert [f[1:] for f in seen(look("trl", only))] == want


def test_trl_prompts_that_are_not_stated(look: Callable[..., Inspected]) -> None:
    texts = {"chosen": "The sky is blue.", "rejected": "The sky is black."}
    turns = {"chosen": [Q, Y], "rejected": [{**Q, "content": "Why?"}, N]}
    for only in (texts, turns):
        result = look("trl", only)
        assert [(f.code, f.severity) for f in result.findings] == [("PD865", "warning")]


def test_trl_reads_what_datasets_reads(look: Callable[..., Inspected]) -> None:
    data = encoded(CHAT)
    for text, name in ((MARK + data, "a.jsonl"), (data + b"\n\n", "a.txt"), (b" [" + data + b"]", "a.json"), (data, "b.json")):
        assert seen(look("trl", data=text, name=name)) == []


H, G, S = {"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A."}, {"from": "system", "value": "S"}
RANK = {"conversations": [H], "chosen": {"from": "gpt", "value": "Yes."}, "rejected": {"from": "gpt", "value": "No."}}
ALPACA = {"instruction": "Q?", "input": "", "chosen": "Yes.", "rejected": "No."}
TAGGED = {"messages": [Q, Y], "label": True}


@pytest.mark.parametrize(
    ("bad", "want"),
    [
        (RANK, []),
        ({**RANK, "conversations": [S, H, G, H]}, []),
        ({**RANK, "conversations": [H, G]}, [("PD871", "conversations")]),
        ({**RANK, "conversations": [S]}, [("PD871", "conversations")]),
        ({**RANK, "conversations": [H, H, H]}, [("PD870", "conversations[1]")]),
        ({**RANK, "conversations": [G, H, G]}, [("PD870", "conversations[0]")]),
        ({**RANK, "conversations": [{"from": "user", "value": "Q?"}]}, [("PD830", "conversations[0].from")]),
        ({**RANK, "conversations": [{"from": "human", "value": 3}]}, [("PD823", "conversations[0].value")]),
        ({**RANK, "conversations": []}, [("PD823", "conversations")]),
        ({**RANK, "conversations": [{"from": "human", "text": "Q?"}]}, [("PD820", "conversations[0]")]),
        ({**RANK, "chosen": "Yes."}, [("PD872", "chosen")]),
        ({**RANK, "chosen": [G]}, [("PD872", "chosen")]),
        ({**RANK, "chosen": {"from": "gpt", "value": "  "}}, [("PD831", "chosen.value")]),
        ({**RANK, "chosen": {"from": "gpt", "value": "No."}}, [("PD836", "rejected")]),
        (without(dict(RANK), "rejected"), [("PD820", "rejected")]),
        (ALPACA, []),
        ({**ALPACA, "chosen": {"from": "gpt", "value": "Yes."}}, [("PD872", "chosen")]),
        ({**ALPACA, "chosen": ["Yes.", "No."]}, [("PD872", "chosen")]),
        ({**ALPACA, "chosen": ""}, [("PD831", "chosen")]),
        ({**ALPACA, "chosen": "No."}, [("PD836", "rejected")]),
        (without(dict(ALPACA), "instruction"), [("PD820", "instruction")]),
        (TAGGED, []),
        ({**TAGGED, "label": 1}, [("PD873", "label")]),
        ({**TAGGED, "label": "false"}, [("PD873", "label")]),
        ({**TAGGED, "messages": [Q]}, [("PD871", "messages")]),
        ({**TAGGED, "messages": [Q, {"role": "assistant", "content": ""}]}, [("PD831", "messages[1].content")]),
        ({"instruction": "Q?", "output": "A.", "kto_tag": False}, []),
        ({"instruction": "Q?", "output": "A.", "kto_tag": 0}, [("PD873", "kto_tag")]),
        ({"instruction": "Q?", "output": "", "kto_tag": True}, [("PD831", "output")]),
        ({"instruction": "Q?", "kto_tag": True}, [("PD820", "output")]),
    ],
)
def test_llama_factory(look: Callable[..., Inspected], bad: Any, want: list[tuple[str, str]]) -> None:
    assert [(code, field) for _, code, field, _ in seen(look("llama-factory", bad))] == want


@pytest.mark.parametrize("name", ["llamafactory_demo/dpo_en_demo.json", "llamafactory_demo/kto_en_demo_part.json"])
def test_its_own_demonstration_files(real: Callable[[str], Path], name: str) -> None:
    result = inspect(str(real(name)), "llama-factory")
    assert result.rows > 0
    assert [f for f in result.findings if f.severity == "error"] == []


SETS = (
    "pku_layout_derived/pku_saferlhf_layout.jsonl",
    "hh_rlhf_harmless/harmless_base_test_part.jsonl.gz",
    "tulu1_human_eval/annotations_part.csv.gz",
    "oasst_trees/en_trees_part.jsonl.gz",
)
FORMS = (
    ("align-anything", "pku"), ("align-anything", "conversation"), ("azure-dpo", None), ("openai-dpo", None), ("trl", "preference"),
    ("trl", "reward"), ("trl", "implicit"), ("trl", "standard"), ("llama-factory", "sharegpt"), ("llama-factory", "alpaca"),
)  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_what_prefdata_exports_passes(real: Callable[[str], Path], run: Convert, tmp_path: Path, name: str) -> None:
    df, _ = run(real(name), to="pair")
    df.write_parquet(tmp_path / "records.parquet")
    for to, form in FORMS:
        out = tmp_path / f"{to}-{form}"
        result = export(str(tmp_path / "records.parquet"), str(out), ExportOptions(to=to, form=form))
        found = inspect([str(out / f["path"]) for f in result.files if f["rows"]], to)
        assert found.rows == result.counts["kept"] > 0
        assert {f.code for f in found.findings} <= {"PD842"}, (to, form)


def test_binary_exports_pass(real: Callable[[str], Path], run: Convert, tmp_path: Path) -> None:
    df, _ = run(real("xstest/xstest_v2_completions_gpt4.csv"))
    df.write_parquet(tmp_path / "records.parquet")
    for to, form in (("trl", "unpaired"), ("llama-factory", "kto")):
        out = tmp_path / to
        export(str(tmp_path / "records.parquet"), str(out), ExportOptions(to=to, form=form))
        assert inspect(str(out / "train.jsonl"), to).findings == []


def test_findings_are_counted_in_full_and_kept_up_to_a_number(tmp_path: Path) -> None:
    a, b = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    for path in (a, b):
        path.write_text("".join(json.dumps({**PKU, "better_response_id": 9}) + "\n" for _ in range(5)))
    result = inspect([str(a), str(b)], "align-anything", show=3)
    assert result.rows == 10 and result.counts == {"PD850": 10}
    assert [(f.file, f.line) for f in result.findings] == [(str(a), 1), (str(a), 2), (str(a), 3)]


def test_keys_are_shown_cut_and_without_control_characters(look: Callable[..., Inspected]) -> None:
    result = look("openai-dpo", row(top={"\x1b[31m" + "k" * 100: 1}), good=row())
    assert result.findings[0].message == f"a row has no key {chr(39)}\\x1b[31m{'k' * 32}...{chr(39)}"


def test_errors_of_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="files of 'azure' cannot be inspected: did you mean azure-dpo"):
        inspect("x.jsonl", "azure")
    with pytest.raises(UsageError, match="files of azure-dpo, openai-dpo, align-anything, trl, llama-factory can be"):
        inspect("x.jsonl", "csv")
    with pytest.raises(InputError, match=r"nothing\.jsonl: No such file"):
        inspect(str(tmp_path / "nothing.jsonl"), "trl")


def test_the_words_have_the_shape_of_rules() -> None:
    names = [f.name for f in dataclasses.fields(Rule)][:8]
    words = by_code()
    assert list(words) == sorted(words) and len({w.name for w in words.values()}) == len(words)
    for w in words.values():
        assert list(w._asdict()) == names
        assert Rule(**w._asdict()).code.startswith("PD8")
        assert all(w) and w.severity in ("error", "warning", "info")
        assert w.fix[0].islower() and not w.fix.endswith(".") and w.reason.endswith(".")


def test_a_finding_has_the_fields_of_a_report() -> None:
    from prefdata.checks.result import Finding

    found = Found("a.jsonl", 3, "PD850", "error", "words", "better_response_id", "row")
    assert Finding(**found._asdict()) == Finding("a.jsonl", 3, "PD850", "error", "words", "better_response_id", None, "row")


INNER = ["role", "content", "from", "value", "type", "text", "tool_calls", "function", "id", "name", "weight"]
TOP = [
    "input",
    "preferred_output",
    "prompt",
    "chosen",
    "rejected",
    "completion",
    "label",
    "margin",
    "tools",
    "messages",
    "conversations",
    "instruction",
    "response_0",
    "response_1",
    "better_response_id",
    "kto_tag",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.sampled_from(["", "user", "assistant", "system", "text", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INNER), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from(TOP), JSON, max_size=6), max_size=3))
@settings(max_examples=300, deadline=None)
def test_no_row_stops_an_inspection(rows: list[dict[str, Any]]) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".jsonl") as f:
        f.write("".join(json.dumps(r) + "\n" for r in rows).encode())
        f.flush()
        for target in READERS:
            assert inspect(f.name, target).rows == len(rows)
