"""One POST over HTTP: bounded in time and size, without redirects, proxies and cookies. Everything that can go wrong is a `Lost`."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from prefdata.errors import UsageError
from prefdata.version import __version__

LARGEST = 4 << 20
"""Bytes of the largest reply that is taken, also after decompression."""
CONNECT = 10.0
"""Seconds for a connection."""
IDLE = 4.0
"""Seconds that an idle connection is kept: less than the 5 s of uvicorn, so that a request does not meet a connection just closed."""


class Response(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Lost(Exception):
    """There is no response: the code of the failure (`outcome.py`), and a line about it."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Transport:
    """Connections to all servers; make it inside the event loop and close it there."""

    def __init__(self) -> None:
        try:
            import aiohttp
            from yarl import URL
        except ImportError:
            raise UsageError("asking a server needs aiohttp: pip install 'prefdata[label]'") from None

        self._aiohttp, self._url = aiohttp, URL
        self._timeouts: dict[float, Any] = {}
        self._urls: dict[str, Any] = {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE, ttl_dns_cache=300),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"Accept-Encoding": "identity", "Content-Type": "application/json", "User-Agent": f"prefdata/{__version__}"},
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Response:
        """The response, complete. Raises Lost."""
        limit = self._timeouts.get(seconds)
        if limit is None:
            limit = self._aiohttp.ClientTimeout(total=seconds, sock_connect=min(CONNECT, seconds))
            if len(self._timeouts) < 100:
                self._timeouts[seconds] = limit
        target = self._urls.get(url)
        if target is None:
            target = self._urls[url] = self._url(url, encoded=True)
        try:
            async with self._session.post(target, data=body, headers=headers, allow_redirects=False, timeout=limit) as response:
                return Response(response.status, response.headers, await _body(response))
        except Lost:
            raise
        except (self._aiohttp.ConnectionTimeoutError, self._aiohttp.ClientConnectorError) as e:
            raise Lost("unreachable", str(e) or "the connection timed out") from None
        except TimeoutError:
            raise Lost("timeout", f"no whole answer within {seconds:g} s") from None
        except (self._aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as e:
            raise Lost("connection-lost", str(e) or type(e).__name__) from None

    async def close(self) -> None:
        await self._session.close()


async def _body(response: Any) -> bytes:
    if (response.content_length or 0) > LARGEST:
        response.close()
        raise _too_large()
    if response.content_length is not None:
        body: bytes = await response.read()
    else:
        body = await _bounded(response)
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding in ("gzip", "x-gzip", "deflate"):
        return _decompressed(body, coding)
    if coding not in ("identity", ""):
        raise Lost("broken-json", f"the answer is compressed with {coding[:40]!r}, which was not asked for")
    return body


async def _bounded(response: Any) -> bytes:
    """A body whose length is not known beforehand."""
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > LARGEST:
            response.close()
            raise _too_large()
        pieces.append(piece)
    return b"".join(pieces)


def _decompressed(body: bytes, coding: str) -> bytes:
    """Some servers compress although `identity` was asked for. A small body can stand for gigabytes: no more than LARGEST is unpacked."""
    wbits = 15 + 32 if coding != "deflate" or body[:1] == b"\x78" else -15  # deflate: with zlib's header or, wrongly, without
    unpack = zlib.decompressobj(wbits)
    try:
        out = unpack.decompress(body, LARGEST + 1)
    except zlib.error as e:
        raise Lost("broken-json", f"the answer cannot be decompressed ({e})") from None
    if len(out) > LARGEST:
        raise _too_large()
    if not unpack.eof:
        raise Lost("broken-json", "the compressed answer is cut off")
    return out


def _too_large() -> Lost:
    return Lost("reply-too-large", f"the answer is larger than {LARGEST >> 20} MB")
