"""Replies on their way into the journal: its thread says when they are committed, the event loop is woken once per group."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from functools import partial

from prefdata.io.journal import Journal, Stored, Usage


class Commits:
    """Stores replies in a journal from inside the running event loop."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._loop = asyncio.get_running_loop()
        self._told: deque[tuple[asyncio.Future[None], BaseException | None]] = deque()
        self._woken = False

    def put(self, key: bytes, stored: Stored, usage: Usage) -> asyncio.Future[None]:
        """Done when the reply is committed; has the error when the disk does not take it."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._journal.put(key, stored, usage, partial(self._tell, future))
        return future

    def _tell(self, future: asyncio.Future[None], error: BaseException | None) -> None:
        """In the journal's thread. The order matters: what is appended before `_woken` is looked at is found by `_wake`."""
        self._told.append((future, error))
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._woken = False
        while self._told:
            future, error = self._told.popleft()
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
