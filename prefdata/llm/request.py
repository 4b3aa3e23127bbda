"""A chat completion that is asked for, and what came back. The key of a request is the hash of its content: the same question is asked,
paid and stored once, whoever asks it and in whatever order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One call of `/chat/completions`.

    `body` is sent as it is. `pool` names the servers to ask (`Client.pools`); it is no part of the key, as several servers may serve one
    model. `max_tokens` is the most that the answer can cost.
    """

    key: bytes
    body: bytes
    max_tokens: int
    pool: str = ""

    @property
    def id(self) -> str:
        """The key as annotations and batch files write it (64 hexadecimal digits)."""
        return self.key.hex()

    @property
    def model(self) -> str:
        """The model that is asked (Azure: the deployment)."""
        return str(orjson.loads(self.body).get("model", ""))


def request(model: str, messages: list[Message], max_tokens: int, *, sample: int = 0, pool: str = "", **parameters: Any) -> Request:
    """The request for one answer. `sample` tells answers apart that are asked for with the same words (votes, second tries).

    `parameters` are those of the chat completions API (temperature, logprobs, seed ...); None leaves one out. With
    `max_completion_tokens`, which reasoning models take, `max_tokens` is not sent.
    """
    given = {k: v for k, v in parameters.items() if v is not None}
    limit = {} if "max_completion_tokens" in given else {"max_tokens": max_tokens}
    fields = {**given, **limit, "messages": messages, "model": model}
    # sorted on top only: models write the fields of a JSON reply in the order in which its schema has them
    body = orjson.dumps({k: fields[k] for k in sorted(fields)})
    digest = hashlib.sha256(b"chat/completions\n%d\n" % sample)
    digest.update(body)
    return Request(digest.digest(), body, max_tokens, pool)


OK = "ok"
DRY = "dry"
REFUSALS = {
    "content-filter": "the server's content filter refused the request",
    "context-length": "the request is longer than the model's context",
    "bad-request": "the server refused the request",
}
"""Answers that stay the same when the request is sent again: they are results of a row, stored like answers."""


@dataclass(frozen=True)
class Reply:
    """What the server said to one request: `code` is `ok`, one of `REFUSALS`, or `dry` (a dry run sent nothing).

    `raw` is the body of the response. An `ok` body is a JSON object with a list of choices; all else may be missing or of any type.
    """

    key: bytes
    code: str
    raw: bytes = b""

    @cached_property
    def body(self) -> dict[str, Any]:
        found = orjson.loads(self.raw) if self.raw and self.code == OK else {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def choice(self) -> dict[str, Any]:
        """The first choice, {} when there is none."""
        choices = self.body.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        return first if isinstance(first, dict) else {}

    @property
    def text(self) -> str:
        """The answer's text, "" when there is none."""
        message = self.choice.get("message")
        text = message.get("content") if isinstance(message, dict) else None
        return text if isinstance(text, str) else ""

    @property
    def finish_reason(self) -> str | None:
        found = self.choice.get("finish_reason")
        return found if isinstance(found, str) else None

    @property
    def tokens(self) -> list[dict[str, Any]]:
        """The answer's tokens, `{"token", "logprob", "top_logprobs": [{"token", "logprob"}]}` each; [] when the server gave none."""
        found = self.choice.get("logprobs")
        content = found.get("content") if isinstance(found, dict) else None
        return [t for t in content if isinstance(t, dict)] if isinstance(content, list) else []

    @property
    def model(self) -> str | None:
        """The model that the server says answered."""
        found = self.body.get("model")
        return found if isinstance(found, str) else None

    @property
    def usage(self) -> tuple[int, int] | None:
        """`(prompt tokens, completion tokens)`, None when the server does not say."""
        found = self.body.get("usage")
        if not isinstance(found, dict):
            return None
        n, m = found.get("prompt_tokens"), found.get("completion_tokens")
        return (n, m) if type(n) is int and type(m) is int and n >= 0 and m >= 0 else None
