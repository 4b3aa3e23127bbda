"""A server for tests that can misbehave in every byte: raw TCP on a free port of the loopback, in a thread or (`python -m`) a process.

Behaviours are functions of an `Exchange` and write whatever they like. The server counts what it was asked and what it has billed.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson

Behaviour = Callable[["Exchange"], None]


class Exchange:
    """One request and the connection that its answer goes to."""

    def __init__(self, server: Server, transport: asyncio.Transport, head: bytes, raw: bytes) -> None:
        self.server, self.transport, self.head, self.raw = server, transport, head, raw

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.raw)
        return found

    @property
    def text(self) -> str:
        """The last message of the request."""
        return str(self.body["messages"][-1]["content"])

    def header(self, name: str) -> str:
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return ""

    @property
    def path(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    def send(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def respond(self, status: int, body: bytes, headers: str = "", kind: str = "application/json") -> None:
        """A well-formed response."""
        self.send(f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def json(self, status: int, body: Any, headers: str = "") -> None:
        self.respond(status, orjson.dumps(body), headers)

    def answer(self, text: str = "Answer: A", *, headers: str = "", **changes: Any) -> None:
        """A good answer, billed: 10 prompt tokens, 2 answer tokens. `changes` replace fields."""
        self.bill()
        body = {
            "id": "x",
            "object": "chat.completion",
            "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
        }
        self.json(200, {k: v for k, v in {**body, **changes}.items() if v is not ...}, headers)

    def bill(self, tokens_in: int = 10, tokens_out: int = 2) -> None:
        self.server.billed_calls += 1
        self.server.billed_tokens += tokens_in + tokens_out

    def later(self, seconds: float, then: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_later(seconds, then)

    def close(self) -> None:
        self.transport.close()

    def reset(self) -> None:
        """End the connection with RST."""
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class _Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self.server = server
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.connections.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self.data += data
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.data[:end]
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(self.data) < end + 4 + length:
            return
        raw, self.data = self.data[end + 4 : end + 4 + length], self.data[end + 4 + length :]
        self.server.requested(Exchange(self.server, self.transport, head, raw))


class Server:
    """A server in a thread; a context manager. `behaviour` may be changed while it runs."""

    def __init__(self, behaviour: Behaviour | None = None, latency: float = 0.0) -> None:
        self.behaviour = behaviour or Exchange.answer
        self.latency = latency
        self.requests = 0
        self.in_flight = 0
        self.asked: Counter[bytes] = Counter()
        self.billed_calls = 0
        self.billed_tokens = 0
        self.heads: list[bytes] = []
        self.connections: set[asyncio.Transport] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="server", daemon=True)

    def requested(self, exchange: Exchange) -> None:
        self.requests += 1
        self.asked[exchange.raw] += 1
        self.heads.append(exchange.head)
        if self.latency:
            exchange.later(self.latency, lambda: self.behaviour(exchange))
        else:
            self.behaviour(exchange)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def _start(self) -> None:
        self._server = await self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        for connection in list(self.connections):
            connection.abort()
        await asyncio.sleep(0)

    def __enter__(self) -> Server:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


def main() -> None:
    """A fast server in a process of its own, for measuring: `python -m tests.llm.server SECONDS_OF_LATENCY`; prints its port."""
    latency = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    answer = orjson.dumps(
        {
            "id": "x",
            "object": "chat.completion",
            "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Answer: A"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 800, "completion_tokens": 4, "total_tokens": 804},
            "padding": "x" * 600,
        }
    )
    server = Server(lambda exchange: exchange.respond(200, answer), latency)
    server.heads = _Nothing()  # type: ignore[assignment]
    server.asked = _Nothing()  # type: ignore[assignment]
    with server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        sys.stdin.read()


class _Nothing(dict[Any, int]):
    """Keeps no count: memory and time of the server are not what is measured."""

    def __missing__(self, key: Any) -> int:
        return 0

    def __setitem__(self, key: Any, value: int) -> None:
        return None

    def append(self, item: Any) -> None:
        return None


if __name__ == "__main__":
    main()
