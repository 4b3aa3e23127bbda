"""A reply before its verdict is read: what was visible, whether it was cut off, and the replies in which nothing can be read at all."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from prefdata.judges.statement import Verdict
from prefdata.llm.request import OK, Reply


class Heard(NamedTuple):
    """The visible answer of a reply."""

    text: str
    """Without white space around it and without a thinking model's <think> part."""
    cut: bool
    tokens: list[dict[str, Any]]
    """Those of `text` and possibly white space before it; [] when there are none."""
    fields: dict[str, Any] | None
    """Of a JSON reply that was asked for."""
    min_p_valid: float

    def last_line(self) -> tuple[str, int]:
        """The last line that is not blank, and where it begins."""
        begin = max(self.text.rfind("\n"), self.text.rfind("\r")) + 1
        return self.text[begin:], begin

    def alone(self, longest: int) -> bool:
        """Whether the whole answer is one short line."""
        return len(self.text) <= longest and "\n" not in self.text and "\r" not in self.text

    def before(self, at: int) -> str | None:
        """What was said before the line of a verdict."""
        begin = max(self.text.rfind("\n", 0, at), self.text.rfind("\r", 0, at), 0)
        return self.text[:begin].strip() or None

    def rationale(self) -> str | None:
        """The reasons of a JSON reply."""
        found = (self.fields or {}).get("rationale")
        return written(found.strip()) or None if isinstance(found, str) else None


def invalid(why: str) -> Verdict:
    return Verdict("invalid", why)


def written(text: str) -> str:
    """A text that can be written as UTF-8: JSON escapes can spell half a character."""
    return text.encode("utf-8", "replace").decode("utf-8")


def heard(reply: Reply, structured: bool, min_p_valid: float) -> Heard | Verdict:
    """The visible answer, or the verdict of a reply without one."""
    if reply.code != OK:
        return Verdict("abstain", reply.code) if reply.code == "content-filter" else invalid(reply.code)
    finish = reply.finish_reason
    if finish == "content_filter":
        return Verdict("abstain", "content-filter")
    whole = reply.text
    text, cut = whole.strip(), finish == "length"
    if text.startswith("<think>"):
        _, end, text = text.partition("</think>")
        text = text.strip()
        if not end:
            return invalid("cut-off")
    if not text:
        return invalid("cut-off") if cut else _silent(reply)
    if structured:
        fields = None if cut else _fields(text)
        return Heard(text, cut, [], fields, min_p_valid) if fields is not None else invalid("cut-off" if cut else "not-json")
    tokens = reply.tokens
    if tokens and len(text) < len(whole.strip()):
        tokens = _after_thinking(tokens)
    return Heard(text, cut, tokens, None, min_p_valid)


def _silent(reply: Reply) -> Verdict:
    message = reply.choice.get("message")
    refused = message.get("refusal") if isinstance(message, dict) else None
    return Verdict("abstain", "refusal") if isinstance(refused, str) and refused.strip() else invalid("empty")


def _after_thinking(tokens: list[dict[str, Any]]) -> list[dict[str, Any]]:
    last = max((i for i, t in enumerate(tokens) if t.get("token") == "</think>"), default=-1)
    return tokens[last + 1 :] if last >= 0 else []


def _fields(text: str) -> dict[str, Any] | None:
    """The object of a JSON reply. One that says a thing twice says nothing clear."""
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        text = text[text.index("\n") : -3]  # a code block around the whole
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
