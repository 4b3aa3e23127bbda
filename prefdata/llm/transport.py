"""One POST over HTTP: bounded in time and size, without redirects, proxies and cookies. Everything that can go wrong is a `Lost`.

httptools parses, asyncio (uvloop) carries, and a connection is kept for the next request. General clients spend most of their time on what
is never used here (`benchmarks/label.py`).
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from prefdata.errors import UsageError
from prefdata.llm.connection import LARGEST, Connection, Lost, Response, too_large
from prefdata.version import __version__

CONNECT = 10.0
"""Seconds for a connection."""
IDLE = 4.0
"""Seconds that an idle connection is kept: less than the 5 s of uvicorn, so that a request does not meet a connection just closed."""

__all__ = ["Lost", "Response", "Transport"]


class Target(NamedTuple):
    """Where a URL leads, and the head of its requests up to the length."""

    host: str
    port: int
    secure: bool
    head: bytes


class Transport:
    """Connections to all servers; make it inside the event loop and close it there."""

    def __init__(self) -> None:
        try:
            from httptools import HttpResponseParser
        except ImportError:
            raise UsageError("asking a server needs httptools: pip install 'prefdata[label]'") from None
        self._parser = HttpResponseParser
        self._loop = asyncio.get_running_loop()
        self._targets: dict[tuple[str, tuple[tuple[str, str], ...]], Target] = {}
        self._idle: dict[tuple[str, int, bool], deque[Connection]] = {}
        self._all: set[Connection] = set()
        self._context: ssl.SSLContext | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Response:
        """The response, complete. Raises Lost."""
        key = (url, tuple(headers.items()))
        target = self._targets.get(key)
        if target is None:
            target = self._targets[key] = _target(url, headers)
        try:
            async with asyncio.timeout(seconds):
                connection = self._taken(target) or await self._opened(target, seconds)
                try:
                    response = await connection.ask(b"%s%d\r\n\r\n%s" % (target.head, len(body), body))
                except BaseException:
                    self._drop(connection)
                    raise
        except TimeoutError:
            raise Lost("timeout", f"no whole answer within {seconds:g} s") from None
        self._back(target, connection)
        coding = response.headers.get("content-encoding", "identity").strip().lower()
        if coding in ("identity", ""):
            return response
        return response._replace(body=_decompressed(response.body, coding))

    def _taken(self, target: Target) -> Connection | None:
        """An idle connection that is still good; the one used last, so that those not needed grow old and are closed."""
        idle = self._idle.get(target[:3])
        now = self._loop.time()
        while idle:
            connection = idle.pop()
            if connection.open and now - connection.since < IDLE:
                return connection
            self._drop(connection)
        return None

    async def _opened(self, target: Target, seconds: float) -> Connection:
        if target.secure and self._context is None:
            self._context = ssl.create_default_context()
        try:
            async with asyncio.timeout(min(CONNECT, seconds)):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self._parser), target.host, target.port, ssl=self._context if target.secure else None
                )
        except TimeoutError:
            raise Lost("unreachable", "the connection timed out") from None
        except (OSError, ssl.SSLError) as e:
            raise Lost("unreachable", str(e) or type(e).__name__) from None
        self._all.add(connection)
        return connection

    def _back(self, target: Target, connection: Connection) -> None:
        if not connection.open:
            self._drop(connection)
            return
        connection.since = self._loop.time()
        self._idle.setdefault(target[:3], deque()).append(connection)

    def _drop(self, connection: Connection) -> None:
        connection.close()
        self._all.discard(connection)

    async def close(self) -> None:
        for connection in list(self._all):
            self._drop(connection)
        await asyncio.sleep(0)  # so that the sockets are closed before the loop is


def _target(url: str, headers: Mapping[str, str]) -> Target:
    """Raises UsageError when a header cannot be sent."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    given = {
        "Host": parts.netloc.rpartition("@")[2],
        "User-Agent": f"prefdata/{__version__}",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        **headers,
    }
    if any(c in value for value in (path, *given.values()) for c in "\r\n\0"):
        raise UsageError(f"{url.partition('?')[0]}: the address or the key has line breaks in it")
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "Content-Length: "]
    return Target(host, parts.port or (443 if secure else 80), secure, "\r\n".join(lines).encode("latin-1", "replace"))


def _decompressed(body: bytes, coding: str) -> bytes:
    """Some servers compress although `identity` was asked for. A small body can stand for gigabytes: no more than LARGEST is unpacked."""
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise Lost("broken-json", f"the answer is compressed with {coding[:40]!r}, which was not asked for")
    wbits = 15 + 32 if coding != "deflate" or body[:1] == b"\x78" else -15  # deflate: with zlib's header or, wrongly, without
    unpack = zlib.decompressobj(wbits)
    try:
        out = unpack.decompress(body, LARGEST + 1)
    except zlib.error as e:
        raise Lost("broken-json", f"the answer cannot be decompressed ({e})") from None
    if len(out) > LARGEST:
        raise too_large()
    if not unpack.eof:
        raise Lost("broken-json", "the compressed answer is cut off")
    return out
