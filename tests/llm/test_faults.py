"""Everything that a server can do wrong: what becomes of the request, how often it is sent, and what is paid for it."""

from __future__ import annotations

import gzip
import socket
import time
import zlib
from email.utils import formatdate
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest

from prefdata.errors import PrefdataError, ProviderError, UsageError
from prefdata.io.journal import Usage
from tests.llm.asking import ask, plans, reply_to, run
from tests.llm.server import Behaviour, Exchange, Server

GOOD = orjson.dumps(
    {"model": "m", "choices": [{"message": {"content": "Answer: A"}}], "usage": {"prompt_tokens": 10, "completion_tokens": 2}}
)


def status(code: int, body: object = None, headers: str = "") -> Behaviour:
    return lambda x: x.json(code, body if body is not None else {"error": {"message": f"status {code}"}}, headers)


def raw(body: bytes, headers: str = "", code: int = 200) -> Behaviour:
    return lambda x: x.respond(code, body, headers)


def answer(**changes: object) -> Behaviour:
    return lambda x: x.answer(**changes)  # type: ignore[arg-type]


def bytes_then_close(data: bytes) -> Behaviour:
    def behave(x: Exchange) -> None:
        x.send(data)
        x.close()

    return behave


def drip(x: Exchange) -> None:
    """A byte every 0.1 s, so that no single read takes long."""
    x.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")

    def next_byte() -> None:
        x.send(b" ")
        if not x.transport.is_closing():
            x.later(0.1, next_byte)

    next_byte()


def endless(x: Exchange) -> None:
    """Chunks without end."""
    x.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

    def more() -> None:
        if not x.transport.is_closing():
            x.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            x.later(0, more)

    more()


def unending(head: bytes, more: bytes) -> Behaviour:
    """A response that goes on and on where no body is."""

    def behave(x: Exchange) -> None:
        x.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + head)

        def go_on() -> None:
            if not x.transport.is_closing():
                x.send(more * 1000)
                x.later(0, go_on)

        go_on()

    return behave


def in_a_second(x: Exchange) -> None:
    """429 with a date."""
    status(429, headers=f"Retry-After: {formatdate(time.time() + 1, usegmt=True)}\r\n")(x)


def first(*behaviours: Behaviour) -> Behaviour:
    """One behaviour for each request, the last for all that follow."""
    return lambda x: behaviours[min(x.server.requests, len(behaviours)) - 1](x)


def error(status: int, code: str, message: str = "no", **more: object) -> Behaviour:
    return lambda x: x.json(status, {"error": {"message": message, "code": code, **more}})


