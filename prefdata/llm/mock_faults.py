"""What goes wrong on the mock server: too many requests, and faults drawn at random."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

FAULTS = (
    "429",
    "429-bare",
    "500",
    "502-html",
    "503",
    "reset",
    "cut",
    "not-json",
    "empty-body",
    "no-choices",
    "null-content",
    "length",
    "slow",
)
SLOW = 0.5
"""Seconds that a slow answer takes longer."""


class Bucket:
    """A token bucket: `rate` requests a second, at most `size` at once."""

    def __init__(self, rpm: float, size: int | None) -> None:
        self.rate = rpm / 60
        self.size = float(size or max(1, int(self.rate)))
        self.left = self.size
        self._then = time.monotonic()

    def take(self) -> float:
        """0 when there was a token, else seconds until there is one."""
        now = time.monotonic()
        self.left = min(self.size, self.left + (now - self._then) * self.rate)
        self._then = now
        if self.left < 1:
            return (1 - self.left) / self.rate
        self.left -= 1
        return 0.0


def drawn(share: float, seed: int, digest: bytes, n: int) -> str | None:
    """Whether the n-th try of a request goes wrong, and how: a function of the seed, the request and n, so that it does not depend on the
    order of requests."""
    bits = hashlib.sha256(b"%d\n%d\n" % (seed, n) + digest).digest()
    if int.from_bytes(bits[:8], "big") / 2**64 >= share:
        return None
    return FAULTS[int.from_bytes(bits[8:16], "big") % len(FAULTS)]


def _no_choices(made: dict[str, Any]) -> None:
    made["choices"] = None


def _null_content(made: dict[str, Any]) -> None:
    made["choices"][0]["message"]["content"] = None


def _length(made: dict[str, Any]) -> None:
    first = made["choices"][0]
    first["finish_reason"] = "length"
    first["message"]["content"] = first["message"]["content"][: len(first["message"]["content"]) // 2]
    first["logprobs"] = None


CHANGED: dict[str | None, Callable[[dict[str, Any]], None]] = {
    "no-choices": _no_choices,
    "null-content": _null_content,
    "length": _length,
    "slow": lambda made: None,
    "cut": lambda made: None,
}
"""Faults that change an answer; the others stand in its place."""
