"""A server's rate limit, learned from when it refuses."""

from __future__ import annotations

from collections import deque
from math import inf

from prefdata.llm.rate import Rate

ENOUGH, SHORTEST = 10, 0.5
"""Accepted requests and seconds that an estimate needs."""
BELOW, ABOVE = 0.97, 1.02
"""Times the estimate: below the rate of a bucket there are no refusals; a window is used up shortly before its end, so that a late start
in it costs nothing."""
GROWTH, FASTER = 0.001, 0.02
"""Growth per second; and after a minute without a refusal, or for half a minute where the estimate may be too low."""
MINUTE = 60.0
STEP = 5.0
WINDOW = 3.0
"""Seconds without an accepted request that show a fixed window."""
LOW = 1.1
"""How many times too low an estimate may be that was made while slots were short."""
STRIKES = 5
"""Refusals in a row below the estimate that show that the rate is not why the server refuses."""


class Learned:
    """The rate that a server accepts; none until it refuses.

    When it accepts again after a refusal, its allowance has just been used up. A token bucket then has accepted as fast as it is
    refilled, and goes on at once: the estimate is what was accepted of late. A fixed window only opens again at its end: the estimate is
    what it accepted since it last did so. Just below the estimate requests go on, a little faster each second until the next refusal.
    A server that refuses at random or for want of slots still does so below the estimate: then there is no rate to learn, and for a
    minute none is looked for.

    Times are in seconds of one clock; `sent` is when the request went out that a reply belongs to.
    """

    def __init__(self) -> None:
        self.rate: Rate | None = None
        self._begin: float | None = None
        """When the server accepted again, at first when the first request went."""
        self._accepted = 0
        """Requests sent since then, less those refused."""
        self._after = 0
        """Those of them that were sent after the last refusal: they belong to the time that follows."""
        self._refused: float | None = None
        """When it last refused the first of some requests; None while it accepts."""
        self._marks: deque[tuple[float, int]] = deque(maxlen=4)
        """Times since then, 5 seconds apart, and requests accepted up to them."""
        self._short = 0
        """Requests sent since then that took the last slot: when they are many, the allowance may not have been used up."""
        self._estimate = inf
        self._low = False
        self._strikes = 0
        self._off = -inf
        self._last = -inf

    def delay(self, now: float) -> float:
        return self.rate.delay(now) if self.rate else 0.0

    def take(self, now: float, last_slot: bool) -> None:
        """A request goes; `last_slot`: the next has to wait for a reply, whatever the rate."""
        self._short += last_slot
        if self._begin is None:
            self._begin_at(now)
        if now > self._marks[-1][0] + STEP:
            self._marks.append((now, self._accepted))
        self._accepted += 1
        self._after += 1
        if self.rate:
            self.rate.take(now)

    def accepted(self, sent: float, now: float) -> None:
        """A reply that is no 429."""
        if self._refused is not None and sent > self._refused:
            self._learn(sent, sent - self._refused > WINDOW)
            self._refused = None
        if self.rate and self._begin is not None:
            seconds = now - self._begin
            growth = FASTER if seconds > MINUTE or (self._low and seconds < MINUTE / 2) else GROWTH
            self.rate.per_second *= 1 + growth * min(1.0, now - self._last)
        self._last = now

    def refused(self, sent: float, now: float) -> None:
        """A 429."""
        self._accepted -= 1
        if self._refused is None and now > self._off:
            self._refused, self._after = now, 0
        elif self._refused is not None and sent > self._refused:
            self._after -= 1

    def _learn(self, now: float, window: bool) -> None:
        """The first request after a refusal, sent at `now`, was accepted."""
        assert self._begin is not None
        begin, before = (self._begin, 0) if window else self._marks[0]
        accepted, seconds = self._accepted - self._after - before, now - begin
        if accepted < ENOUGH or seconds < SHORTEST:
            return  # too little to tell: one time with what comes
        below = self.rate is not None and self.rate.per_second <= self._estimate * (LOW if self._low else 1)
        self._strikes = self._strikes + 1 if below else 0
        if self._strikes > STRIKES:
            self.rate, self._estimate, self._strikes, self._off = None, inf, 0, now + MINUTE
        else:
            self._estimate = accepted / seconds
            self.rate = self.rate or Rate(self._estimate)
            self.rate.per_second = (ABOVE if window else BELOW) * self._estimate
        self._low, self._short = 2 * self._short > self._accepted, 0
        self._accepted = self._after
        self._begin_at(now)

    def _begin_at(self, now: float) -> None:
        self._begin = now
        self._marks.clear()
        self._marks.append((now, 0))
