"""One HTTP/1.1 connection as an asyncio protocol: a request is written, httptools parses the response."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

LARGEST = 4 << 20
"""Bytes of the largest reply that is taken, also after decompression."""
LARGEST_HEAD = 64 << 10
"""Bytes of the largest head of a response."""


class Response(NamedTuple):
    status: int
    headers: Mapping[str, str]
    """Names in lower case; of a repeated header the last one."""
    body: bytes


class Lost(Exception):
    """There is no response: the code of the failure (`outcome.py`), and a line about it."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Connection(asyncio.Protocol):
    """Carries one request at a time. `reusable` says whether another may follow."""

    def __init__(self, parser: Any) -> None:
        self._make = parser
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[Response] | None = None
        self._socket: asyncio.Transport | None = None
        self.reusable = True
        self.since = 0.0
        """When it became idle."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def ask(self, message: bytes) -> asyncio.Future[Response]:
        """Send a whole request; the future has the response, or `Lost`."""
        assert self._socket is not None
        self._waiter = self._loop.create_future()
        self._begin()
        self._socket.write(message)
        return self._waiter

    def close(self) -> None:
        self.reusable = False
        if self._socket is not None:
            self._socket.abort()

    @property
    def open(self) -> bool:
        return self.reusable and self._socket is not None and not self._socket.is_closing()

    def _begin(self) -> None:
        self._parser = self._make(self)
        self._headers: dict[str, str] = {}
        self._pieces: list[bytes] = []
        self._size = self._received = 0
        self._body_began = False

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done():
            self.close()  # bytes that nobody asked for
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except Exception as e:  # the parser's own errors, and Lost from the callbacks, which it wraps
            cause = e.__context__
            self._fail(cause if isinstance(cause, Lost) else Lost("connection-lost", f"this is no HTTP response ({type(e).__name__})"))
            return
        if self._received > LARGEST_HEAD and not self._body_began:
            self._fail(Lost("connection-lost", f"the head of the response is larger than {LARGEST_HEAD >> 10} KB"))
        elif self._received > 4 * LARGEST:  # chunks of little with much around it, headers behind the body
            self._fail(too_large())

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._body_began = self._parser.get_status_code() >= 200
        if self._headers.get("content-length", "").isdigit() and int(self._headers["content-length"]) > LARGEST:
            raise too_large()

    def on_body(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > LARGEST:
            raise too_large()
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue, 103 Early Hints: the response comes behind
            self._headers = {}
            return
        self.reusable = self.reusable and self._parser.should_keep_alive()
        self._tell(status)

    def connection_lost(self, error: Exception | None) -> None:
        self.reusable = False
        if self._waiter is None or self._waiter.done():
            return
        unbounded = "content-length" not in self._headers and "chunked" not in self._headers.get("transfer-encoding", "")
        if error is None and self._body_began and unbounded:
            self._tell(self._parser.get_status_code())  # a body that ends with the connection
        else:
            self._fail(Lost("connection-lost", str(error) or "the server closed the connection before the end of the response"))

    def _tell(self, status: int) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(Response(status, self._headers, b"".join(self._pieces)))

    def _fail(self, error: Lost) -> None:
        self.close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)


def too_large() -> Lost:
    return Lost("reply-too-large", f"the answer is larger than {LARGEST >> 20} MB")
