"""The server's side: what a request shows, read from its body alone, and replies as servers write them. Shares no code with the judges."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from prefdata.llm.plan import Plan, Unanswered, answer
from prefdata.llm.request import Reply, Request

Body = dict[str, Any]
Server = Callable[[Body], bytes]
Key = str | tuple[tuple[str, str], ...]
"""A candidate: its text, or the roles and texts of its turns."""
Spread = dict[str, float]


def shown(body: Body) -> dict[str, Key]:
    """The fenced texts of the user message by their names. The first fence in it tells the token; lines with any other token are text."""
    text = body["messages"][-1]["content"]
    first = re.search(r"<<<([^<>\n]+) ([0-9a-f]{12})>>>\n", text)
    assert first is not None
    token = first[2]
    edge = re.compile(rf"<<<([^<>\n]+) {token}>>>")
    found: dict[str, Key] = {}
    open_: list[tuple[str, int]] = []
    inner: list[tuple[str, str]] = []
    for m in edge.finditer(text):
        if m[1] != "end":
            open_.append((m[1], m.end() + 1))
            continue
        name, begin = open_.pop()
        if open_:
            inner.append((name, text[begin : m.start() - 1]))
        else:
            assert name not in found
            found[name] = tuple(inner) if inner else text[begin : m.start() - 1]
            inner = []
    assert not open_
    return found


def answers(body: Body) -> list[Key]:
    """The candidates in the order shown."""
    return [v for k, v in shown(body).items() if k.split()[0] == "answer"]


def completion(text: str | None, tokens: Sequence[tuple[str, Spread]] | None = None, finish: str = "stop", **message: Any) -> bytes:
    """The body of a reply. `tokens` have the log-probs of what could stand in their place."""
    content = None
    if tokens is not None:
        content = [{"token": t, "logprob": lp.get(t, -0.01), "top_logprobs": [_top(k, v) for k, v in lp.items()]} for t, lp in tokens]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, **message},
        "finish_reason": finish,
        "logprobs": {"content": content} if content is not None else None,
    }
    return json.dumps({"object": "chat.completion", "model": "m", "choices": [choice]}, ensure_ascii=True).encode()


def _top(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def tokens_of(text: str, places: dict[int, Spread]) -> list[tuple[str, Spread]]:
    """A text in tokens: each word with the space before it, each number, each line end. `places` are the spreads of tokens by number."""
    pieces = re.findall(r" ?[A-Za-z]+| ?\d+|\s|[^\w\s]", text)
    assert "".join(pieces) == text
    return [(p, places.get(i, places.get(i - len(pieces), {p: -0.001, "zz": -7.0}))) for i, p in enumerate(pieces)]


def odds(log_odds: float, space: str = "", rest: float = 0.01, tie: float = 0.0) -> Spread:
    """Log-probs of A, B and tie with these log-odds of A against B, A written in several ways."""
    a = (1 - rest - tie) / (1 + math.exp(-log_odds))
    b = (1 - rest - tie) / (1 + math.exp(log_odds))
    ways = {space + "A": a / 2, "(A": a / 4, "a": a / 4, space + "B": b, "The": rest / 2} | ({space + "tie": tie} if tie else {})
    return {k: math.log(p) for k, p in sorted(ways.items(), key=lambda x: -x[1])}


def drive(plan: Plan[Any], server: Server) -> Any:
    """The result of a plan whose requests are answered one by one."""
    found = answer(plan, lambda requests: [_reply(r, server) for r in requests], lambda r: "never")
    assert not isinstance(found, Unanswered)
    return found


def _reply(r: Request, server: Server) -> Reply:
    return Reply(r.key, "ok", server(json.loads(r.body)))


def turn(text: str, role: str = "assistant", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": text, "name": None, "tool_calls": None, "tool_call_id": None, **more}


def pair(chosen: Any, rejected: Any, prompt: Any = "Why is the sky blue?", **more: Any) -> dict[str, Any]:
    """A pair record; texts stand for one turn."""
    row = {"prompt": _turns(prompt, "user"), "chosen": _turns(chosen), "rejected": _turns(rejected), "tools": None, "meta": None, **more}
    return {"id": _id(row), **row}


def listwise(*candidates: Any, prompt: Any = "Why is the sky blue?", **more: Any) -> dict[str, Any]:
    completions = [{"id": _id(c), "messages": _turns(c), "model": None, "score": None, "rank": None} for c in candidates]
    row = {"prompt": _turns(prompt, "user"), "completions": completions, "tools": None, "meta": None, **more}
    return {"id": _id(row), **row}


def binary(completion_: Any, prompt: Any = "Why is the sky blue?", **more: Any) -> dict[str, Any]:
    row = {"prompt": _turns(prompt, "user"), "completion": _turns(completion_), "label": True, "tools": None, "meta": None, **more}
    return {"id": _id(row), **row}


def _turns(what: Any, role: str = "assistant") -> list[dict[str, Any]]:
    return [turn(what, role)] if isinstance(what, str) else what


def _id(what: Any) -> str:
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]
