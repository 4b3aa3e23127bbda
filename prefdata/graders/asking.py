"""Graders that ask a model: the request for an answer, and the score in the reply."""

from __future__ import annotations

import re
from typing import Any

from prefdata.graders.graded import Failed, Graded, Row, failed
from prefdata.graders.load import Grader
from prefdata.graders.rows import parsed
from prefdata.graders.specs import Asks, LabelModel, Message, ScoreModel
from prefdata.graders.template import fill
from prefdata.llm.plan import Plan
from prefdata.llm.request import OK, REFUSALS, Reply, Request, request

ROOM = 2048
"""Tokens for a reply whose grader names no limit: it may give its steps before the score."""
_NUMBER = re.compile(r"[-+]?(?:\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})(?:[eE][-+]?\d{1,2})?")


def plan_of(
    grader: Grader, row: Row, *, model: str | None = None, pool: str = "", structured: bool = True, sample: int = 0
) -> Plan[dict[str, Graded]]:
    """Ask about one answer: what each part of the grader that asks a model says of it (for `run.grade_rows`).

    `model` is asked instead of those that the grader names. `structured`: the documented JSON reply is asked for by its schema;
    without, the grader's own words have to ask for a number (or label) and nothing else.
    """
    asked: dict[str, Request] = {}
    said: dict[str, Graded] = {}
    if (row["sample"].get("choices") or [{}])[0].get("finish_reason") == "length":
        return said
    for name in grader.asks:
        spec = grader.parts[name]
        assert isinstance(spec, Asks)
        try:
            asked[name] = _request(spec, row, model or spec.model, pool, structured, sample)
        except Failed as e:
            said[name] = Graded(None, str(e))
    if asked:
        replies = yield list(asked.values())
        for name, reply in zip(asked, replies, strict=True):
            said[name] = read(grader.parts[name], reply)
    return said


def _request(spec: Asks, row: Row, model: str, pool: str, structured: bool, sample: int) -> Request:
    s = spec.sampling_params
    room = s.max_completions_tokens or s.max_tokens or ROOM
    given: dict[str, Any] = {"seed": s.seed, "temperature": s.temperature, "top_p": s.top_p, "reasoning_effort": s.reasoning_effort}
    if s.reasoning_effort is not None:
        given["max_completion_tokens"] = room  # reasoning models refuse max_tokens
    if structured:
        given["response_format"] = response_format(spec)
    messages = [{"role": m.role, "content": _content(m, row)} for m in spec.input]
    return request(model, messages, room, sample=sample, pool=pool, **given)


def _content(message: Message, row: Row) -> str:
    return "\n\n".join(fill(block.text, row) for block in message.content)


def response_format(spec: Asks) -> dict[str, Any]:
    """The documented reply, `{"steps": [{"description", "conclusion"}], "result": number}`. Steps come first: tokens are written in
    the order of the schema, and reasons after a score only defend it."""
    text = {"type": "string"}
    step = _object({"description": text, "conclusion": text})
    result = {**text, "enum": spec.labels} if isinstance(spec, LabelModel) else {"type": "number"}
    schema = _object({"steps": {"type": "array", "items": step}, "result": result})
    return {"type": "json_schema", "json_schema": {"name": "grade", "strict": True, "schema": schema}}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def read(spec: object, reply: Reply) -> Graded:
    """The score in a reply: its field `result`, or the whole reply where that is a number (a label). Prose is never searched.

    A number outside of the range is cut to it, as documented. There, what is no number counts as 0; here it is a failed score.
    """
    if reply.code != OK:
        return failed(reply.code, REFUSALS.get(reply.code)) if reply.code in REFUSALS else failed("not-asked")
    if reply.finish_reason == "content_filter":
        return failed("refused", "the server's content filter cut the reply")
    text = reply.text.strip()
    if text.startswith("<think>"):
        text = text.partition("</think>")[2].strip()
    if reply.finish_reason == "length":
        return failed("reply-cut-off")
    message = reply.choice.get("message")
    if not text and isinstance(message, dict) and message.get("refusal"):
        return failed("refused")
    found = _result(text)
    if isinstance(spec, LabelModel):
        label = found if isinstance(found, str) else text
        return (
            Graded(float(label.strip() in spec.passing_labels))
            if label.strip() in spec.labels
            else failed("no-score", "the reply is none of the labels")
        )
    if isinstance(found, str | bool) or not isinstance(found, int | float):
        return failed("no-score", "the reply holds no number in its field result, nor is it one")
    assert isinstance(spec, ScoreModel)
    low, high = spec.range
    return Graded(min(max(float(found), low), high))


def _result(text: str) -> Any:
    """The field `result` of a JSON reply, or the number that is the whole reply."""
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        text = text[text.index("\n") : -3].strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    found = parsed(text)
    result = found.get("result") if isinstance(found, dict) else None
    if isinstance(result, str) and _NUMBER.fullmatch(result.strip()):
        return float(result)
    return result
