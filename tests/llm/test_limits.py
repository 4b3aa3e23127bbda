"""How fast and how many at a time: limits, pace, breaker and retries on a clock of their own."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefdata.llm.breaker import FAILURES, Breaker
from prefdata.llm.limits import Limit
from prefdata.llm.pace import Named, Pace
from prefdata.llm.rate import Rate
from prefdata.llm.rate_headers import Declared, declared, retry_after, seconds
from prefdata.llm.retries import CAP, Retries
from tests.llm.simulation import Bucket, Limited, Window, simulate

# the number of requests in flight


def test_doubles_until_the_first_overload() -> None:
    """16 in flight, all well: 32 after a window of replies, then 64; a window is as many replies as were in flight."""
    limit = Limit(1000)
    for window in (16, 32, 64):
        assert int(limit.value) == window
        for _ in range(window):
            limit.good(sent=1, in_flight=int(limit.value))
    assert int(limit.value) == 128


def test_cut_once_per_window_then_one_more_per_window() -> None:
    limit = Limit(1000)
    limit.value = 100.0
    for _ in range(100):
        limit.bad(sent=1.0, now=2.0)  # all of one window
    assert limit.value == pytest.approx(60)
    for _ in range(100):
        limit.good(sent=1.5, in_flight=60)  # sent before the cut: says nothing
    assert limit.value == pytest.approx(60)
    for _ in range(60):
        limit.good(sent=3.0, in_flight=60)
    assert limit.value == pytest.approx(61, abs=0.02)
    for _ in range(20):
        limit.bad(sent=3.0, now=4.0)
    assert limit.value == pytest.approx(61 * 0.6, abs=0.02)


def test_what_is_not_used_does_not_grow() -> None:
    limit = Limit(1000)
    for _ in range(1000):
        limit.good(sent=1, in_flight=5)
    assert limit.value == 16


def test_a_failure_now_and_then_is_no_overload() -> None:
    limit = Limit(64)
    for i in range(1, 2000):
        limit.bad(i, i + 0.5) if i % 30 == 0 else limit.good(i, int(limit.value))
    assert limit.value == 64


@given(st.integers(1, 300), st.lists(st.tuples(st.booleans(), st.floats(0, 100), st.integers(1, 300))))
def test_between_one_and_most(most: int, replies: list[tuple[bool, float, int]]) -> None:
    limit = Limit(most)
    for i, (good, ago, in_flight) in enumerate(replies):
        limit.good(i - ago, in_flight) if good else limit.bad(i - ago, i)
        assert 1 <= limit.value <= most


# rates


def test_even_rate() -> None:
    """Two a second: one at 0, 0.5, 1.0 ...; a quarter of a second late may be caught up, not more."""
    rate = Rate(2)
    assert rate.delay(0) == 0
    rate.take(0)
    assert rate.delay(0) == pytest.approx(0.5)
    assert rate.delay(0.5) == 0
    rate.take(0.6)
    assert rate.delay(0.6) == pytest.approx(0.4)
    rate.take(10)
    assert rate.delay(10) == pytest.approx(0.25)


def test_tokens_are_given_back() -> None:
    """6,000 tokens a minute: a request of 1,000 holds the next for 10 s; when it has used 100, for 1 s."""
    pace = Pace(Named(None, 6000))
    pace.take(0, 1000)
    assert pace.delay(0) == pytest.approx(10)
    pace.used(1000, 100)
    assert pace.delay(0) == pytest.approx(1)


@pytest.mark.parametrize("rpm", [60, 600, 6000])
def test_rpm_is_kept(rpm: int) -> None:
    """--rpm against a server that counts, in any minute: used up, and nothing is refused."""
    for server in (Bucket(rpm, max(2, rpm // 60)), Window(rpm)):
        run = simulate(server, 150, 0.1, 64, Named(rpm, None))
        assert run.rate(0, 150) == pytest.approx(rpm / 60, rel=0.02)
        assert len(run.refused) <= 2


RATED: dict[str, Callable[[bool], Limited]] = {
    "full bucket": lambda headers: Bucket(600, 600, headers),
    "small bucket": lambda headers: Bucket(600, 10, headers),
    "bucket, Retry-After": lambda headers: Bucket(600, 600, headers, wait=True),
    "window": lambda headers: Window(600, 0, headers),
    "window, begun before": lambda headers: Window(600, -20, headers),
    "window, Retry-After": lambda headers: Window(600, 0, headers, wait=True),
}


@pytest.mark.parametrize("headers", [True, False], ids=["headers", "learned"])
@pytest.mark.parametrize("name", RATED)
def test_600_requests_a_minute(name: str, headers: bool) -> None:
    """The allowance is used to 95 % and more, and after 30 s at most 2 % are refused, with and without headers that say what it is."""
    begin = 100 if "before" in name else 60  # of a window
    for seed in range(3):
        run = simulate(RATED[name](headers), 280, 0.1, 64, seed=seed)
        assert run.rate(begin, begin + 180) >= 9.5
        assert run.share_refused(30, 280) <= 0.02
        if headers:
            assert len(run.refused) <= 5 or "small" in name or "Retry" in name


def test_no_limit_no_brake() -> None:
    """Nothing refuses: 256 in flight after a second, 2,560 requests a second at 100 ms."""
    run = simulate(Bucket(1e9, 1e9), 10, 0.1, 256)
    assert run.rate(1, 10) >= 0.95 * 2560


def test_refused_at_random() -> None:
    """One in a hundred, whatever the rate: waits are short, and no rate is learned from it."""
    run = simulate(Bucket(1e9, 1e9), 60, 0.1, 64, random429=0.01)
    assert run.rate(0, 60) >= 0.6 * 640


def test_waits_double_while_all_is_refused() -> None:
    """Full jitter at its most (1.0): 0.1, 0.2, 0.4 ... 4 s; then one request at a time."""
    pace, now, waits = Pace(Named(None, None), jitter=lambda: 1.0), 0.0, []
    for _ in range(8):
        pace.take(now, 10)
        pace.limited(now, now + 0.01, {})
        waits.append(round(pace.not_before - now - 0.01, 3))
        now = pace.not_before
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 4.0, 4.0]
    pace.take(now, 10)
    assert pace.delay(now) == pytest.approx(1.0)  # the probe is on its way
    pace.accepted(now, now + 0.2, {})
    assert pace.delay(now + 0.2) == 0


def test_one_wait_for_all_that_were_on_their_way() -> None:
    """Ten requests of one moment are refused: one wait, not ten."""
    pace = Pace(Named(None, None), jitter=lambda: 1.0)
    for _ in range(10):
        pace.take(0.0, 10)
    for i in range(10):
        pace.limited(0.0, 0.1 + i / 1000, {})
    assert pace.not_before == pytest.approx(0.2)


# what servers say


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("1.5", 1.5),
        ("0", 0),
        ("-3", 0),
        ("6m0s", 360),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("250µs", 0.00025),
        ("1700000060", 60),
        ("1700000060000", 60),
        ("2023-11-14T22:14:20Z", 60),
        (formatdate(1700000060, usegmt=True), 60),
        (formatdate(1600000000, usegmt=True), 0),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("6x", None),
        ("5m soon", None),
    ],
)
def test_seconds(text: str, value: float | None) -> None:
    assert seconds(text, 1700000000) == (value if value is None else pytest.approx(value))


@given(st.text(max_size=20))
def test_seconds_of_anything(text: str) -> None:
    found = seconds(text, 1700000000)
    assert found is None or 0 <= found < inf


def test_retry_after() -> None:
    assert retry_after({}, 0) is None
    assert retry_after({"retry-after": "3", "retry-after-ms": "250"}, 0) == 0.25
    assert retry_after({"retry-after": "whenever"}, 0) is None
    clock = {"retry-after": formatdate(1700000030, usegmt=True), "date": formatdate(1700000000, usegmt=True)}
    assert retry_after(clock, 1699990000) == 30  # by the server's clock, not by ours


def test_declared() -> None:
    said = {f"x-ratelimit-{word}-requests": text for word, text in (("limit", "600"), ("remaining", "599"), ("reset", "100ms"))}
    assert declared(said, "requests", 0) == Declared(600, 599, 0.1)
    assert declared(said, "tokens", 0) is None
    for nonsense in ("0", "-1", "many", "nan"):
        assert declared({**said, "x-ratelimit-limit-requests": nonsense}, "requests", 0) is None


def test_when_there_is_one_again() -> None:
    """600 a minute: a bucket that lacks 300 is full in 30 s and has one in 0.1 s; a window that lacks 300 and ends in 50 s, in 50 s."""
    assert Declared(600, 300, 30).wait() == pytest.approx(0.1)
    assert Declared(600, 300, 50).wait() == 50
    assert Declared(600, 600, 30).wait() is None
    assert Declared(600, 0, None).wait() is None


# servers that fail


def test_breaker_opens_asks_once_and_closes() -> None:
    breaker = Breaker()
    for i in range(FAILURES):
        assert breaker.closed
        breaker.bad(sent=i, now=i + 0.1)
    opened = FAILURES - 1 + 0.1
    assert not breaker.closed and breaker.delay(opened) == 0.5
    breaker.bad(sent=1, now=opened + 0.1)  # was on its way before
    assert breaker.delay(opened) == 0.5
    assert breaker.delay(opened + 0.5) == 0
    breaker.take()
    assert breaker.delay(opened + 0.6) == inf  # one at a time
    breaker.bad(sent=opened + 0.5, now=opened + 1)
    assert breaker.delay(opened + 1) == 1.0  # twice as long
    breaker.take()
    breaker.good()
    assert breaker.closed and breaker.delay(opened + 2) == 0


def test_breaker_stays_closed_while_some_succeed() -> None:
    breaker = Breaker()
    for i in range(1000):
        breaker.good() if i % FAILURES == 0 else breaker.bad(i, i)
        assert breaker.closed


def test_a_probe_that_tells_nothing() -> None:
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker.bad(1, 2)
    breaker.take()
    breaker.unclear(sent=2.5)
    assert breaker.delay(10) == 0


def test_retries_are_jittered_and_rationed() -> None:
    """U(0, 0.5 · 2^(k-1)) up to 20 s. Of 1,000 requests that all fail, 100 + 0.2 · 1,000 retries are quick, the others wait long."""
    retries = Retries(0.0, jitter=lambda: 1.0)
    assert [retries.wait(k, 0.0) for k in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 20, 20]
    retries = Retries(0.0, jitter=lambda: 1.0)
    quick = 0
    for _ in range(1000):
        retries.first()
        quick += retries.wait(1, 0.0) == 0.5
    assert quick == pytest.approx(300, abs=2)
    assert retries.wait(1, 0.0) == CAP
    assert retries.wait(1, 1.0) == 0.5  # ten a second are always possible
