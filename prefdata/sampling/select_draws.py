"""Draws that depend on a seed and on what is drawn, never on order, shard or batch.

Every candidate has a 64-bit key made of its prompt and its id; a draw is the key, mixed with the seed and the purpose of the draw
(SplitMix64: Steele, Lea and Flood, OOPSLA 2014). So two purposes never share their luck, and permuting candidates changes nothing.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np

Keys = np.ndarray[Any, np.dtype[np.uint64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


def mixed(keys: Keys, more: int | Keys = 0) -> Keys:
    """The finaliser of SplitMix64 over `keys + more`: every bit of the sum changes half of the bits."""
    with np.errstate(over="ignore"):
        x = keys + np.asarray(more, dtype=np.uint64)
        x ^= x >> np.uint64(30)
        x *= np.uint64(0xBF58476D1CE4E5B9)
        x ^= x >> np.uint64(27)
        x *= np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return x


def candidate_keys(prompts: Keys, ids: Keys) -> Keys:
    """The keys of candidates, from their prompts' and their own."""
    return mixed(mixed(ids), prompts)


def drawn(keys: Keys, seed: int, purpose: str) -> Keys:
    """Evenly distributed 64-bit numbers."""
    return mixed(keys, int.from_bytes(sha256(f"{seed}\n{purpose}".encode()).digest()[:8], "little"))


def uniform(keys: Keys, seed: int, purpose: str) -> Floats:
    """Numbers between 0 and 1, both left out."""
    x = (drawn(keys, seed, purpose) >> np.uint64(12)).astype(np.float64)
    x += 0.5
    x *= 2.0**-52
    return x


def gumbel(keys: Keys, seed: int, purpose: str) -> Floats:
    """Standard Gumbel numbers, -log(-log U)."""
    x = uniform(keys, seed, purpose)
    np.log(x, out=x)
    np.negative(x, out=x)
    np.log(x, out=x)
    return np.negative(x, out=x)


def ordered(values: Floats, offsets: Ints, keys: Keys) -> Ints:
    """Candidates of each prompt, highest value first, as indices into the flat arrays; equal values in the order of their keys.

    `values`, `keys`: [candidates], finite; `offsets`: [prompts + 1], where each prompt's candidates begin and end.
    """
    n = np.diff(offsets)
    if len(n) and n.min() == n.max():
        shape = (len(n), int(n[0]))
        out: Ints = (_order(values.reshape(shape), keys.reshape(shape), None) + offsets[:-1, None]).ravel()
        return out
    out = np.empty(len(values), dtype=np.int64)
    for rows in _alike(n):  # padded to the longest of those that are about as long
        columns = np.arange(int(n[rows].max()))
        real = columns < n[rows][:, None]
        at = np.where(real, offsets[rows][:, None] + columns, 0)
        order = _order(np.where(real, values[at], -np.inf), np.where(real, keys[at], np.uint64(2**64 - 1)), real)
        out[at[real]] = (order + offsets[rows][:, None])[real]
    return out


def _order(values: Any, keys: Any, real: Any) -> Any:
    """Row by row. Nearly all rows have no ties, and a plain sort is several times faster than one by two keys."""
    order = np.argsort(-values, axis=1)
    found = np.take_along_axis(values, order, axis=1)
    same = found[:, 1:] == found[:, :-1]
    tied = (same if real is None else same & real[:, 1:]).any(axis=1)
    if tied.any():
        order[tied] = np.lexsort((keys[tied], -values[tied]), axis=1)
    return order


def _alike(n: Ints) -> list[Ints]:
    """Prompts by the power of two of their number of candidates; those without any are left out."""
    classes = np.frexp(np.maximum(n - 1, 0) + 0.5)[1]
    return [np.flatnonzero((classes == c) & (n > 0)) for c in np.unique(classes[n > 0])]


def numbered(offsets: Ints) -> Ints:
    """0, 1, 2 ... within each prompt."""
    n = np.diff(offsets)
    out: Ints = np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], n)
    return out


def per_prompt(operation: Any, values: Any, offsets: Ints, empty: float = 0) -> Any:
    """A reduction (np.add, np.maximum ...) of each prompt's values; `empty` where there are none."""
    n = np.diff(offsets)
    out = np.full(len(n), empty, dtype=values.dtype)
    if len(values):
        out[n > 0] = operation.reduceat(values, offsets[:-1][n > 0])
    return out


def ends(counts: Ints) -> Ints:
    """Offsets from numbers of candidates."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
