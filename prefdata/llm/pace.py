"""When the next request may go to a server: rates that the user or the server names, waits that it asks for, and a rate learned of 429s."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from math import inf

from prefdata.llm.learned import Learned
from prefdata.llm.rate import Rate
from prefdata.llm.rate_headers import REQUESTS, TOKENS, Declared, declared, retry_after

BASE, CAP = 0.1, 4.0
"""Seconds of the longest first wait, and the longest of all, after a 429 that names none."""
PROBE = 1.0
"""Seconds between two requests after a wait that was long or in vain, until one is accepted."""
MINUTE = 60.0


class Named:
    """The limits that the user names (--rpm, --tpm), shared by all servers of a pool."""

    def __init__(self, rpm: float | None, tpm: float | None) -> None:
        self.requests = Rate(rpm / MINUTE) if rpm else None
        self.tokens = Rate(tpm / MINUTE) if tpm else None


class Pace:
    """The pace of one server. Times are in seconds of one clock; `sent` is when the request went out that a reply belongs to.

    What the user names counts instead of what the server declares.
    """

    def __init__(self, named: Named, jitter: Callable[[], float] = random.random) -> None:
        self.not_before = -inf
        self._named = named
        self._requests, self._tokens = named.requests, named.tokens
        self._learned = Learned()
        self._jitter = jitter
        self._cut = -inf
        self._sent = 0
        self._refused = 0
        self._doublings = 0
        self._probing = False
        self._hold = -inf

    def delay(self, now: float) -> float:
        """Seconds until the next request may go."""
        wait = max(0.0, self.not_before - now, self._hold - now, self._learned.delay(now))
        if self._requests is not None:
            wait = max(wait, self._requests.delay(now))
        if self._tokens is not None:
            wait = max(wait, self._tokens.delay(now))
        return wait

    def take(self, now: float, tokens: int, last_slot: bool = False) -> None:
        """A request of `tokens` tokens, as far as can be told, goes; `last_slot`: the next has to wait for a reply."""
        self._sent += 1
        if self._probing:
            self._hold = now + PROBE
        self._learned.take(now, last_slot)
        if self._requests is not None:
            self._requests.take(now)
        if self._tokens is not None:
            self._tokens.take(now, tokens)

    def used(self, tokens: int, used: int) -> None:
        """A request that was thought to have `tokens` tokens has used others."""
        if self._tokens is not None:
            self._tokens.give(tokens - used)

    def accepted(self, sent: float, now: float, headers: Mapping[str, str]) -> None:
        """A reply that is no 429."""
        self._read(headers)
        if sent > self._cut:
            self._doublings, self._probing, self._hold = 0, False, -inf
        self._learned.accepted(sent, now)

    def limited(self, sent: float, now: float, headers: Mapping[str, str]) -> None:
        """A 429: wait as long as the server says, at least U(0, min(cap, base · 2^k)) after k waits that were followed by refusals."""
        requests = self._read(headers)
        wait = retry_after(headers, time.time()) if headers else None
        if wait is None and requests and requests.left < 1:
            wait = requests.wait()
        self._learned.refused(sent, now)
        if sent > self._cut:  # else it was on its way with the request that was refused first
            blocked = 2 * self._refused >= self._sent
            self._doublings = self._doublings + 1 if blocked else 0
            self._cut, self._sent, self._refused = now, 0, 0
            wait = max(wait or 0.0, self._jitter() * min(CAP, BASE * 2.0**self._doublings))  # some say 0 seconds, and mean less than 1
            self._probing = blocked or wait >= PROBE
        self._refused += 1
        if wait is not None:
            self.not_before = max(self.not_before, now + wait)

    def told(self, now: float, headers: Mapping[str, str]) -> None:
        """Another failure, with which a server may name a wait, too."""
        self.not_before = max(self.not_before, now + (retry_after(headers, time.time()) or 0.0))

    def _read(self, headers: Mapping[str, str]) -> Declared | None:
        """Take over what the server declares. Its limits are per minute, as with OpenAI."""
        if REQUESTS not in headers and TOKENS not in headers:
            return None
        requests = declared(headers, "requests", time.time())
        if requests and self._named.requests is None:
            self._requests = _rate(self._requests, requests)
        tokens = declared(headers, "tokens", time.time())
        if tokens and self._named.tokens is None:
            self._tokens = _rate(self._tokens, tokens)
        return requests


def _rate(before: Rate | None, found: Declared) -> Rate:
    if before is None:
        return Rate(found.limit / MINUTE)
    before.per_second = found.limit / MINUTE
    return before