def choice(**changes: object) -> list[dict[str, object]]:
    return [{"index": 0, "message": {"role": "assistant", "content": "Answer: A"}, "finish_reason": "stop", **changes}]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred cases with a retry each: what they wait for is not what they test."""
    monkeypatch.setattr("prefdata.llm.retries.BASE", 0.05)


ok = answer()
bomb = gzip.compress(b" " * (200 << 20), 9)
limit = "This model's maximum context length is 10 tokens"


class Case(NamedTuple):
    behaviour: Behaviour
    code: str
    """Of the stored reply, or the last failure."""
    requests: int
    billed: str = ""
    """usage: 12 tokens as the server says; most: all that was reserved, for each request; nothing."""


STORED = {
    "ok": Case(ok, "ok", 1, "usage"),
    "429 without a header": Case(first(status(429), ok), "ok", 2, "usage"),
    "429 with Retry-After": Case(first(status(429, headers="Retry-After: 0.3\r\n"), ok), "ok", 2, "usage"),
    "429 with a date": Case(first(in_a_second, ok), "ok", 2),
    "429 with retry-after-ms": Case(first(status(429, headers="retry-after-ms: 300\r\n"), ok), "ok", 2, "usage"),
    "429 nonsense header": Case(first(status(429, headers="Retry-After: soon\r\n"), ok), "ok", 2, "usage"),
    "429 five times": Case(first(*[status(429)] * 5, ok), "ok", 6, "usage"),
    "503 then ok": Case(first(status(503), ok), "ok", 2, "usage"),
    "503 with Retry-After": Case(first(status(503, headers="Retry-After: 1\r\n"), ok), "ok", 2, "usage"),
    "500 HTML then ok": Case(first(raw(b"<html>oops", code=500), ok), "ok", 2, "usage"),
    "409 then ok": Case(first(status(409), ok), "ok", 2, "usage"),
    "408 then ok": Case(first(status(408), ok), "ok", 2, "usage"),
    "reset then ok": Case(first(Exchange.reset, ok), "ok", 2),
    "truncated then ok": Case(first(bytes_then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"), ok), "ok", 2),
    "content null": Case(answer(choices=choice(message={"content": None})), "ok", 1, "usage"),
    "message missing": Case(answer(choices=[{}]), "ok", 1, "usage"),
    "finish_reason length": Case(answer(choices=choice(finish_reason="length")), "ok", 1, "usage"),
    "finish_reason content_filter": Case(answer(choices=choice(finish_reason="content_filter")), "ok", 1, "usage"),
    "tool call instead of text": Case(answer(choices=choice(message={"tool_calls": [{}]})), "ok", 1, "usage"),
    "another model": Case(answer(model="another"), "ok", 1, "usage"),
    "model is no text": Case(answer(model=7), "ok", 1, "usage"),
    "usage missing": Case(answer(usage=...), "ok", 1, "most"),
    "usage null": Case(answer(usage=None), "ok", 1, "most"),
    "usage negative": Case(answer(usage={"prompt_tokens": -5, "completion_tokens": 2}), "ok", 1, "most"),
    "usage huge": Case(answer(usage={"prompt_tokens": 2**60, "completion_tokens": 2}), "ok", 1, "most"),
    "usage text": Case(answer(usage={"prompt_tokens": "10", "completion_tokens": True}), "ok", 1, "most"),
    "gzip unasked": Case(raw(gzip.compress(GOOD), "Content-Encoding: gzip\r\n"), "ok", 1, "usage"),
    "deflate unasked": Case(raw(zlib.compress(GOOD), "Content-Encoding: deflate\r\n"), "ok", 1, "usage"),
    "deflate raw": Case(raw(zlib.compress(GOOD)[2:-4], "Content-Encoding: deflate\r\n"), "ok", 1, "usage"),
    "HTTP/1.0": Case(bytes_then_close(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + GOOD), "ok", 1, "usage"),
    "chunked": Case(
        lambda x: x.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD)), "ok", 1
    ),
    "text/plain": Case(lambda x: x.respond(200, GOOD, kind="text/plain"), "ok", 1, "usage"),
    "400 content_filter (Azure)": Case(
        error(400, "content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}), "content-filter", 1
    ),
    "400 content_policy_violation": Case(error(400, "content_policy_violation"), "content-filter", 1),
    "403 flagged": Case(error(403, "403", "Your input was flagged"), "content-filter", 1),
    "400 context_length_exceeded": Case(error(400, "context_length_exceeded"), "context-length", 1),
    "400 maximum context length (vLLM)": Case(
        lambda x: x.json(400, {"object": "error", "message": limit, "code": 400}), "context-length", 1
    ),
    "400 llama.cpp": Case(error(400, "400", "the request exceeds the available context size"), "context-length", 1),
    "400": Case(status(400), "bad-request", 1),
    "400 detail": Case(status(400, {"detail": [{"loc": ["body"]}]}), "bad-request", 1),
    "400 not JSON": Case(raw(b"\xff\xfe bad", code=400), "bad-request", 1),
    "413": Case(status(413), "bad-request", 1),
    "422": Case(status(422), "bad-request", 1),
}

FAILED = {
    "500 HTML": Case(raw(b"<html>oops", code=500), "server-error", 2),
    "502": Case(raw(b"<html>Bad Gateway", code=502), "server-error", 2),
    "503": Case(status(503), "overloaded", 2),
    "529": Case(status(529), "overloaded", 2),
    "truncated JSON": Case(raw(GOOD[:-9]), "broken-json", 2, "most"),
    "no JSON": Case(raw(b"Answer: A"), "broken-json", 2, "most"),
    "empty": Case(raw(b""), "broken-json", 2, "most"),
    "NaN": Case(raw(GOOD.replace(b"10", b"NaN")), "broken-json", 2, "most"),
    "not UTF-8": Case(raw(GOOD.replace(b"Answer", b"\xff\xfe")), "broken-json", 2, "most"),
    "nested": Case(raw(b"[" * 100_000), "broken-json", 2, "most"),
    "null": Case(raw(b"null"), "no-choices", 2, "most"),
    "a list": Case(raw(b"[]"), "no-choices", 2, "most"),
    "choices null": Case(answer(choices=None), "no-choices", 2, "usage"),
    "choices []": Case(answer(choices=[]), "no-choices", 2, "usage"),
    "choices [null]": Case(answer(choices=[None]), "no-choices", 2, "usage"),
    "choices an object": Case(answer(choices={"0": {}}), "no-choices", 2, "usage"),
    "choices missing": Case(raw(b'{"ok": true}'), "no-choices", 2, "most"),
    "an error with 200": Case(status(200), "no-choices", 2, "most"),
    "hang": Case(lambda x: None, "timeout", 2, "most"),
    "slow drip": Case(drip, "timeout", 2, "most"),
    "reset": Case(Exchange.reset, "connection-lost", 2, "most"),
    "close without a word": Case(Exchange.close, "connection-lost", 2, "most"),
    "no HTTP": Case(bytes_then_close(b"SSH-2.0-x\r\n\r\n"), "connection-lost", 2, "most"),
    "body cut off": Case(bytes_then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + GOOD), "connection-lost", 2, "most"),
    "header without end": Case(lambda x: x.send(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000), "connection-lost", 2, "most"),
    "10 MB": Case(raw(b" " * (10 << 20)), "reply-too-large", 1, "most"),
    "10 MB of chunks": Case(endless, "reply-too-large", 1, "most"),
    "trailers without end": Case(unending(b"0\r\n", b"X-More: " + b"x" * 1000 + b"\r\n"), "reply-too-large", 1, "most"),
    "a chunk extension without end": Case(unending(b"5;a=", b"x" * 1000), "reply-too-large", 1, "most"),
    "gzip bomb": Case(raw(bomb, "Content-Encoding: gzip\r\n"), "reply-too-large", 1, "most"),
    "gzip broken": Case(raw(b"no gzip", "Content-Encoding: gzip\r\n"), "broken-json", 2, "most"),
    "gzip cut off": Case(raw(gzip.compress(GOOD)[:-12], "Content-Encoding: gzip\r\n"), "broken-json", 2, "most"),
    "brotli": Case(raw(GOOD, "Content-Encoding: br\r\n"), "broken-json", 2, "most"),
}


@pytest.mark.parametrize("name", STORED)
def test_stored(name: str, tmp_path: Path) -> None:
    case = STORED[name]
    with Server(case.behaviour) as server:
        stats, journal = run(server, tmp_path)
    with journal:
        reply = reply_to(journal, ask("question"))
        assert reply is not None
        assert (reply.code, server.requests) == (case.code, case.requests)
        assert (stats.replies, stats.calls, stats.retries, stats.failed.total()) == (1, case.requests, case.requests - 1, 0)
        if case.billed or case.code != "ok":
            assert journal.spent() == {"usage": Usage(1, 10, 2), "most": _most(1), "": Usage()}[case.billed]
        assert stats.estimated == (case.billed == "most")


@pytest.mark.parametrize("name", FAILED)
def test_failed(name: str, tmp_path: Path) -> None:
    case = FAILED[name]
    with Server(case.behaviour) as server:
        stats, journal = run(server, tmp_path)
    with journal:
        assert (journal.why(ask("question").key), server.requests) == (case.code, case.requests)
        assert len(journal) == 0
        assert (stats.plans, stats.replies, stats.failed) == (1, 0, {case.code: 1})
        most = {"usage": Usage(case.requests, 10 * case.requests, 2 * case.requests), "most": _most(case.requests), "": Usage()}
        assert journal.spent() == most[case.billed]


def _most(n: int) -> Usage:
    """The upper bound: every byte a token, and all of max_tokens."""
    return Usage(n, n * len(ask("question").body), n * 16)


FATAL: dict[str, tuple[Behaviour, type[PrefdataError], list[str]]] = {
    "401": (status(401, {"error": {"message": "Incorrect API key"}}), UsageError, ["PREFDATA_TEST_KEY", "127.0.0.1", "Incorrect API key"]),
    "403": (status(403), UsageError, ["PREFDATA_TEST_KEY"]),
    "404": (error(404, "model_not_found", "The model `m` does not exist"), UsageError, ["--model m", "--base-url", "does not exist"]),
    "404 HTML": (raw(b"<html>nothing here", code=404), UsageError, ["--base-url", "nothing here"]),
    "405": (status(405), UsageError, ["--base-url"]),
    "402": (status(402, {"error": {"message": "Insufficient Balance"}}), ProviderError, ["Insufficient Balance"]),
    "insufficient_quota": (
        error(429, "insufficient_quota", "You exceeded your quota"),
        ProviderError,
        ["PREFDATA_TEST_KEY", "You exceeded"],
    ),
    "redirect": (status(302, {}, "Location: http://evil.example/v1?a=b\r\n"), UsageError, ["http://evil.example", "redirects are refused"]),
    "redirect within": (status(307, {}, "Location: /v2/chat\r\n"), UsageError, ["another address"]),
    "redirect nowhere": (status(301, {}), UsageError, ["another address"]),
    "wait for a day": (status(429, headers="Retry-After: 86400\r\n"), ProviderError, ["86400 s", "--deadline"]),
}


@pytest.mark.parametrize("name", FATAL)
def test_fatal(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    behaviour, kind, words = FATAL[name]
    monkeypatch.setenv("PREFDATA_TEST_KEY", "sk-canary-0123456789")
    with Server(behaviour) as server, pytest.raises(kind) as caught:
        run(server, tmp_path)
    assert caught.value.exit_code == {UsageError: 2, ProviderError: 4}[kind]
    assert all(w in str(caught.value) for w in words), str(caught.value)
    assert str(caught.value).endswith("the same command starts again")
    assert "canary" not in str(caught.value)
    assert server.requests == 1


def test_refused_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens: nothing is paid, and the run ends long before the deadline of a request."""
    monkeypatch.setattr("prefdata.llm.running.FIRST_PATIENCE", 0.8)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(ProviderError, match=r"has not answered for 1 s .*unreachable") as caught:
            run(url, tmp_path, deadline=60)
    assert caught.value.exit_code == 4


