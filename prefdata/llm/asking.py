"""The way of a request: turn, budget, server, journal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from prefdata.io.journal import Journal, Stored, Usage
from prefdata.llm.budget import Budget
from prefdata.llm.commits import Commits
from prefdata.llm.complaints import all_refused, complaint
from prefdata.llm.endpoints import Endpoint, Pool, endpoints_of
from prefdata.llm.options import ClientOptions
from prefdata.llm.outcome import CHARGED, FATAL, RETRIED, WAITED, outcome, said, usage_of
from prefdata.llm.request import OK, REFUSALS, Reply, Request
from prefdata.llm.retries import Retries
from prefdata.llm.stats import Stats
from prefdata.llm.transport import Lost, Transport
from prefdata.llm.turns import Turns

FIRST_REFUSALS = 5
"""Refused requests at the start of a run that end it: a parameter is wrong, not the rows."""


class Home:
    """The server that the requests of one plan go to, so that its prefix cache serves them."""

    endpoint: Endpoint | None = None


class Tried(NamedTuple):
    """What one try came to: the reply, when it is one to keep, and what it cost."""

    code: str
    reply: Reply | None = None
    cost: Usage = Usage()


class Asking:
    """What the requests of one run share. Make it inside the event loop and close it there."""

    def __init__(self, options: ClientOptions, journal: Journal, pools: Mapping[str, Pool], stats: Stats) -> None:
        self.pools = endpoints_of(pools, options)
        self.turns = Turns(self.pools, options.concurrency)
        self.stats, self._options, self._journal = stats, options, journal
        self._loop = asyncio.get_running_loop()
        self._budget = Budget(options, journal.spent())
        self._retries = Retries(self._loop.time())
        self._commits = Commits(journal)
        self._transport = Transport()
        self._keys = {e.key.encode() for endpoints in self.pools.values() for e in endpoints if e.key}
        self._asked: dict[bytes, asyncio.Future[Reply | None]] = {}
        self._parked: set[asyncio.Future[None]] = set()
        self._stopped = False
        first_run = not journal.codes().get(OK)
        self._unsure: dict[str, dict[bytes, Reply]] = {pool: {} for pool in pools} if first_run else {}

    def find(self, requests: Sequence[Request]) -> list[Reply | None]:
        """The replies that are there already."""
        found: list[Reply | None] = []
        for request, stored in zip(requests, self._journal.find([r.key for r in requests]), strict=True):
            if stored is not None:
                self.stats.reused += 1
                found.append(Reply(request.key, stored.code, stored.raw))
            else:
                found.append(self._unsure.get(request.pool, {}).get(request.key))
        return found

    async def reply(self, request: Request, home: Home) -> Reply | None:
        """The server's reply, committed, or None when there is none for good. While a request is on its way, nobody sends it again."""
        other = self._asked.get(request.key)
        if other is not None:
            return await other
        mine = self._asked[request.key] = self._loop.create_future()
        try:
            reply = await self._reply(request, home)
            if not mine.done():
                mine.set_result(reply)
            return reply
        finally:
            del self._asked[request.key]
            mine.cancel()

    async def _reply(self, request: Request, home: Home) -> Reply | None:
        most = self._budget.most(request)
        failed: bool | None = None
        began, tries = 0.0, 0
        self._retries.first()
        while True:
            home.endpoint = endpoint = await self.turns.take(request.pool, home.endpoint, _likely(most), failed)
            try:
                room = self._budget.reserve(most)
                if room is not None:
                    await self._park(room)
                sent = self._loop.time()
                began = began or sent
                seconds = min(self._options.timeout, max(0.1, began + self._options.deadline - sent))
                code, reply, cost = await self._try(endpoint, request, most, sent, seconds)
                if reply is not None:
                    await self._keep(endpoint, reply, cost)
                    return reply
            finally:
                self.turns.give(endpoint)
            tries += code not in WAITED
            failed = code != "rate-limited"
            wait = self._wait(code, tries, began)
            if wait is None:
                self.stats.failed[code] += 1
                self._journal.failed(request.key, code)
                return None
            self.stats.retries += 1
            if wait:
                await self._sleep(wait)

    async def _try(self, endpoint: Endpoint, request: Request, most: Usage, sent: float, seconds: float) -> Tried:
        """Send once and settle the bill. Raises what ends the run."""
        self.stats.calls += 1
        try:
            response = await self._transport.post(endpoint.url(request), endpoint.headers, request.body, seconds)
        except Lost as e:
            endpoint.heard(e.code, sent, self._loop.time(), {}, self._shown(str(e)))
            return self._settled(endpoint, e.code, most)
        except asyncio.CancelledError:
            self._settled(endpoint, "timeout", most)
            raise
        body = self._clean(response.body)
        reply = Reply(request.key, OK, body)
        code = outcome(response.status, body, reply)
        detail = "" if code == OK else f"{response.status} {said(body)}"
        endpoint.heard(code, sent, self._loop.time(), response.headers, detail)
        if code in FATAL:
            self._settled(endpoint, code, most)
            error = complaint(code, endpoint, request.model, response._replace(body=body))
            raise type(error)(self._shown(str(error)))
        if code != OK and code not in REFUSALS:
            self.stats.rate_limited += code == "rate-limited"
            return self._settled(endpoint, code, most, usage_of(reply) if code == "no-choices" else None)
        if code != OK:
            self._budget.settle(most, Usage())
            return Tried(code, Reply(request.key, code, body))
        used = usage_of(reply)
        self.stats.estimated += used is None
        cost = self._budget.cost(*used) if used else most
        self._budget.settle(most, cost)
        endpoint.pace.used(_likely(most), cost.tokens_in + cost.tokens_out)
        self._served(reply.model or "?")
        return Tried(OK, reply, cost)

    def _settled(self, endpoint: Endpoint, code: str, most: Usage, used: tuple[int, int] | None = None) -> Tried:
        """Settle the bill of a try without a reply to keep: what may have been billed is paid."""
        if code not in CHARGED:
            self._budget.settle(most, Usage())
            endpoint.pace.used(_likely(most), 0)
            return Tried(code)
        cost = self._budget.cost(*used) if used else most
        self._budget.settle(most, cost)
        self._journal.charge(cost)
        self.stats.charged += 1
        self._count(cost)
        return Tried(code)

    async def _keep(self, endpoint: Endpoint, reply: Reply, cost: Usage) -> None:
        """Store a reply; done when it is committed."""
        self.stats.replies += 1
        self._count(cost)
        unsure = self._unsure.get(endpoint.pool)
        if unsure is not None and reply.code == "bad-request":
            unsure[reply.key] = reply
            if len(unsure) == FIRST_REFUSALS:
                self.stats.replies -= FIRST_REFUSALS
                raise all_refused(FIRST_REFUSALS, endpoint, reply.raw)
            return
        if unsure is not None:
            self._sure(endpoint.pool)
        if reply.code != OK:
            self.stats.refused[reply.code] += 1
        await self._commits.put(reply.key, Stored(reply.code, reply.raw), cost)

    def _sure(self, pool: str) -> list[asyncio.Future[None]]:
        """Refusals of the first requests are results after all: another request was not refused, or there are no more."""
        unsure = self._unsure.pop(pool).values()
        if unsure:
            self.stats.refused["bad-request"] += len(unsure)
        return [self._commits.put(r.key, Stored(r.code, r.raw), Usage()) for r in unsure]

    def _served(self, model: str) -> None:
        """Count a name that a server gave; whatever names it gives, they stay few and short."""
        served, name = self.stats.served, model[:100]
        served[name if name in served or len(served) < 100 else "others"] += 1

    def _count(self, cost: Usage) -> None:
        self.stats.tokens_in += cost.tokens_in
        self.stats.tokens_out += cost.tokens_out
        self.stats.usd += cost.usd

    def _wait(self, code: str, tries: int, began: float) -> float | None:
        """Seconds until a request is sent again, None when it is not."""
        now = self._loop.time()
        end = began + self._options.deadline
        if code not in RETRIED or now >= end:
            return None
        if code in WAITED:
            return 0.0
        if tries > self._options.retries:
            return None
        wait = self._retries.wait(tries, now)
        return wait if now + wait < end else None

    def _clean(self, body: bytes) -> bytes:
        """A response without our keys: servers may repeat them in errors."""
        for key in self._keys:
            if key in body:
                body = body.replace(key, b"[key]")
        return body

    def _shown(self, text: str) -> str:
        """A message without our keys."""
        return self._clean(text.encode("utf-8", "replace")).decode()

    async def _sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        timer = self._loop.call_later(seconds, _finish, future)
        try:
            await self._park(future)
        finally:
            timer.cancel()

    async def _park(self, future: asyncio.Future[None]) -> None:
        """Wait for something, until `stop`."""
        if self._stopped:
            raise asyncio.CancelledError
        self._parked.add(future)
        try:
            await future
        finally:
            self._parked.discard(future)

    def stop(self) -> None:
        """Nothing more is sent: who waits is cancelled, who is in flight may come back."""
        self._stopped = True
        self.turns.stop()
        for future in list(self._parked):
            future.cancel()

    async def close(self, whole: bool) -> None:
        """Let go of the connections. `whole`: the run came to its end."""
        await self._transport.close()
        for pool in list(self._unsure) if whole else ():
            await asyncio.gather(*self._sure(pool))


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _likely(most: Usage) -> int:
    """The tokens that a server is likely to count against its limit: of English, four bytes are about one."""
    return most.tokens_in // 4 + most.tokens_out
