"""What came back from a server, in one word, and what follows from it. The words are listed in docs/servers.md."""

from __future__ import annotations

from typing import Any

import orjson

from prefdata.llm.request import OK, REFUSALS, Reply

RETRIED = {
    "rate-limited": "the server says that requests come too fast (429)",
    "overloaded": "the server is overloaded (503, 529)",
    "server-error": "the server failed (5xx)",
    "timeout": "no whole answer within --timeout",
    "unreachable": "no connection",
    "connection-lost": "the connection broke",
    "broken-json": "the answer is not JSON",
    "no-choices": "the answer has no choices",
}
"""Failures that may pass."""
FAILED = {"reply-too-large": "the answer is larger than any answer should be"}
"""Failures that stay."""
FATAL = {
    "wrong-key": "the server does not accept the key (401, 403)",
    "not-found": "the server does not know the model or the address (404, 405)",
    "redirected": "the server sends requests elsewhere (3xx)",
    "no-quota": "the account has no quota or money left (402, 429 insufficient_quota)",
}
"""What ends the run."""
WAITED = {"rate-limited", "unreachable"}
"""Failures that cost nothing: the request waits for the server, as long as --deadline allows, without counting as a retry."""
CHARGED = {"timeout", "connection-lost", "broken-json", "no-choices", "reply-too-large"}
"""Failures that may have been billed: the model may have worked."""

_STATUS = {401: "wrong-key", 402: "no-quota", 403: "wrong-key", 404: "not-found", 405: "not-found", 503: "overloaded", 529: "overloaded"}
_AGAIN = {408, 409, 425}
_QUOTA = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_FILTER = {"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation", "moderation"}
_LENGTH = ("context_length_exceeded", "maximum context length", "context size", "context length", "context window")
_MOST_TOKENS = 2**40


def outcome(status: int, body: bytes, reply: Reply) -> str:
    """`ok`, one of REFUSALS, RETRIED, FATAL. `reply` is the body as it would be stored."""
    if 200 <= status < 300:
        return _answer(reply)
    if 300 <= status < 400:
        return "redirected"
    error = error_of(body)
    code = str(error.get("code") or error.get("type") or "")
    if status == 429:
        return "no-quota" if code in _QUOTA or error.get("type") in _QUOTA else "rate-limited"
    if status in (400, 403, 413, 422):
        refused = _refusal(code, error)
        if refused or status != 403:
            return refused or "bad-request"
    if status in _STATUS:
        return _STATUS[status]
    return "server-error" if status >= 500 or status in _AGAIN else "bad-request"


def _answer(reply: Reply) -> str:
    try:
        choices = reply.body.get("choices", reply.body.get("data"))  # /score, /classify and /pooling answer with data
    except orjson.JSONDecodeError:
        return "broken-json"
    if not reply.raw:
        return "broken-json"
    whole = isinstance(choices, list) and choices and all(isinstance(c, dict) for c in choices)
    return OK if whole else "no-choices"


def _refusal(code: str, error: dict[str, Any]) -> str:
    message = str(error.get("message", "")).lower()
    inner = error.get("innererror")
    if code in _FILTER or (isinstance(inner, dict) and inner.get("code") in _FILTER) or "flagged" in message:
        return "content-filter"
    if any(words in message or words in code for words in _LENGTH):
        return "context-length"
    return ""


def error_of(body: bytes) -> dict[str, Any]:
    """The error object of a response; servers write `{"error": {...}}`, `{"error": "..."}`, `{"message": ...}` or `{"detail": ...}`."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(found, dict):
        return {}
    error = found.get("error", found)
    if isinstance(error, str):
        return {**found, "message": error}
    if not isinstance(error, dict):
        return {}
    return error if "message" in error else {**error, "message": error.get("detail", "")}


def said(body: bytes) -> str:
    """The server's message on one line of at most 300 characters, without those that could steer a terminal."""
    text = str(error_of(body).get("message") or "") or body[:2000].decode("utf-8", "replace")
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= 300 else line[:299] + "…"


def usage_of(reply: Reply) -> tuple[int, int] | None:
    """The tokens that the server counted, None where it says nothing or nonsense."""
    found = reply.usage
    return found if found and max(found) < _MOST_TOKENS else None


def meaning(code: str) -> str:
    """A code in words."""
    return {**REFUSALS, **RETRIED, **FAILED, **FATAL}[code]
