"""A run: plans are taken as there is room, driven to their ends, and stopped when something ends the run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any

from prefdata.llm.asking import Asking, Home
from prefdata.llm.complaints import long_wait, no_answer
from prefdata.llm.options import ClientOptions
from prefdata.llm.plan import Plan
from prefdata.llm.request import Reply, Request
from prefdata.llm.stats import Stats

GRACE = 0.5
"""Seconds that requests in flight have to come back when the run is stopped."""
TICK = 0.2
"""Seconds between two looks at the servers, and two calls of `progress`."""
FIRST_PATIENCE = 30.0
"""Seconds until a server that has never answered is given up."""
TURN = 64
"""Plans that are driven with the journal alone before the event loop has its turn."""

Step = tuple[list[Request], list[Reply | None]]


class Interrupted(Exception):
    """Ctrl-C or SIGTERM."""


class Running:
    """One run; make it inside the event loop."""

    def __init__(self, asking: Asking, options: ClientOptions) -> None:
        self._asking, self._stats, self._most, self._deadline = asking, asking.stats, options.concurrency, options.deadline
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._end: asyncio.Future[None] = self._loop.create_future()

    async def all(self, plans: Iterable[Plan[object]], progress: Callable[[Stats], None] | None) -> None:
        """Drive all plans. Raises what ended the run early, after requests in flight have come back or GRACE is over."""
        whole = False
        shared = iter(plans)
        for _ in range(self._most):
            self._spawn(self._work(shared))
        ticker = self._loop.create_task(self._watch(progress))
        try:
            await self._end
            whole = True
        finally:
            ticker.cancel()
            self._asking.stop()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=GRACE)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(ticker, *self._tasks, return_exceptions=True)
            await self._asking.close(whole)
            self._look()
            if progress:
                progress(self._stats)

    def stop(self, error: BaseException) -> None:
        """End the run with an error, the first one counts. From another thread: `loop.call_soon_threadsafe`."""
        if not self._end.done():
            self._end.set_exception(error)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.stop(error)
        if not self._tasks and not self._end.done():
            self._end.set_result(None)

    async def _work(self, plans: Iterator[Plan[object]]) -> None:
        """One of the workers that drive the plans, one plan at a time each, taking the next when there is room for it."""
        turns = self._asking.turns
        while True:
            while (room := turns.room()) is not None:
                await room
            plan = next(plans, None)
            if plan is None:
                turns.no_more()
                return
            step = self._advance(plan, None)
            if step is not None:
                await self._drive(plan, step)
            self._stats.plans += 1
            if step is None and self._stats.plans % TURN == 0:
                await asyncio.sleep(0)

    async def _drive(self, plan: Plan[object], step: Step | None) -> None:
        """Drive a plan from its first request without a reply to its end."""
        home = Home()
        while step is not None:
            asked, found = step
            missing = [i for i, reply in enumerate(found) if reply is None]
            if len(missing) == 1:
                got = [await self._asking.reply(asked[missing[0]], home)]
            else:
                got = await asyncio.gather(*(self._spawn(self._asking.reply(asked[i], home)) for i in missing))
            for i, reply in zip(missing, got, strict=True):
                found[i] = reply
            replies = [reply for reply in found if reply is not None]
            if len(replies) < len(asked):
                plan.close()
                return
            step = self._advance(plan, replies)

    def _advance(self, plan: Plan[object], replies: list[Reply] | None) -> Step | None:
        """Drive a plan with the journal alone: its next requests of which some have no reply, None at its end."""
        try:
            asked = next(plan) if replies is None else plan.send(replies)
            while True:
                found = self._asking.find(asked)
                replies = [reply for reply in found if reply is not None]
                if len(replies) < len(asked):
                    return asked, found
                asked = plan.send(replies)
        except StopIteration:
            return None

    async def _watch(self, progress: Callable[[Stats], None] | None) -> None:
        """Give up when no server of a pool answers for long."""
        while True:
            await asyncio.sleep(TICK)
            try:
                self._patience()
                self._look()
                if progress:
                    progress(self._stats)
            except Exception as error:
                self.stop(error)
                return

    def _patience(self) -> None:
        now = self._loop.time()
        for endpoints in self._asking.pools.values():
            first = endpoints[0]
            waits = [e.pace.not_before - now for e in endpoints]
            if min(waits) > self._deadline:
                raise long_wait(first, min(waits), self._deadline)
            if all(e.silent(now) > (self._deadline if e.patient else min(FIRST_PATIENCE, self._deadline)) for e in endpoints):
                raise no_answer(first, first.silent(now))

    def _look(self) -> None:
        endpoints = [e for pool in self._asking.pools.values() for e in pool]
        self._stats.in_flight = sum(e.in_flight for e in endpoints)
        self._stats.limit = min(self._most, sum(int(e.limit.value) for e in endpoints))
