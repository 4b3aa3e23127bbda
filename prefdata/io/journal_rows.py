"""What a journal holds: replies, what they cost, and the statements that store them."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

KEY_BYTES = 32
CHARGES = ""
"""The code under which totals have what may have been billed without a reply."""
LONGEST = 1 << 29
"""Most bytes of a reply; SQLite takes a billion in a row."""


class Usage(NamedTuple):
    """What requests cost: calls sent, tokens as the server counted them, US dollars (0 where no price is known)."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0

    def plus(self, other: Usage) -> Usage:
        calls, tokens_in, tokens_out, usd = other
        return Usage(self.calls + calls, self.tokens_in + tokens_in, self.tokens_out + tokens_out, self.usd + usd)


class Stored(NamedTuple):
    """A reply: `ok` or why the server refused, and the body of its response as it came."""

    code: str
    raw: bytes


Row = tuple[bytes, str, int, int, int, float, int, bytes]
COLUMNS = "key, code, calls, tokens_in, tokens_out, usd, damage, raw"
_NUMBERS = struct.Struct("<qqqd")
_SUMS = ", ".join(f"{n} = {n} + excluded.{n}" for n in ("replies", "calls", "tokens_in", "tokens_out", "usd"))

MOST_ROWS = 64
"""Most rows in one statement: 9 parameters each, and older versions take 999."""
_UP_TO = "(SELECT up_to FROM counted)"
_FRESH = (
    "SELECT code, count(*) AS replies, sum(calls) AS calls, sum(tokens_in) AS tokens_in, sum(tokens_out) AS tokens_out, total(usd) AS usd "
    f"FROM replies WHERE id > {_UP_TO} GROUP BY code"
)
COUNT = (
    f"INSERT INTO totals {_FRESH} ON CONFLICT (code) DO UPDATE SET {_SUMS}",
    "UPDATE counted SET up_to = (SELECT coalesce(max(id), 0) FROM replies)",
)
"""Add the replies that are not yet in `totals`. Done now and then: one statement per transaction is all that a reply should wait for."""
TOTALS = (
    "SELECT code, sum(replies), sum(calls), sum(tokens_in), sum(tokens_out), total(usd) "
    f"FROM (SELECT * FROM totals UNION ALL {_FRESH}) GROUP BY code ORDER BY 2 DESC, 1"
)
CHARGE = f"INSERT INTO totals VALUES ('{CHARGES}', 0, ?, ?, ?, ?) ON CONFLICT (code) DO UPDATE SET {_SUMS}"
FAILED = "INSERT INTO failures VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET code = excluded.code"
KEEP_RUN = "INSERT OR REPLACE INTO runs VALUES (1, ?, ?)"

WRONG_TOTALS = f"""
WITH counted_replies AS (SELECT code, calls, tokens_in, tokens_out, usd FROM replies WHERE id <= {_UP_TO})
SELECT (SELECT count(*) FROM counted) <> 1
    OR EXISTS (SELECT code, count(*), sum(calls), sum(tokens_in), sum(tokens_out) FROM counted_replies GROUP BY code
               EXCEPT SELECT code, replies, calls, tokens_in, tokens_out FROM totals)
    OR (SELECT count(*) FROM counted_replies) <> (SELECT total(replies) FROM totals)
    OR (SELECT abs(total(usd) - (SELECT total(usd) FROM counted_replies)) > 1e-9 * total(usd) FROM totals WHERE code <> '{CHARGES}')
"""
"""Whether totals are not what the replies add up to (money: within rounding)."""


@cache
def insert(rows: int) -> str:
    """The statement for some rows at once: SQLite gives the interpreter lock away, and waits for it again, once per statement."""
    return f"INSERT OR IGNORE INTO replies VALUES {', '.join(['(?, ?, ?, ?, ?, ?, ?, ?, ?)'] * rows)}"


def check_usage(usage: Usage) -> Usage:
    """The usage. Raises ValueError when it cannot be added up."""
    if min(usage) < 0 or max(usage[:3]) >= 1 << 40 or not math.isfinite(usage.usd):
        raise ValueError(f"{usage} is no usage")
    return usage


def check_key(key: bytes, code: str) -> None:
    """Raises ValueError unless both can be stored."""
    if len(key) != KEY_BYTES or not code:
        raise ValueError(f"a reply has a key of {KEY_BYTES} bytes and a code")


def row_of(key: bytes, stored: Stored, usage: Usage) -> Row:
    """What is written for a reply. Raises ValueError, TypeError or struct.error when it is none."""
    check_key(key, stored.code)
    check_usage(usage)
    if len(stored.raw) > LONGEST:
        raise ValueError(f"a reply has at most {LONGEST:,} bytes")
    return (key, stored.code, *usage, crc(key, stored, usage), stored.raw)


def crc(key: bytes, stored: Stored, usage: Usage) -> int:
    """CRC-32 of a row: SQLite does not notice changed bytes in values."""
    return zlib.crc32(stored.raw, zlib.crc32(_NUMBERS.pack(*usage) + key + stored.code.encode()))


def read_row(row: tuple[Any, ...]) -> tuple[bytes, Stored, Usage] | None:
    """A row of COLUMNS, None when it is not what was written."""
    key, stored, usage = row[0], Stored(row[1], row[7]), Usage(*row[2:6])
    try:
        return (key, stored, usage) if row[6] == crc(key, stored, usage) else None
    except (AttributeError, TypeError, struct.error):  # the type of a value changed
        return None


def sum_of(usages: Iterable[Usage]) -> Usage:
    total = Usage()
    for usage in usages:
        total = total.plus(usage)
    return total
