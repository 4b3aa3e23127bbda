"""What servers say about their limits: `Retry-After`, `retry-after-ms` and `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

REQUESTS, TOKENS = "x-ratelimit-limit-requests", "x-ratelimit-limit-tokens"
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_GO = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|μs|ms|s|m|h)")
MINUTE = 60.0
LONGEST = 366 * 86400.0


class Declared(NamedTuple):
    """`limit` requests (or tokens) a minute, `left` of them now, all of them again after `reset` seconds."""

    limit: float
    left: float
    reset: float | None

    def wait(self) -> float | None:
        """Seconds until there is one again, when none is left: a token bucket is refilled evenly, a window at once at its end."""
        missing = self.limit - self.left
        if not self.reset or missing <= 0:
            return None
        bucket = missing * MINUTE / self.limit
        return self.reset / missing if 0.8 * bucket < self.reset < 1.25 * bucket else self.reset


def retry_after(headers: Mapping[str, str], unix: float) -> float | None:
    """Seconds to wait, None when the server does not say. `unix` is the time of this machine."""
    number = _number(headers.get("retry-after-ms", ""))
    if number is not None:
        return min(LONGEST, max(0.0, number / 1000))
    text = headers.get("retry-after")
    return None if text is None else seconds(text, _time(headers.get("date", "")) or unix)


def declared(headers: Mapping[str, str], what: str, unix: float) -> Declared | None:
    """The limit on `requests` or `tokens`, None when the server does not say."""
    if f"x-ratelimit-limit-{what}" not in headers:
        return None
    limit, left = (_number(headers.get(f"x-ratelimit-{word}-{what}", "")) for word in ("limit", "remaining"))
    if limit is None or limit <= 0 or left is None:
        return None
    return Declared(limit, left, seconds(headers.get(f"x-ratelimit-reset-{what}", ""), unix))


def seconds(text: str, unix: float) -> float | None:
    """A wait in seconds: `2`, `1.5`, Go's `6m0s` and `20ms`, a Unix time (also in milliseconds), or a date of HTTP or ISO 8601."""
    text = text.strip()
    number = _number(text)
    if number is None:
        parts = _GO.findall(text)
        if parts and "".join(n + unit for n, unit in parts) == text:
            number = sum(float(n) * UNITS[unit] for n, unit in parts)
        else:
            then = _time(text)
            number = None if then is None else then - unix
    elif number > 1e11:
        number = number / 1000 - unix
    elif number > 1e9:
        number -= unix
    return None if number is None else min(LONGEST, max(0.0, number))


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _time(text: str) -> float | None:
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            return read(text).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None
