"""PD1: tool calls and their results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import polars as pl

from prefdata.checks.rule import Rule
from prefdata.checks.screens import where
from prefdata.checks.view import Hits, Mask, View

Turn = dict[str, Any]


def tool_calls(v: View) -> list[Hits]:
    flagged: dict[tuple[str, str], dict[int, int]] = {}
    rows = np.flatnonzero(_with_tools(v))
    fields = [*v.columns, *(["tools"] if "tools" in v.df.columns else [])]
    # conversations with tools are few, and what belongs together in them cannot be told by columns
    for row, record in zip(rows.tolist(), v.df.select(fields)[rows].iter_rows(named=True), strict=True):
        for column, turn, what in _problems(record, v.columns):
            flagged.setdefault((column, what), {}).setdefault(row, turn)
    return [
        Hits(np.array(list(at), dtype=np.int64), column, np.array(list(at.values()), dtype=np.int64), what)
        for (column, what), at in flagged.items()
    ]


def _with_tools(v: View) -> Mask:
    """Rows with a tool turn, a tool call or a reference to one."""
    found = np.zeros(len(v), dtype=bool)
    of_tools = where(v, pl.col("role") == "tool")
    calling = tuple(c for c in v.columns if "tool_calls" in v.turns(c).flat.columns)
    if calling:
        of_tools += v.where((pl.col("tool_calls").list.len() > 0) | pl.col("tool_call_id").is_not_null(), calling)
    for h in of_tools:
        found[h.rows] = True
    return found


def _problems(record: dict[str, Any], columns: tuple[str, ...]) -> Iterator[tuple[str, int, str]]:
    """(column, number of the turn in it, what is wrong); what is wrong in the prompt is said once."""
    defined = _defined(record.get("tools"))
    prompt: list[Turn] = record["prompt"]
    yield from (("prompt", i, what) for i, what in _talk(prompt, set(), defined, ends=True))
    before = {c["id"] for turn in prompt for c in turn.get("tool_calls") or ()}
    for column in columns[1:]:
        answers = [c["messages"] for c in record[column]] if column == "completions" else [record[column]]
        start = 0
        for answer in answers:
            yield from ((column, start + i, what) for i, what in _talk(answer, before, defined, ends=False))
            start += len(answer)


def _talk(turns: list[Turn], before: set[str | None], defined: set[str] | None, ends: bool) -> Iterator[tuple[int, str]]:
    """(number of a turn, what is wrong in it), `before` being the ids of earlier calls. Whoever `ends` with calls has no more results to
    come; an answer may end with a call."""
    known = set(before)
    waiting: list[tuple[str | None, int]] = []
    for i, turn in enumerate(turns):
        calls = turn.get("tool_calls") or []
        if turn["role"] == "tool":
            ident = turn.get("tool_call_id")
            if ident is not None and ident not in known:
                yield i, "a tool result refers to no earlier call"
            answered = next((w for w in waiting if ident is None or w[0] == ident), None)
            waiting = [w for w in waiting if w is not answered]
        else:
            yield from ((at, "a tool call is never answered") for _, at in waiting)
            waiting = []
        if calls and turn["role"] != "assistant":
            yield i, f"a {turn['role']} turn calls tools"
        for call in calls:
            yield from ((i, what) for what in _call(call, defined))
            known.add(call["id"])
            waiting.append((call["id"], i))
    if ends:
        yield from ((at, "a tool call is never answered") for _, at in waiting)


def _call(call: dict[str, Any], defined: set[str] | None) -> Iterator[str]:
    function = call["function"]
    try:
        arguments = orjson.loads(function["arguments"])
    except orjson.JSONDecodeError:
        yield "the arguments of a tool call are not JSON"
    else:
        if not isinstance(arguments, dict):
            yield "the arguments of a tool call are not a JSON object"
    if defined is not None and function["name"] not in defined:
        yield "a tool call names a function that 'tools' does not define"


def _defined(tools: str | None) -> set[str] | None:
    """The names of the functions that a record defines; None where it has no list of functions."""
    parsed = json.loads(tools) if tools else None
    if not isinstance(parsed, list):
        return None
    functions = [t.get("function", t) for t in parsed if isinstance(t, dict)]
    names = {f.get("name") for f in functions if isinstance(f, dict)}
    return {n for n in names if isinstance(n, str)} or None


RULES = (
    Rule(
        code="PD115",
        name="tool-calls",
        severity="error",
        message="a tool call and what belongs to it do not fit together",
        reason="Chat templates raise on such turns, and a model that learns from them calls functions that do not exist.",
        bad='{"role": "tool", "tool_call_id": "call_9", …} without a call of that id',
        good='{"role": "assistant", "tool_calls": [{"id": "call_9", …}]}, {"role": "tool", "tool_call_id": "call_9", …}',
        fix="correct the id, the name or the arguments, or drop the row",
        row=tool_calls,
    ),
)
