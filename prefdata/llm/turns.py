"""Whose turn it is: requests stand in line for a server of their pool, and go when its limit, pace and breaker let them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from math import inf

from prefdata.llm.endpoints import Endpoint

Line = deque[tuple["asyncio.Future[bool]", int]]


class Turns:
    """Slots for at most `most` requests in flight, over all servers. Belongs to the running event loop."""

    def __init__(self, pools: Mapping[str, Sequence[Endpoint]], most: int) -> None:
        self._pools = pools
        self._most = most
        self._in_flight = 0
        self._loop = asyncio.get_running_loop()
        self._lines: dict[Endpoint, Line] = {e: deque() for endpoints in pools.values() for e in endpoints}
        self._timers: dict[Endpoint, tuple[float, asyncio.Handle]] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._no_more = False
        self._stopped = False

    async def take(self, pool: str, home: Endpoint | None, tokens: int, failed: bool | None = None) -> Endpoint:
        """Wait for a slot: of `home` while it is well, else of the server of the pool with the fewest requests.

        `failed` is None for a first try. Retries go to the head of the line, and where others are, not to the server that has failed.
        """
        while True:
            if self._stopped:
                raise asyncio.CancelledError
            if home is None or failed or not home.breaker.closed:
                home = self._best(pool, home)
            now = self._loop.time()
            line = self._lines[home]
            if not line and self._in_flight < self._most and home.delay(now) <= 0:
                self._in_flight += 1
                home.take(now, tokens)
                self._next()
                return home
            future: asyncio.Future[bool] = self._loop.create_future()
            (line.append if failed is None else line.appendleft)((future, tokens))
            self._serve(home)
            if await future:
                return home

    def give(self, endpoint: Endpoint) -> None:
        """A slot is free."""
        self._in_flight -= 1
        endpoint.in_flight -= 1
        for each, line in self._lines.items():
            if line:
                self._serve(each)

    def room(self) -> asyncio.Future[None] | None:
        """None when there is room for a new plan: some server has nobody in line. Else a future to wait for, and then to ask again: plans
        under way come first, their prompts are in the servers' caches."""
        if self._no_more or not all(self._lines.values()):
            return None
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(future)
        return future

    def no_more(self) -> None:
        """There are no more plans: nobody needs to wait for room."""
        self._no_more = True
        while self._waiting:
            self._next()

    def _next(self) -> None:
        """There may be room for one more plan. Who takes it, and a slot without standing in line, calls the next."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return

    def stop(self) -> None:
        """Cancel everybody in line, and whoever comes."""
        self._stopped = True
        for future in self._waiting:
            future.cancel()
        for line in self._lines.values():
            while line:
                line.popleft()[0].cancel()
        for _, timer in self._timers.values():
            timer.cancel()

    def _best(self, pool: str, not_this: Endpoint | None = None) -> Endpoint:
        return min(self._pools[pool], key=lambda e: (not e.breaker.closed, e is not_this, e.in_flight + len(self._lines[e])))

    def _serve(self, endpoint: Endpoint) -> None:
        line = self._lines[endpoint]
        now = self._loop.time()
        if not endpoint.breaker.closed and self._best(endpoint.pool).breaker.closed:
            while line:
                self._tell(line, False)
        while line and self._in_flight < self._most:
            delay = endpoint.delay(now)
            if delay > 0:
                self._wake(endpoint, now + delay)
                return
            tokens = line[0][1]
            if self._tell(line, True):
                self._in_flight += 1
                endpoint.take(now, tokens)

    def _tell(self, line: Line, go: bool) -> bool:
        """Take the head out of the line; False when it has gone away."""
        future, _ = line.popleft()
        if not line:
            self._next()
        if future.done():
            return False
        future.set_result(go)
        return True

    def _wake(self, endpoint: Endpoint, when: float) -> None:
        """Look again at `when`, unless that is never: then a reply will tell."""
        planned, timer = self._timers.get(endpoint, (inf, None))
        if when < planned:
            if timer is not None:
                timer.cancel()
            self._timers[endpoint] = when, self._loop.call_at(when, self._due, endpoint)

    def _due(self, endpoint: Endpoint) -> None:
        """A timer may come a little early: then `_serve` sets another."""
        del self._timers[endpoint]
        self._serve(endpoint)
