"""A reply as a chat completion: tokens with log-probs, usage. The mock's tokens are words with the space before them, which is about what
real tokenizers do."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from typing import Any

import orjson

from prefdata.llm.mock_judges import Piece, Spread

_TOKEN = re.compile(r" ?\w+| ?[^\w\s]+|\s+")
_OTHERS = (
    " the",
    " I",
    " It",
    "\n",
    " Both",
    " This",
    ":",
    "**",
    " is",
    " a",
    " To",
    " and",
    ".",
    " In",
    " of",
    ",",
    " We",
    " There",
    " As",
    " Here",
)
"""What gets the probability that is left over."""
SURE = 0.999


def tokens_of(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces cut into tokens; each has a spread."""
    out: list[Piece] = []
    for piece in pieces:
        if piece.spread is None:
            out += [Piece(t, {t: SURE}) for t in _TOKEN.findall(piece.text)]
        else:
            out.append(piece)
    return out


def choice(tokens: list[Piece], body: dict[str, Any], finish_reason: str) -> tuple[dict[str, Any], int]:
    """The choice of a chat completion (without its index), cut at the most tokens that the body allows, and the number of its tokens."""
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    if type(most) is int and 0 < most < len(tokens):
        tokens, finish_reason = tokens[:most], "length"
    wanted = body.get("top_logprobs")
    k = wanted if type(wanted) is int else 0
    content = [_token(t, k) for t in tokens] if body.get("logprobs") is True else None
    message = {"role": "assistant", "content": "".join(t.text for t in tokens)}
    return {"message": message, "logprobs": {"content": content} if content is not None else None, "finish_reason": finish_reason}, len(
        tokens
    )


def _token(token: Piece, k: int) -> dict[str, Any]:
    spread = token.spread or {token.text: SURE}
    top = [_entry(t, p) for t, p in sorted(_full(spread, k).items(), key=lambda x: -x[1])[:k]]
    return {**_entry(token.text, spread.get(token.text, SURE)), "top_logprobs": top}


def _full(spread: Spread, k: int) -> Spread:
    """The spread with k tokens at least, as servers give so many: what is left over is halved from one to the next."""
    left = max(1.0 - sum(spread.values()), 1e-6)
    smallest = min((p for p in spread.values() if p > 0), default=1.0)
    others = [t for t in _OTHERS if t not in spread][: max(k - len(spread), 0)]
    return spread | {t: min(left, smallest / 2) / 2 ** (i + 1) for i, t in enumerate(others)}


def _entry(token: str, p: float) -> dict[str, Any]:
    return {"token": token, "logprob": round(math.log(max(p, 1e-9)), 6), "bytes": list(token.encode("utf-8", "surrogatepass"))}


def completion(body: dict[str, Any], raw: bytes, pieces: list[Piece], finish_reason: str = "stop") -> dict[str, Any]:
    """The chat completion that says the pieces."""
    tokens = tokens_of(pieces)
    made, spent = choice(tokens, body, finish_reason)
    n = body["n"] if type(body.get("n")) is int and 1 <= body["n"] <= 128 else 1
    tokens_in = sum(len(orjson.dumps(m)) for m in body["messages"]) // 4
    return {
        "id": "chatcmpl-" + hashlib.sha256(raw).hexdigest()[:24],
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": i, **made} for i in range(n)],
        "usage": {"prompt_tokens": tokens_in, "completion_tokens": spent * n, "total_tokens": tokens_in + spent * n},
    }
