"""Where a byte stands in a text, found 64 bytes at a time: polars compares a text with a byte into one bit per byte, and what follows works
on words of 64 of these bits. (numpy alone writes a whole byte per byte, several times over, and keeps other threads waiting.)"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

Words = Any
"""One-dimensional numpy array of uint64; bit i of word w stands for byte 64 w + i. Bits behind the text are 0."""
Ints = Any
"""One-dimensional numpy array of int64."""


def bits_of(text: Any, byte: int) -> Words:
    """Which bytes of `text` (an array of uint8) are `byte`."""
    return words(pl.Series(text) == byte)


def words(flags: pl.Series) -> Words:
    """The bits of a series of booleans."""
    bits, n = flags.to_arrow(), len(flags)
    found = np.frombuffer(bits.buffers()[1] or b"", np.uint8, -(-n // 8), bits.offset // 8)
    if n % 64 == 0:
        return found.view("<u8")
    out = np.zeros(-(-n // 64) * 8, np.uint8)
    out[: len(found)] = found
    if n % 8:
        out[len(found) - 1] &= (1 << n % 8) - 1
    return out.view("<u8")


def filled(bits: Words) -> Ints:
    """The numbers of the words with a bit."""
    return np.flatnonzero(bits != 0)


def next_of(bits: Words, at: Ints) -> Words:
    """The words `at`, with the bits of the bytes one further on."""
    behind = np.where(at + 1 < len(bits), bits[np.minimum(at + 1, len(bits) - 1)], np.uint64(0)) if len(bits) else bits
    return bits[at] >> np.uint64(1) | behind << np.uint64(63)


def ahead(bits: Words, by: int) -> Words:
    """The bits of the bytes that stand `by` (1 to 63) further on."""
    return bits >> np.uint64(by) | np.append(bits[1:], np.uint64(0)) << np.uint64(64 - by)


def places(bits: Words, at: Ints | None = None) -> Ints:
    """The positions (ascending) of the bits that are set, in all words or in those with the numbers `at`."""
    if at is None:
        at = filled(bits)
        bits = bits[at]
    at, found = at << 6, []
    while len(at):  # the lowest bit of each word; few words have a second one
        rest = bits & (bits - np.uint64(1))
        here = np.flatnonzero(bits)
        found.append(at[here] + np.bitwise_count((bits ^ rest)[here] - np.uint64(1)))
        more = np.flatnonzero(rest)
        bits, at = rest[more], at[more]
    return found[0] if len(found) == 1 else np.sort(np.concatenate([at, *found]))


def before(bits: Words, at: Ints) -> Ints:
    """How many bits are set before each of these places (from 0 to the length of the text)."""
    total = np.append(0, np.cumsum(np.bitwise_count(bits), dtype=np.int64))
    word, bit = at >> 6, (at & 63).astype(np.uint64)
    rest = np.append(bits, np.uint64(0))[word] & ((np.uint64(1) << bit) - np.uint64(1))
    return total[word] + np.bitwise_count(rest)
