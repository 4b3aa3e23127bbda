"""When a request is sent again: after a wait with full jitter, and not so often that retries keep a broken server down."""

from __future__ import annotations

import random
from collections.abc import Callable

BASE, CAP = 0.5, 20.0
"""Seconds: the longest first wait, and the longest of all."""
SHARE = 0.2
"""Retries per first try."""
PER_SECOND = 10.0
"""Retries a second that are always possible."""
SAVED = 100.0


class Retries:
    """Tokens for retries: each first try pays in 0.2, each second 10, each retry takes one. Without a token a retry waits the longest time
    instead of a short one."""

    def __init__(self, now: float, jitter: Callable[[], float] = random.random) -> None:
        self._tokens = SAVED
        self._then = now
        self._jitter = jitter

    def first(self) -> None:
        """A request is sent for the first time."""
        self._tokens = min(self._tokens + SHARE, SAVED)

    def wait(self, k: int, now: float) -> float:
        """Seconds before the k-th retry (from 1) of a request: U(0, min(cap, base · 2^(k-1)))."""
        self._tokens = min(self._tokens + PER_SECOND * (now - self._then), SAVED)
        self._then = now
        if self._tokens < 1:
            return CAP * (1 + self._jitter()) / 2
        self._tokens -= 1
        return self._jitter() * min(CAP, BASE * 2.0 ** (k - 1))
