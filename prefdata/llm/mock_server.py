"""An OpenAI-compatible server on this machine that answers like a simple judge: for demos without a network, and for tests.

with serving("longest") as server:
    ...  # anything that takes a base URL: server.url
print(server.stats.requests)
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import orjson

from prefdata.errors import UsageError
from prefdata.llm.mock_completion import completion
from prefdata.llm.mock_faults import CHANGED, SLOW, Bucket, drawn
from prefdata.llm.mock_judges import Piece, reply
from prefdata.llm.mock_options import MockOptions, Stats
from prefdata.llm.mock_prompt import Asked, asked
from prefdata.llm.mock_script import Rule, read

MAX_BODY = 64 * 1024 * 1024


@dataclass(frozen=True)
class Server:
    """A running server. `url` is the base URL for clients (with /v1), `root` that of Azure's paths."""

    root: str
    stats: Stats

    @property
    def url(self) -> str:
        return f"{self.root}/v1"


Judge = Callable[[Asked], str | list[Piece]]
"""A judge of one's own, for tests."""


@contextmanager
def serving(judge: str | Judge | None = None, **options: Any) -> Iterator[Server]:
    """Run a server in a thread for the length of a block. `judge` is a name or a function of what was asked; `options` are those of
    `MockOptions`. Raises UsageError when the port is taken, InputError for a wrong script, and at the end what a judge of one's own
    raised."""
    own = judge if callable(judge) else None
    given = MockOptions(judge=None if own else judge, **options)
    mock = Mock(given, own)
    started: list[str | BaseException] = []
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def at(root: str) -> None:
        started.append(root)
        ready.set()

    def work() -> None:
        try:
            loop.run_until_complete(_serve(mock, given.port, at, stop))
        except BaseException as e:  # the caller raises it
            started.append(e)
        finally:
            loop.close()
            ready.set()

    thread = threading.Thread(target=work, name="mock-server", daemon=True)
    thread.start()
    try:
        ready.wait()
        root = started[0]
        if isinstance(root, BaseException):
            raise root
        yield Server(root, mock.stats)
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        thread.join()
    if mock.error:
        raise mock.error


def serve(options: MockOptions, ready: Callable[[str], object]) -> None:
    """Run a server until Ctrl-C; `ready` is told its base URL. Raises UsageError when the port is taken."""
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(Mock(options), options.port, lambda root: ready(f"{root}/v1"), asyncio.Event()))


async def _serve(mock: Mock, port: int, ready: Callable[[str], object], stop: asyncio.Event) -> None:
    try:
        from aiohttp import web
    except ImportError:
        raise UsageError("the mock server needs aiohttp: pip install 'prefdata[label]'") from None
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_post("/{path:.*}chat/completions", mock.chat)
    app.router.add_get("/{path:.*}models", mock.models)
    app.router.add_get("/{path:.*}stats", mock.show)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        try:
            await site.start()
        except OSError as e:
            raise UsageError(f"port {port} of 127.0.0.1 cannot be used ({e.strerror or e}); --port 0 takes a free one") from None
        ready(f"http://127.0.0.1:{runner.addresses[0][1]}")
        await stop.wait()
    finally:
        await runner.cleanup()


