"""How many requests a server takes at once: additive increase, multiplicative decrease (AIMD), as in TCP."""

from __future__ import annotations

START = 16
CUT = 0.6
USED = 0.75
"""Share of the limit that must be in flight for a reply to say something about it."""
TOLERATED, MEMORY = 0.1, 50.0
"""Share of refusals among the replies of about a window, at least 50, that is no overload: a server may fail now and then."""


class Limit:
    """Most requests in flight to one server.

    Doubles per window of replies until the first sign of overload (slow start), then grows by one per window. A sign of overload takes
    it to 0.6 of what it was, once per window: replies to requests sent before the last cut say nothing new. Times are in seconds of any
    one clock.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.value = float(min(START, most))
        self._slow_start = True
        self._refused = 0.0
        self._cut = float("-inf")

    def used(self, in_flight: int) -> bool:
        """Whether so many requests in flight say something about the limit."""
        return in_flight >= USED * int(self.value)

    def good(self, sent: float, in_flight: int) -> None:
        """A reply came while `in_flight` requests, itself included, were on their way."""
        self._refused -= self._refused / max(MEMORY, self.value)
        if sent > self._cut and self.used(in_flight):
            self.value = min(float(self.most), self.value + (1.0 if self._slow_start else 1.0 / self.value))

    def bad(self, sent: float, now: float) -> None:
        """The server was overloaded by a request of the time `sent`."""
        self._refused += (1 - self._refused) / max(MEMORY, self.value)
        if sent > self._cut and self._refused > TOLERATED:
            self.value = max(1.0, self.value * CUT)
            self._slow_start = False
            self._cut = now
