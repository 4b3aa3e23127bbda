"""The client against servers that behave: what is sent, how often, how many at a time, to which server, and what is in the journal."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from prefdata.errors import InputError, ProviderError, UsageError
from prefdata.io.journal import Journal
from prefdata.llm.client import Pool, ask_all, pool_of
from prefdata.llm.plan import Plan, Unanswered, answer
from prefdata.llm.request import Reply, Request
from tests.llm.asking import ask, options, plan, plans, reply_to, run
from tests.llm.server import Exchange, Server


def most_at_once(server: Server, seconds: float = 0.03) -> Counter[str]:
    """Let the server take some time for each answer, and count how many it has at a time."""
    seen: Counter[str] = Counter()
    inside = 0

    def behave(x: Exchange) -> None:
        nonlocal inside
        inside += 1
        seen["most"] = max(seen["most"], inside)

        def done() -> None:
            nonlocal inside
            inside -= 1
            x.answer()

        x.later(seconds, done)

    server.behaviour = behave
    return seen


def test_every_plan_is_answered_once(tmp_path: Path) -> None:
    with Server() as server:
        stats, journal = run(server, tmp_path, plans(300))
    with journal:
        assert server.requests == len(server.asked) == len(journal) == 300
        assert (stats.plans, stats.calls, stats.replies, stats.reused, stats.retries) == (300, 300, 300, 0, 0)
        assert (stats.tokens_in, stats.tokens_out, stats.served) == (3000, 600, {"m": 300})
        assert all(reply_to(journal, ask(f"question {i}")) for i in range(300))


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    with Server() as server:
        run(server, tmp_path, plans(50))[1].close()
        stats, journal = run(server, tmp_path, plans(60))
        journal.close()
        assert server.requests == 60
        assert (stats.plans, stats.calls, stats.replies, stats.reused) == (60, 10, 10, 50)


@pytest.mark.parametrize("concurrency", [1, 8])
def test_the_same_question_is_sent_once(concurrency: int, tmp_path: Path) -> None:
    with Server(latency=0.01) as server:
        stats, journal = run(server, tmp_path, (plan("the same") for _ in range(100)), concurrency=concurrency)
        journal.close()
    assert server.requests == 1
    assert stats.plans == 100


def test_a_plan_goes_on_with_what_it_was_told(tmp_path: Path) -> None:
    """First one request alone, then three that depend on its answer, one of them twice."""
    told: list[list[str]] = []

    def talk(n: int) -> Plan[None]:
        first = yield [ask(f"first {n}")]
        second = yield [ask(f"{first[0].text} {n} {i}") for i in (1, 2, 1)]
        told.append([r.text for r in second])

    with Server(lambda x: x.answer(x.text.upper())) as server:
        run(server, tmp_path, (talk(n) for n in range(20)))[1].close()
        assert server.requests == 60
    assert sorted(told) == sorted([[f"FIRST {n} {n} {i}" for i in (1, 2, 1)] for n in range(20)])


def test_answers_come_from_the_journal_in_order(tmp_path: Path) -> None:
    """The second pass needs no server and gives the same, whatever the order of the replies was."""
    with Server(lambda x: x.later(hash(x.text) % 7 / 500, lambda: x.answer(x.text.upper()))) as server:
        _, journal = run(server, tmp_path, plans(100))

    def find(requests: list[Request]) -> list[Reply | None]:
        return [reply_to(journal, r) for r in requests]

    with journal:
        given = [answer(p, find, lambda r: journal.why(r.key)) for p in plans(101)]
    assert given[:100] == [f"QUESTION {i}" for i in range(100)]
    assert given[100] == Unanswered(ask("question 100"), "not-asked")


def test_concurrency_is_kept(tmp_path: Path) -> None:
    with Server() as server:
        seen = most_at_once(server)
        stats, journal = run(server, tmp_path, plans(200), concurrency=5)
        journal.close()
    assert seen["most"] == 5
    assert stats.limit == 5


def test_concurrency_grows_while_all_is_well(tmp_path: Path) -> None:
    """From 16 to 128 in a few windows of replies; the server sees it."""
    with Server() as server:
        seen = most_at_once(server, 0.2)
        stats, journal = run(server, tmp_path, plans(1000), concurrency=128)
        journal.close()
    assert stats.limit == 128
    assert 64 < seen["most"] <= 128


def test_overload_takes_the_limit_down(tmp_path: Path) -> None:
    """A server that takes 8 at a time and refuses the rest with 503."""
    inside = 0

    def behave(x: Exchange) -> None:
        nonlocal inside
        if inside >= 8:
            x.json(503, {})
            return
        inside += 1

        def done() -> None:
            nonlocal inside
            inside -= 1
            x.answer()

        x.later(0.02, done)

    with Server(behave) as server:
        stats, journal = run(server, tmp_path, plans(600), concurrency=64, retries=20)
        journal.close()
    assert stats.replies == 600
    assert stats.limit <= 32
    assert server.requests < 1.5 * 600


def test_plans_are_taken_as_there_is_room(tmp_path: Path) -> None:
    """Memory does not grow with the number of plans."""
    taken = 0

    def many() -> Iterator[Plan[str]]:
        nonlocal taken
        for p in plans(300):
            taken += 1
            yield p

    ahead = []

    def behave(x: Exchange) -> None:
        ahead.append(taken - x.server.requests)
        x.answer()

    with Server(behave) as server:
        run(server, tmp_path, many(), concurrency=4)[1].close()
    assert max(ahead) <= 8


def test_requests_of_a_plan_come_before_new_plans(tmp_path: Path) -> None:
    """A prompt's requests follow each other closely, so that the server's prefix cache still has it."""
    order = []

    def group(n: int) -> Plan[None]:
        yield [ask(f"{n} first")]
        yield [ask(f"{n} rest {i}") for i in range(4)]

    def behave(x: Exchange) -> None:
        order.append(int(x.text.split()[0]))
        x.answer()

    with Server(behave) as server:
        run(server, tmp_path, (group(n) for n in range(50)), concurrency=4)[1].close()
    places = [[i for i, n in enumerate(order) if n == m] for m in range(50)]
    assert max(p[-1] - p[0] for p in places) <= 30


def test_servers_share_the_load_and_keep_their_plans(tmp_path: Path) -> None:
    def pair(n: int) -> Plan[None]:
        yield [ask(f"{n} first")]
        yield [ask(f"{n} second")]

    with Server(latency=0.01) as one, Server(latency=0.01) as two:
        run(one, tmp_path, (pair(n) for n in range(100)), base_url=[one.url, two.url])[1].close()
        records = [{raw.split(b'"content":"')[1].split(b" ")[0] for raw in server.asked} for server in (one, two)]
        assert one.requests + two.requests == 200
        assert 60 <= one.requests <= 140
    assert not records[0] & records[1]


def test_a_dead_server_is_left_to_the_others(tmp_path: Path) -> None:
    with Server(Exchange.reset) as dead, Server() as well:
        stats, journal = run(well, tmp_path, plans(200), base_url=[dead.url, well.url], retries=6)
        journal.close()
        assert stats.replies == 200
        assert dead.requests < 40


def test_a_server_that_comes_back(tmp_path: Path) -> None:
    """All is refused for a second: the breaker opens, one request looks from time to time, then all go through."""
    began = time.monotonic()
    calls = []

    def behave(x: Exchange) -> None:
        calls.append(time.monotonic() - began)
        if calls[-1] < 1.0:
            x.json(500, {})
        else:
            x.answer()

    with Server(behave) as server:
        stats, journal = run(server, tmp_path, plans(100), concurrency=50, retries=10, deadline=30)
        journal.close()
    assert stats.replies == 100
    assert len([t for t in calls if t < 1.0]) <= 50  # those in flight before it opened


def test_all_servers_dead_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefdata.llm.running.FIRST_PATIENCE", 1.0)
    with Server(Exchange.reset) as one, Server(Exchange.reset) as two, pytest.raises(ProviderError, match="has not answered for") as caught:
        run(one, tmp_path, plans(100), base_url=[one.url, two.url], retries=50, deadline=60)
    assert str(caught.value).endswith("the same command starts again")


def test_pools(tmp_path: Path) -> None:
    """Requests name the pool that answers them."""
    with Server(lambda x: x.answer("one")) as one, Server(lambda x: x.answer("two")) as two, Journal(str(tmp_path / "j")) as journal:
        pools = {"1": Pool((one.url,)), "2": Pool((two.url,))}
        work = [plan(n, pool="12"[n % 2]) for n in range(40)]
        ask_all(work, options(one), journal, pools)
        texts = Counter(reply.text for n in range(40) if (reply := reply_to(journal, ask(n))))
        assert texts == {"one": 20, "two": 20}


def test_azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFDATA_TEST_KEY", "0123456789abcdef")
    with Server() as server:
        base = server.url.removesuffix("/v1")
        run(base, tmp_path, [plan(1)], provider="azure", api_version="2024-10-21")[1].close()
        run(base, tmp_path, [plan(2)], provider="azure")[1].close()
        paths = [head.split(b" ")[1].decode() for head in server.heads]
        assert paths == ["/openai/deployments/m/chat/completions?api-version=2024-10-21", "/openai/v1/chat/completions"]
        assert all(b"api-key: 0123456789abcdef" in head and b"Authorization" not in head for head in server.heads)


def test_what_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The body as it is; no cookies, no compression asked for, no key where none is set, no proxy of the environment."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with Server(lambda x: x.answer(headers="Set-Cookie: a=b\r\n")) as server:
        run(server, tmp_path, plans(3), concurrency=1)[1].close()
        assert set(server.asked) == {ask(f"question {i}").body for i in range(3)}
        for head in server.heads:
            lines = head.decode().lower().split("\r\n")
            assert lines[0] == "post /v1/chat/completions http/1.1"
            assert "accept-encoding: identity" in lines
            assert "content-type: application/json" in lines
            assert not [line for line in lines if line.startswith(("cookie", "authorization", "api-key", "expect", "transfer-encoding"))]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"base_url": ["https://api.openai.com/v1"]}, ["PREFDATA_TEST_KEY is not set", "api.openai.com"]),
        ({"base_url": ["https://x.openai.azure.com"], "provider": "azure"}, ["PREFDATA_TEST_KEY is not set"]),
        ({"base_url": ["localhost:8000/v1"]}, ["no address of a server", "http://localhost:8000/v1"]),
        ({"base_url": ["http://localhost:eight"]}, ["no address of a server"]),
        ({"base_url": ["ftp://localhost"]}, ["no address of a server"]),
        ({"base_url": ["http://me:secret-word@localhost/v1"]}, ["keys come from the environment"]),
        ({"base_url": ["http://localhost/v1?key=1"]}, ["'?'"]),
    ],
)
def test_wrong_addresses(changes: dict[str, object], words: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        run("", tmp_path, **changes)
    assert all(w in str(caught.value) for w in words), str(caught.value)
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize("key", ["line\nbreak", "schlüssel"])
def test_a_key_that_is_none(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFDATA_TEST_KEY", key)
    with pytest.raises(UsageError, match="PREFDATA_TEST_KEY has characters") as caught:
        run("http://127.0.0.1:1/v1", tmp_path)
    assert key not in str(caught.value)


def test_progress(tmp_path: Path) -> None:
    seen = []
    with Server(latency=0.3) as server, Journal(str(tmp_path / "j")) as journal:
        chosen = options(server)
        ask_all(plans(40), chosen, journal, {"": pool_of(chosen)}, lambda s: seen.append((s.plans, s.in_flight)), total=40)
    assert seen[-1] == (40, 0)
    assert any(in_flight == 16 for _, in_flight in seen)


def test_an_error_of_the_plans_ends_the_run(tmp_path: Path) -> None:
    def broken() -> Iterator[Plan[str]]:
        yield from plans(5)
        raise InputError("rows.jsonl: line 6 cannot be read")

    with Server() as server, pytest.raises(InputError, match=r"line 6 cannot be read\n5 replies are in .*; the same command goes on"):
        run(server, tmp_path, broken())


def test_a_bug_in_a_plan_ends_the_run(tmp_path: Path) -> None:
    def broken() -> Plan[None]:
        yield [ask(1)]
        raise ZeroDivisionError

    with Server() as server, pytest.raises(ZeroDivisionError):
        run(server, tmp_path, [broken()])


def test_from_another_thread(tmp_path: Path) -> None:
    with Server() as server:

        def work() -> None:
            run(server, tmp_path, plans(20))[1].close()

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(20)
        assert server.requests == 20


def test_inside_an_event_loop(tmp_path: Path) -> None:
    """Notebooks run one."""

    async def cell() -> None:
        run(server, tmp_path, plans(20))[1].close()

    with Server() as server:
        asyncio.run(cell())
        assert server.requests == 20


def test_no_plans(tmp_path: Path) -> None:
    stats, journal = run("http://127.0.0.1:1/v1", tmp_path, [])
    journal.close()
    assert (stats.plans, stats.calls) == (0, 0)


@pytest.mark.parametrize("seed", range(4))
def test_all_sorts_of_plans_at_once(seed: int, tmp_path: Path) -> None:
    """Questions that others ask, that are stored already, that depend on answers, in groups, of two pools: all come to their end, and each
    question is sent once."""
    draw = random.Random(seed)

    def talk(shape: list[list[int]]) -> Plan[None]:
        for group in shape:
            yield [ask(n, pool="12"[n % 2]) for n in group]

    def shapes() -> Iterator[Plan[None]]:
        return (
            talk([[draw.randrange(400) for _ in range(draw.choice([1, 1, 3, 8]))] for _ in range(draw.choice([0, 1, 2, 5]))])
            for _ in range(300)
        )

    with Server(latency=0.002) as one, Server() as two, Journal(str(tmp_path / "j")) as journal:
        pools = {"1": Pool((one.url, two.url)), "2": Pool((two.url,))}
        for concurrency in (1, 3, 50):
            stats = ask_all(shapes(), options(one, concurrency=concurrency), journal, pools)
            assert stats.plans == 300
            assert stats.failed.total() == 0
        assert one.requests + two.requests == len(journal) == len(set(one.asked) | set(two.asked))


def test_one_full_pool_does_not_hold_the_other(tmp_path: Path) -> None:
    """A slow server has all the slots that it takes; plans of the other pool go on beside it."""
    with Server(lambda x: x.later(0.5, x.answer)) as slow, Server() as fast, Journal(str(tmp_path / "j")) as journal:
        work = [plan(n, pool="slow" if n < 20 else "fast") for n in range(100)]
        done: list[int] = []
        began = time.monotonic()
        slow_rate = options(slow, concurrency=64)
        ask_all(work, slow_rate, journal, {"slow": Pool((slow.url,)), "fast": Pool((fast.url,))}, lambda s: done.append(s.replies))
        assert time.monotonic() - began < 5
        assert any(80 <= n < 100 for n in done)


@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"garbage", b"\r\n\r\n"])
def test_an_answer_too_many(extra: bytes, tmp_path: Path) -> None:
    """What a server sends behind its answer is not taken for the answer to the next question."""

    def behave(x: Exchange) -> None:
        body = orjson.dumps({"choices": [{"message": {"content": x.text.upper()}}]})
        x.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s%s" % (len(body), body, extra))

    with Server(behave) as server:
        _, journal = run(server, tmp_path, plans(30), concurrency=1)
    with journal:
        for i in range(30):
            reply = reply_to(journal, ask(f"question {i}"))
            assert reply is not None and reply.text == f"QUESTION {i}"
