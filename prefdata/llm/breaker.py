"""A circuit breaker: a server that only fails is left alone for a while, then asked once."""

from __future__ import annotations

FAILURES = 10
"""Failures in a row that open it. Random faults of one in three get there once in 60,000 requests."""
FIRST, LONGEST = 0.5, 15.0
"""Seconds that it stays open at first and at most; doubled each time."""


class Breaker:
    """Closed: requests pass. Open: none does. Half-open, after a pause: one does, and its fate decides. Times in seconds of one clock."""

    def __init__(self) -> None:
        self._failures = 0
        self._pause = FIRST
        self._opened = float("-inf")
        self._until: float | None = None
        self._probe = False

    @property
    def closed(self) -> bool:
        return self._until is None

    def delay(self, now: float) -> float:
        """Seconds until a request may pass, infinite while the probe is on its way."""
        if self._until is None:
            return 0.0
        return float("inf") if self._probe else max(0.0, self._until - now)

    def take(self) -> None:
        """A request goes through; when the breaker is half-open, it is the probe."""
        self._probe = self._until is not None

    def good(self) -> None:
        self._failures, self._pause, self._until, self._probe = 0, FIRST, None, False

    def bad(self, sent: float, now: float) -> None:
        """A request that was sent at `sent` failed. Those from before the breaker opened tell nothing new."""
        if sent < self._opened:
            return
        self._failures += 1
        if self._probe or self._failures >= FAILURES:
            self._until, self._opened, self._probe = now + self._pause, now, False
            self._pause = min(LONGEST, 2 * self._pause)

    def unclear(self, sent: float) -> None:
        """The probe came back without saying whether the server is well (it was cancelled, or has to wait)."""
        if sent >= self._opened:
            self._probe = False
