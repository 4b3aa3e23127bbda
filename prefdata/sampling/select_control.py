"""The matched random control: as many pairs or picks of each prompt, drawn at random from the same candidates. What a selection is worth
is what it has beyond this."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from prefdata.sampling.select_draws import Ints, Keys, Mask, drawn, ends, mixed, numbered, ordered, per_prompt, uniform
from prefdata.sampling.select_rules import Pairs, every

Fair = Callable[[Ints, Ints], Mask]
"""Whether pairs may be drawn."""

TRIES = 40
"""Draws of a pair before all pairs of its prompt are listed: only where nearly all are ties, or nearly all are wanted."""
PAIRS = 2_000_000
"""Pairs that are listed at a time."""


def random_picks(offsets: Ints, keys: Keys, seed: int, wanted: Ints) -> Ints:
    """`wanted` [prompts] candidates of each prompt, as positions."""
    order = ordered(uniform(keys, seed, "control"), offsets, keys)
    picks: Ints = order[numbered(offsets) < np.repeat(wanted, np.diff(offsets))]
    return picks


def random_pairs(offsets: Ints, keys: Keys, seed: int, wanted: Ints, fair: Fair) -> tuple[Ints, Ints]:
    """`wanted` [prompts] different pairs of each prompt, drawn evenly from those that are `fair` (no ties), as positions (a, b) with a < b.
    There must be as many."""
    prompt = np.repeat(np.arange(len(wanted)), wanted)
    a, b = np.full(len(prompt), -1, dtype=np.int64), np.full(len(prompt), -1, dtype=np.int64)
    n, of_prompt = np.diff(offsets), per_prompt(np.add, mixed(keys), offsets)  # a sum: whatever the order of the candidates
    slot = mixed(of_prompt[prompt], numbered(ends(wanted)).astype(np.uint64))
    left = np.arange(len(prompt))
    for turn in range(TRIES):
        if not len(left):
            break
        size, begin = n[prompt[left]], offsets[prompt[left]]
        i = _below(drawn(slot[left], seed, f"control {turn}"), size)
        j = _below(drawn(slot[left], seed, f"control other {turn}"), size - 1)
        j += j >= i
        first, second = begin + np.minimum(i, j), begin + np.maximum(i, j)
        good = fair(first, second)
        a[left[good]], b[left[good]] = first[good], second[good]
        left = left[~good] if wanted.max() == 1 else np.setdiff1d(np.arange(len(prompt)), _first_of_each(a, b), assume_unique=True)
    if not len(left):
        return a, b
    whole = ~np.isin(prompt, prompt[left])
    more = _listed(offsets, keys, seed, wanted, fair, np.unique(prompt[left]))
    a, b = np.concatenate([a[whole], more[0]]), np.concatenate([b[whole], more[1]])
    order = np.argsort(a, kind="stable")
    return a[order], b[order]


def _below(x: Keys, n: Ints) -> Ints:
    """Numbers below n from 64 random bits; uneven by less than n / 2^32."""
    out: Ints = ((x >> np.uint64(32)) * n.astype(np.uint64) >> np.uint64(32)).astype(np.int64)
    return out


def _first_of_each(a: Ints, b: Ints) -> Ints:
    """The slots that have a pair, of equal pairs the first one."""
    slots = np.flatnonzero(a >= 0)
    if not len(slots):
        return slots
    code = a[slots] << 32 | b[slots]
    order = np.argsort(code)
    again = code[order][1:] == code[order][:-1]
    if not again.any():
        return slots
    twice = np.zeros(len(slots), dtype=bool)
    twice[order[1:][again]] = twice[order[:-1][again]] = True
    among = np.flatnonzero(twice)
    first = np.unique(code[among], return_index=True)[1]
    twice[among[first]] = False
    found: Ints = slots[~twice]
    return found


def _listed(offsets: Ints, keys: Keys, seed: int, wanted: Ints, fair: Fair, prompts: Ints) -> Pairs:
    """The same for some prompts, from the list of all their pairs."""
    a, b = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    n = np.diff(offsets)[prompts]
    for rows in np.split(prompts, np.flatnonzero(np.diff(np.cumsum(n * (n - 1) // 2) // PAIRS)) + 1):
        at = np.concatenate([np.arange(offsets[p], offsets[p + 1]) for p in rows])
        x, y = every(ends(np.diff(offsets)[rows]))
        x, y = at[x], at[y]
        good = fair(x, y)
        x, y = x[good], y[good]
        owner = np.searchsorted(offsets, x, side="right") - 1
        order = np.lexsort((drawn(mixed(keys[x], keys[y]), seed, "control listed"), owner))
        x, y, owner = x[order], y[order], owner[order]
        chosen = numbered(ends(np.bincount(owner, minlength=len(wanted)))) < wanted[owner]
        a.append(x[chosen])
        b.append(y[chosen])
    return np.concatenate(a), np.concatenate(b)
