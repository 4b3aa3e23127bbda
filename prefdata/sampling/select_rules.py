"""Rules that choose among scored candidates: pure functions over flat arrays.

Candidates stand prompt by prompt, best first (`ordered`); `offsets` [prompts + 1] say where each prompt begins and ends. A pair is two
positions (a, b) of one prompt with a < b, so a is never the worse one; whether the two are tied is the caller's question.
"""

from __future__ import annotations

import numpy as np

from prefdata.sampling.select_draws import Floats, Ints, Keys, Mask, ends, gumbel, numbered, ordered, per_prompt, uniform

Pairs = tuple[Ints, Ints]


def best_worst(offsets: Ints) -> Pairs:
    """The first and the last of every prompt."""
    several = np.flatnonzero(np.diff(offsets) > 1)
    return offsets[several], offsets[several + 1] - 1


def best_median(offsets: Ints) -> Pairs:
    """The best and the middle one (of an even number the lower one: the fifth of eight)."""
    n = np.diff(offsets)
    several = np.flatnonzero(n > 1)
    return offsets[several], offsets[several] + n[several] // 2


def best_others(offsets: Ints) -> Pairs:
    """The best with every other; one of them is drawn for best-random."""
    b = np.flatnonzero(numbered(offsets) > 0)
    return np.repeat(offsets[:-1], np.maximum(np.diff(offsets) - 1, 0)), b


def adjacent(offsets: Ints) -> Pairs:
    """Neighbours in rank."""
    b = np.flatnonzero(numbered(offsets) > 0)
    return b - 1, b


def every(offsets: Ints) -> Pairs:
    """All n (n - 1) / 2 pairs of each prompt, in the order of prompts."""
    n = np.diff(offsets)
    a, b = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for size in np.unique(n[n > 1]):
        first, second = np.triu_indices(int(size), 1)
        begin = offsets[:-1][n == size][:, None]
        a.append((begin + first).ravel())
        b.append((begin + second).ravel())
    x, y = np.concatenate(a), np.concatenate(b)
    order = np.argsort(x, kind="stable") if len(a) > 2 else slice(None)
    return x[order], y[order]


def first_round(offsets: Ints, keys: Keys, seed: int) -> Pairs:
    """RSO's first-round-rank (arXiv:2309.06657): candidates are shuffled into n // 2 pairs that share none."""
    shuffled = ordered(uniform(keys, seed, "shuffle"), offsets, keys)
    x = np.flatnonzero(numbered(offsets) % 2 == 1) - 1
    return np.minimum(shuffled[x], shuffled[x + 1]), np.maximum(shuffled[x], shuffled[x + 1])


def tournament(offsets: Ints, keys: Keys, seed: int) -> Pairs:
    """Tournament-rank (RSO, SLiC-HF sample-rank): candidates are shuffled and play in pairs, winners play on, n - 1 games in all.

    An odd one goes on without a game. Of two tied ones the better placed plays on; their game is a tie like any other.
    """
    playing = ordered(uniform(keys, seed, "shuffle"), offsets, keys)
    a, b = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    n = np.diff(offsets)
    while n.max(initial=0) > 1:
        place = numbered(ends(n))
        x = np.flatnonzero(place % 2 == 1) - 1
        a.append(np.minimum(playing[x], playing[x + 1]))
        b.append(np.maximum(playing[x], playing[x + 1]))
        winners = playing.copy()
        winners[x] = a[-1]
        playing, n = winners[place % 2 == 0], (n + 1) // 2
    return np.concatenate(a), np.concatenate(b)


def top_k(offsets: Ints, k: int) -> Mask:
    """The k best of each prompt (best-of-n, RAFT)."""
    return numbered(offsets) < k


def threshold(values: Floats, offsets: Ints, least: float) -> Mask:
    """Those above `least` when each prompt's values are stretched to [0, 1] (ReST, arXiv:2308.08998); none where all are equal."""
    n = np.diff(offsets)
    low, high = per_prompt(np.minimum, values, offsets), per_prompt(np.maximum, values, offsets)
    above: Mask = values - np.repeat(low, n) > least * np.repeat(high - low, n)
    return above


def rso(values: Floats, offsets: Ints, keys: Keys, seed: int, beta: float, k: int) -> Mask:
    """Statistical rejection sampling, exactly: k of each prompt without replacement with weights exp(value / beta), the finite form of
    RSO's target (arXiv:2309.06657). The k largest of value / beta + Gumbel noise are such a sample (Gumbel-top-k, arXiv:1903.06059)."""
    n = np.diff(offsets)
    with np.errstate(over="ignore"):
        noisy = (values - np.repeat(per_prompt(np.maximum, values, offsets), n)) / beta
    noisy += gumbel(keys, seed, "rso")
    np.maximum(noisy, -1e300, out=noisy)
    order = ordered(noisy, offsets, np.arange(len(values), dtype=np.uint64))  # where the noise is lost in large numbers the rank decides
    out = np.zeros(len(values), dtype=bool)
    out[order[numbered(offsets) < k]] = True
    return out


def rso_paper(values: Floats, offsets: Ints, keys: Keys, seed: int, beta: float, k: int) -> Mask:
    """Algorithm 1 of the RSO paper: pass after pass over the candidates that are left, each is accepted with probability
    exp((value - the best that is left) / beta), until there are k. The candidates are shuffled first, as the algorithm depends on order."""
    n = np.diff(offsets)
    shuffled = ordered(uniform(keys, seed, "rso-paper"), offsets, keys)
    owner = np.repeat(np.arange(len(n)), n)
    need = np.minimum(n, k)
    out = np.zeros(len(values), dtype=bool)
    turn = 0
    while len(shuffled):  # the best of a pass is always accepted, so there are at most k
        begin = ends(np.bincount(owner, minlength=len(n)))
        v = values[shuffled]
        with np.errstate(over="ignore"):
            chance = np.exp((v - per_prompt(np.maximum, v, begin)[owner]) / beta)
        accepted = uniform(keys[shuffled], seed, f"rso-paper {turn}") < chance
        before = np.concatenate([[0], np.cumsum(accepted)])
        accepted &= before[1:] - before[begin[owner]] <= need[owner]
        out[shuffled[accepted]] = True
        need = need - np.bincount(owner[accepted], minlength=len(n))
        left = ~accepted & (need[owner] > 0)
        shuffled, owner, turn = shuffled[left], owner[left], turn + 1
    return out


def acceptance(values: Floats, offsets: Ints, beta: float) -> tuple[Floats, Floats]:
    """What beta does, per prompt: the mean of w = exp((value - best) / beta), which is the acceptance rate of RSO, and the effective
    sample size (sum w)^2 / sum w^2. A size below k says that beta is too small for the spread of the scores: the same few are drawn."""
    n = np.diff(offsets)
    with np.errstate(over="ignore"):
        w = np.exp((values - np.repeat(per_prompt(np.maximum, values, offsets), n)) / beta)
    total = per_prompt(np.add, w, offsets)
    some = np.maximum(n, 1)
    return total / some, np.square(total) / np.where(n > 0, per_prompt(np.add, w * w, offsets), 1)
