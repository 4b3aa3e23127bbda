"""A server with a rate limit and a client that always has something to ask, on a clock of their own: a minute takes no time."""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from prefdata.llm.endpoints import Endpoint, Pool
from prefdata.llm.pace import Named


class Limited(Protocol):
    """A server's limit: whether a request of time `now` is accepted, and the headers that say so."""

    def take(self, now: float) -> tuple[bool, Mapping[str, str]]: ...


class Bucket:
    """A token bucket, with OpenAI's headers where `headers`."""

    def __init__(self, rpm: float, size: float, headers: bool = False, wait: bool = False) -> None:
        self.rate, self.size, self.left, self.then = rpm / 60, size, size, 0.0
        self.headers, self.wait = headers, wait

    def take(self, now: float) -> tuple[bool, Mapping[str, str]]:
        self.left = min(self.size, self.left + (now - self.then) * self.rate)
        self.then = now
        good = self.left >= 1
        self.left -= good
        said = {}
        if self.headers:
            said = {
                "x-ratelimit-limit-requests": f"{self.rate * 60:.0f}",
                "x-ratelimit-remaining-requests": f"{int(self.left)}",
                "x-ratelimit-reset-requests": f"{int((self.size - self.left) / self.rate * 1000)}ms",
            }
        if self.wait and not good:
            said["retry-after"] = "1"
        return good, said


class Window:
    """A fixed window of a minute that begins at `offset`."""

    def __init__(self, rpm: int, offset: float = 0.0, headers: bool = False, wait: bool = False) -> None:
        self.rpm, self.offset, self.headers, self.wait = rpm, offset, headers, wait
        self.window, self.left = -1, rpm

    def take(self, now: float) -> tuple[bool, Mapping[str, str]]:
        window, gone = divmod(now - self.offset, 60)
        if window != self.window:
            self.window, self.left = int(window), self.rpm
        good = self.left > 0
        self.left -= good
        said = {}
        if self.headers:
            said = {
                "x-ratelimit-limit-requests": f"{self.rpm}",
                "x-ratelimit-remaining-requests": f"{self.left}",
                "x-ratelimit-reset-requests": f"{60 - gone:.3f}s",
            }
        if self.wait and not good:
            said["retry-after"] = f"{60 - gone:.0f}"
        return good, said


class Crowd:
    """At most `most` requests at a time; no rate."""

    def __init__(self, most: int) -> None:
        self.most, self.inside = most, 0


class Run(NamedTuple):
    """Times of accepted and refused requests."""

    accepted: list[float]
    refused: list[float]

    def rate(self, begin: float, end: float) -> float:
        """Accepted requests a second."""
        return sum(begin <= t < end for t in self.accepted) / (end - begin)

    def share_refused(self, begin: float, end: float) -> float:
        n, k = (sum(begin <= t < end for t in times) for times in (self.accepted, self.refused))
        return k / max(1, n + k)


def simulate(
    server: Limited,
    seconds: float,
    latency: float,
    concurrency: int,
    named: Named | None = None,
    random429: float = 0,
    seed: int = 0,
) -> Run:
    """Ask for `seconds`. A refusal comes after a tenth of the latency."""
    draw = random.Random(seed)
    endpoint = Endpoint("", Pool(("http://127.0.0.1:1/v1",)), "http://127.0.0.1:1/v1", concurrency, named or Named(None, None))
    endpoint.pace._jitter = draw.random
    run = Run([], [])
    events: list[tuple[float, int, str, float, Mapping[str, str]]] = [(0.0, 0, "wake", 0.0, {})]
    n, waking = 0, float("inf")
    while events and (now := events[0][0]) < seconds:
        now, _, what, sent, headers = heapq.heappop(events)
        if what == "arrive":
            good, headers = server.take(now)
            if good and draw.random() < random429:
                good = False
            (run.accepted if good else run.refused).append(now)
            n += 1
            delay = latency * draw.uniform(0.8, 1.2) if good else latency / 10
            heapq.heappush(events, (now + delay, n, "ok" if good else "rate-limited", sent, headers))
            continue
        if what == "wake":
            waking = float("inf")
        else:
            endpoint.heard(what, sent, now, headers, "")
            endpoint.in_flight -= 1
        while (delay := endpoint.delay(now)) <= 0:
            endpoint.take(now, 100)
            n += 1
            heapq.heappush(events, (now + draw.uniform(0.0005, 0.003), n, "arrive", now, {}))
        if delay < float("inf") and now + delay < waking:
            waking = now + delay
            n += 1
            heapq.heappush(events, (waking, n, "wake", 0.0, {}))
    return run