def test_the_first_requests_are_all_refused(tmp_path: Path) -> None:
    """A parameter is wrong: five requests tell, and nothing is stored that would have to be thrown away."""
    with Server(error(400, "unsupported", "logprobs are not\x1b[31m supported")) as server, pytest.raises(ProviderError) as caught:
        run(server, tmp_path, plans(1000), concurrency=1)
    assert "refused the first 5 requests: logprobs are not [31m supported" in str(caught.value)
    assert server.requests == 5


def test_refusals_after_an_answer_are_results(tmp_path: Path) -> None:
    def behave(x: Exchange) -> None:
        (ok if x.text == "question 4" else status(400))(x)

    with Server(behave) as server:
        stats, journal = run(server, tmp_path, plans(20), concurrency=1)
    with journal:
        assert journal.codes() == {"ok": 1, "bad-request": 19}
        assert stats.refused == {"bad-request": 19}
        assert stats.replies == server.requests == 20


@pytest.mark.parametrize("where", ["error", "answer"])
def test_a_server_that_repeats_the_key(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server says is shown and stored without the key."""
    monkeypatch.setenv("PREFDATA_TEST_KEY", "sk-canary-0123456789")
    seen = []

    def behave(x: Exchange) -> None:
        seen.append(x.header("Authorization"))
        if where == "answer":
            x.answer(f"you sent {x.header('Authorization')}")
        else:
            x.json(401, {"error": {"message": f"bad key: {x.header('Authorization')}"}})

    with Server(behave) as server:
        if where == "error":
            with pytest.raises(UsageError, match=r"bad key: Bearer \[key\]") as caught:
                run(server, tmp_path)
            assert "canary" not in repr(caught.value)
        else:
            run(server, tmp_path)[1].close()
    assert seen == ["Bearer sk-canary-0123456789"]
    for file in tmp_path.iterdir():
        assert b"canary" not in file.read_bytes()