class Mock:
    """The handlers of one server and what they count."""

    def __init__(self, options: MockOptions, judge: Judge | None = None) -> None:
        self.options = options
        self.stats = Stats()
        self.error: Exception | None = None
        self._own = judge
        self._script = read(options.script) if options.script else None
        self._judge = options.judge or ("script" if options.script else "longest")
        self._bucket = Bucket(options.rpm, options.burst) if options.rpm else None
        self._tries: Counter[bytes] = Counter()
        self._answered: set[bytes] = set()

    async def show(self, request: Any) -> Any:
        return _json(200, self.stats.as_dict())

    async def models(self, request: Any) -> Any:
        return _json(200, {"object": "list", "data": [{"id": "mock", "object": "model", "created": 0, "owned_by": "prefdata"}]})

    async def chat(self, request: Any) -> Any:
        s = self.stats
        raw: bytes = await request.read()
        s.requests += 1
        s.in_flight += 1
        s.most_in_flight = max(s.most_in_flight, s.in_flight)
        try:
            return await self._chat(request, raw)
        finally:
            s.in_flight -= 1

    async def _chat(self, request: Any, raw: bytes) -> Any:
        body = _body(raw, request.path)
        wait = self._bucket.take() if self._bucket else 0.0
        headers = self._headers()
        if wait:
            self.stats.rate_limited += 1
            after = {} if self.options.no_headers else {"Retry-After": str(math.ceil(wait)), "retry-after-ms": str(math.ceil(wait * 1000))}
            return _error(429, "rate limit reached for requests", "rate_limit_exceeded", headers | after)
        if isinstance(body, str):
            self.stats.refused += 1
            return _error(400, body, "invalid_request_error", headers)
        self.stats.models[body["model"]] += 1
        digest = hashlib.sha256(raw).digest()[:16]
        fault = drawn(self.options.faults, self.options.seed, digest, self._tries[digest])
        self._tries[digest] += 1
        await asyncio.sleep(self.options.latency + (SLOW if fault == "slow" else 0.0))
        if fault:
            self.stats.faults[fault] += 1
        return await self._answer(request, raw, body, digest, fault, headers)

    async def _answer(
        self, request: Any, raw: bytes, body: dict[str, Any], digest: bytes, fault: str | None, headers: dict[str, str]
    ) -> Any:
        if fault and fault not in CHANGED:
            return await _broken(request, fault, self.options.no_headers)
        found = self._reply(raw, body)
        if found is None:
            self.stats.refused += 1
            return _error(400, "no rule of the script holds for this prompt", "no_rule", headers)
        rule, pieces = found
        if rule.status != 200:
            self.stats.refused += 1
            after = {} if rule.retry_after is None else {"Retry-After": f"{rule.retry_after:g}"}
            return _error(rule.status, "".join(p.text for p in pieces), "scripted", headers | after)
        made = completion(body, raw, pieces, rule.finish_reason)
        if fault in CHANGED:
            CHANGED[fault](made)
        if not fault or fault == "slow":
            self.stats.answered += 1
            self.stats.repeated += digest in self._answered
            self._answered.add(digest)
        self.stats.tokens_in += made["usage"]["prompt_tokens"]
        self.stats.tokens_out += made["usage"]["completion_tokens"]
        if fault == "cut":
            return await _cut(request, orjson.dumps(made))
        return _json(200, made, headers)

    def _reply(self, raw: bytes, body: dict[str, Any]) -> tuple[Rule, list[Piece]] | None:
        wanted = asked(body)
        found = self._script.find(raw, body["messages"], wanted) if self._script else None
        if found is None and self._own:
            try:
                said = self._own(wanted)
            except Exception as e:
                self.error = self.error or e
                raise
            return Rule(reply=""), [Piece(said)] if isinstance(said, str) else said
        if found is None and self._judge != "script":
            return Rule(reply=""), reply(self._judge, wanted)
        return found

    def _headers(self) -> dict[str, str]:
        b = self._bucket
        if b is None or self.options.no_headers:
            return {}
        return {
            "x-ratelimit-limit-requests": f"{self.options.rpm:g}",
            "x-ratelimit-remaining-requests": str(int(b.left)),
            "x-ratelimit-reset-requests": f"{math.ceil((b.size - b.left) / b.rate * 1000)}ms",
        }


def _body(raw: bytes, path: str) -> dict[str, Any] | str:
    """The request with its model (of Azure's paths: the deployment), or what is wrong with it."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as e:
        return f"the body is not valid JSON: {e}"
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list) or not body["messages"]:
        return "'messages' is missing or empty"
    if not isinstance(body.get("model"), str):
        parts = path.split("/")
        if "deployments" not in parts[:-2]:
            return "'model' is missing"
        body["model"] = parts[parts.index("deployments") + 1]
    return "streaming is not offered by the mock server" if body.get("stream") else body


async def _broken(request: Any, fault: str, no_headers: bool) -> Any:
    if fault == "reset":
        request.transport.abort()
        return _json(500, {})
    if fault == "429":
        return _error(429, "rate limit reached for requests", "rate_limit_exceeded", {} if no_headers else {"Retry-After": "0.1"})
    if fault == "429-bare":
        return _error(429, "too many requests", "rate_limit_exceeded")
    if fault == "502-html":
        return _response(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html")
    if fault in ("not-json", "empty-body"):
        return _response(200, b'{"id": "chatcmpl-1", "choices": [{"mess' if fault == "not-json" else b"", "application/json")
    return _error(int(fault), "the server had an error while processing your request", "server_error")


async def _cut(request: Any, body: bytes) -> Any:
    """Half of an answer, then the end of the connection."""
    from aiohttp import web

    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    request.transport.close()
    return response


def _error(status: int, message: str, code: str, headers: dict[str, str] | None = None) -> Any:
    kind = {429: "requests", 400: "invalid_request_error"}.get(status, "server_error")
    return _json(status, {"error": {"message": message, "type": kind, "param": None, "code": code}}, headers)


def _json(status: int, found: Any, headers: dict[str, str] | None = None) -> Any:
    return _response(status, orjson.dumps(found), "application/json", headers)


def _response(status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> Any:
    from aiohttp import web

    return web.Response(status=status, body=body, content_type=kind, headers=headers)
