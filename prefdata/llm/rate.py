"""An even rate."""

from __future__ import annotations

BURST = 0.25
"""Seconds that a sender may be late and catch up. Evenly spread requests fit into token buckets and fixed windows alike."""


class Rate:
    """Units a second, evenly spread: the generic cell rate algorithm. Times in seconds of one clock."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._due: float | None = None

    def delay(self, now: float) -> float:
        """Seconds until the next unit may go."""
        return 0.0 if self._due is None else max(0.0, self._due - now)

    def take(self, now: float, units: float = 1.0) -> None:
        due = now if self._due is None else max(self._due, now - BURST)
        self._due = due + units / self.per_second

    def give(self, units: float) -> None:
        """Units that were taken and not used; negative: more were used."""
        if self._due is not None:
            self._due -= units / self.per_second
