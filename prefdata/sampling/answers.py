"""Replies as candidates: the answer that is shown, the thought before it, why it ended, or why there is none."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import ValidationError

from prefdata.judges.heard import written
from prefdata.llm.request import OK, REFUSALS, Reply
from prefdata.sampling.policies import Policy
from prefdata.sampling.thoughts import parts
from prefdata.schema.grammar import MAX_CONTENT_BYTES, WHITESPACE
from prefdata.schema.records import Message

NO_REPLY = "no-reply"
UNKNOWN = "unknown"
"""finish_reason of a server that gives none."""
WORDS = {
    **REFUSALS,
    "context-length": "prompt and answer are longer than the model's context",
    "no-answer": "with --thoughts: not a thought and an answer behind their markers",
    "empty": "the model said nothing",
    "refusal": "the server says that the model refused",
    "tool-call": "a tool call that is none, or of a prompt without tools",
    "template": "the chat template refuses the prompt",
    "too-long": "longer than any record may be",
}
"""Why there is no candidate."""


class Answer(NamedTuple):
    """A candidate as the model wrote it."""

    turn: dict[str, Any]
    finish: str
    thought: str | None

    @property
    def about(self) -> dict[str, str | None]:
        return {"finish": self.finish, "thought": self.thought}


def words(code: str) -> str:
    """A reason for people."""
    return "no reply; the same command asks again" if code.startswith(NO_REPLY) else WORDS.get(code, code)


def answer(reply: Reply, policy: Policy, tools: bool) -> Answer | str:
    """What a reply gives, or why it gives nothing (a key of WORDS). The text stays as it is, to the white space around it."""
    if reply.code != OK:
        return reply.code
    finish = reply.finish_reason or UNKNOWN
    message = reply.choice.get("message")
    said: dict[str, Any] = message if isinstance(message, dict) else {}
    calls, text, thought = said.get("tool_calls") or None, written(reply.text), None
    if policy.thoughts and not calls:
        found = parts(text)
        if found is None:
            return "content-filter" if finish == "content_filter" else "no-answer"
        thought, text = found
    if calls is not None:
        turn = _called(text, calls) if tools else None
        return "tool-call" if turn is None else Answer(turn, finish, None)
    if not text.strip(WHITESPACE):
        return "content-filter" if finish == "content_filter" else "refusal" if said.get("refusal") else "empty"
    if len(text.encode()) > MAX_CONTENT_BYTES:
        return "too-long"
    return Answer({"role": "assistant", "content": text}, finish, thought)


def _called(text: str, calls: Any) -> dict[str, Any] | None:
    """A turn that calls tools, None when it is not what a record can hold."""
    try:
        return Message.model_validate({"role": "assistant", "content": text, "tool_calls": calls}).model_dump()
    except ValidationError:
        return None
