"""A server of chat completions that does as little as possible: raw asyncio, one fixed answer of 0.9 kB with log-probs after a pause.

    PYTHON label_server.py [latency=0.1] [rpm=600] [limit=bucket|window] [headers=yes|no]

It prints its base URL and serves until it is killed. GET /stats: `{"seconds": [[accepted, refused], ...]}` since the first request.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from typing import cast

import uvloop

TOP = [("A", -0.31), ("B", -1.52), ("tie", -3.9), (" A", -5.1), ("The", -6.3), (" B", -7.0), ("I", -8.2), ("Both", -9.4)]
BODY = json.dumps(
    {
        "id": "chatcmpl-0123456789abcdef0123456789abcdef",
        "object": "chat.completion",
        "created": 1750000000,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "A", "refusal": None, "annotations": []},
                "logprobs": {
                    "content": [
                        {
                            "token": "A",
                            "logprob": -0.31,
                            "bytes": [65],
                            "top_logprobs": [{"token": t, "logprob": p, "bytes": list(t.encode())} for t, p in TOP],
                        }
                    ],
                    "refusal": None,
                },
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 700, "completion_tokens": 1, "total_tokens": 701},
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
    }
).encode()
REFUSED = b'{"error":{"message":"Rate limit reached for requests","type":"requests","param":null,"code":"rate_limit_exceeded"}}'


class Limit:
    """A number of requests a minute: a token bucket that holds those of one second, or minutes that begin with the first request."""

    def __init__(self, rpm: float, kind: str) -> None:
        self.rpm, self.kind = rpm, kind
        self.size = max(1.0, rpm / 60) if kind == "bucket" else rpm
        self.left = self.size
        self.then: float | None = None

    def take(self, now: float) -> bool:
        self.then = now if self.then is None else self.then
        if self.kind == "bucket":
            self.left = min(self.size, self.left + (now - self.then) * self.rpm / 60)
            self.then = now
        elif now - self.then >= 60:
            self.then += 60 * ((now - self.then) // 60)
            self.left = self.size
        if self.left < 1:
            return False
        self.left -= 1
        return True

    def wait(self, now: float) -> float:
        """Seconds until there is room for a request (bucket), until the next minute begins (window)."""
        assert self.then is not None
        return max(0.0, (1 - self.left) * 60 / self.rpm if self.kind == "bucket" else self.then + 60 - now)

    def full(self, now: float) -> float:
        """Seconds until all is as at the beginning."""
        return (self.size - self.left) * 60 / self.rpm if self.kind == "bucket" else self.wait(now)


class Server:
    def __init__(self, latency: float, limit: Limit | None, headers: bool) -> None:
        self.latency, self.limit, self.headers = latency, limit, headers
        self.seconds: list[list[int]] = []
        self.start: float | None = None
        self.usual = answer(200, BODY)

    def count(self, accepted: bool, now: float) -> None:
        self.start = now if self.start is None else self.start
        second = int(now - self.start)
        while len(self.seconds) <= second:
            self.seconds.append([0, 0])
        self.seconds[second][0 if accepted else 1] += 1

    def reply(self) -> tuple[float, bytes]:
        """When to answer, and what."""
        now = time.monotonic()
        if self.limit is None:
            self.count(True, now)
            return self.latency, self.usual
        accepted = self.limit.take(now)
        self.count(accepted, now)
        more = ""
        if self.headers:
            more = (
                f"x-ratelimit-limit-requests: {self.limit.rpm:g}\r\nx-ratelimit-remaining-requests: {int(self.limit.left)}\r\n"
                f"x-ratelimit-reset-requests: {math.ceil(self.limit.full(now) * 1000)}ms\r\n"
            )
            if not accepted:
                more += f"retry-after: {math.ceil(self.limit.wait(now))}\r\nretry-after-ms: {math.ceil(self.limit.wait(now) * 1000)}\r\n"
        return (self.latency, answer(200, BODY, more)) if accepted else (0.005, answer(429, REFUSED, more))


def answer(status: int, body: bytes, more: str = "") -> bytes:
    reason = {200: "OK", 429: "Too Many Requests"}[status]
    return f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{more}\r\n".encode() + body


class Talk(asyncio.Protocol):
    """One connection: requests with a content-length, one after the other."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.loop = asyncio.get_running_loop()
        self.buffer = bytearray()
        self.need = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= self.need:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self.buffer[:end]).lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            self.need = end + 4 + length
            if len(self.buffer) < self.need:
                return
            del self.buffer[: self.need]
            self.need = 0
            self.asked(head)
            if not self.buffer:
                return

    def asked(self, head: bytes) -> None:
        if head.startswith(b"get"):
            self.transport.write(answer(200, json.dumps({"seconds": self.server.seconds}).encode()))
            return
        after, reply = self.server.reply()
        if after:
            self.loop.call_later(after, self.answer, reply)
        else:
            self.answer(reply)

    def answer(self, reply: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(reply)


async def main() -> None:
    given = dict(a.split("=", 1) for a in sys.argv[1:])
    limit = Limit(float(given["rpm"]), given.get("limit", "bucket")) if "rpm" in given else None
    server = Server(float(given.get("latency", 0)), limit, given.get("headers", "yes") == "yes")
    listening = await asyncio.get_running_loop().create_server(lambda: Talk(server), "127.0.0.1", 0, backlog=2048)
    print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
