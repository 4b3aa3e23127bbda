"""From scores to pairs or picks: ranking, a rule, the limits, the caps, and the matched random control.

Everything is arrays over candidates (flat) or prompts, so that a million prompts take seconds; prompts go through in pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from prefdata.sampling import select_rules as rules
from prefdata.sampling.select_control import random_pairs, random_picks
from prefdata.sampling.select_draws import Floats, Ints, Keys, Mask, ends, ordered, per_prompt
from prefdata.sampling.select_length import Line, penalised
from prefdata.sampling.select_limits import CODES, Limits, capped, one_each
from prefdata.sampling.select_options import DRAWN, SelectOptions

CANDIDATES = 1 << 17
"""Candidates that go through together: their arrays stay in the caches."""
PAIRS = 2_000_000
"""Pairs that go through together, where rules look at all of a prompt's."""


class Pool(NamedTuple):
    """Candidates, prompt by prompt in any order: `score`, `key` (of draws) and `length` are [candidates], `offsets` [prompts + 1]."""

    score: Floats
    offsets: Ints
    key: Keys
    length: Floats


class Control(NamedTuple):
    """The matched random control, as `Chosen` has it (`second` and `margin` are empty of picks)."""

    prompt: Ints
    first: Ints
    second: Ints
    margin: Floats


class Chosen(NamedTuple):
    """What was chosen: indices into the pool, ordered by prompt and best first. `second` is the rejected one of pairs (`margin` is
    theirs), or empty; of picks `label` says whether they are desirable. `why` [prompts] is 0 where there is something, else a CODE."""

    prompt: Ints
    first: Ints
    second: Ints
    margin: Floats
    label: Mask
    why: Ints
    control: Control
    acceptance: Floats
    """Per prompt, of rso: the acceptance rate and the effective sample size; else empty."""
    ess: Floats


def choose(pool: Pool, o: SelectOptions, line: Line | None = None) -> Chosen:
    """Select from a pool by the options. `line`: of --length-control residual, over the whole data.

    Prompts with fewer than two candidates, ties and what the limits forbid give nothing, and say why.
    """
    found = [_piece(pool, o, line, rows) for rows in _pieces(pool.offsets, o)]
    if not found:
        none, numbers = np.empty(0, np.int64), np.empty(0)
        return Chosen(none, none, none, numbers, none.astype(bool), none, Control(none, none, none, numbers), numbers, numbers)
    control = Control(*[np.concatenate([f.control[i] for f in found]) for i in range(4)])
    fields = {name: np.concatenate([getattr(f, name) for f in found]) for name in Chosen._fields if name != "control"}
    return Chosen(**fields, control=control)


def _looks_at_all(o: SelectOptions) -> bool:
    """Whether all pairs of a prompt are looked at: also where the best and the worst may be no pair, but two others are."""
    turned = o.length_control in ("z-score", "residual") and not o.against_score
    return o.method == "all" or (o.method == "best-worst" and (o.max_margin is not None or o.length_control == "match" or turned))


def _pieces(offsets: Ints, o: SelectOptions) -> Iterator[slice]:
    """Runs of whole prompts."""
    n = np.diff(offsets)
    cost, most = (n * (n - 1) // 2, PAIRS) if _looks_at_all(o) else (n, CANDIDATES)
    total, begin = np.cumsum(cost), 0
    while begin < len(n):
        done = total[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(total, done + most, side="right")))
        yield slice(begin, end)
        begin = end


def _piece(pool: Pool, o: SelectOptions, line: Line | None, rows: slice) -> Chosen:
    """Some prompts. Their candidates are put in an order of their own first, so that no sum depends on the given one."""
    low = pool.offsets[rows.start]
    offsets = pool.offsets[rows.start : rows.stop + 1] - low
    at = slice(int(low), int(pool.offsets[rows.stop]))
    index = ordered(pool.score[at], offsets, pool.key[at])
    score, key, length = pool.score[at][index], pool.key[at][index], pool.length[at][index] if len(pool.length) else pool.length
    value = score
    if o.length_control in ("z-score", "residual"):
        by_line = o.length_control == "residual"
        value = (line or Line()).residual(score, length) if by_line else penalised(score, length, offsets, o.length_weight)
        again = ordered(value, offsets, key)
        index, value, score, key, length = index[again], value[again], score[again], key[again], length[again]
    found = _chosen(Ranked(value, score, offsets, key, length), o)
    index = index + low
    c = found.control
    return found._replace(
        prompt=found.prompt + rows.start,
        first=index[found.first],
        second=index[found.second],
        control=Control(c.prompt + rows.start, index[c.first], index[c.second], c.margin),
    )


class Ranked(NamedTuple):
    """Candidates best first, by `value`, which decides; `score` is as given."""

    value: Floats
    score: Floats
    offsets: Ints
    key: Keys
    length: Floats


def _chosen(r: Ranked, o: SelectOptions) -> Chosen:
    n = np.diff(r.offsets)
    best = per_prompt(np.maximum, r.value, r.offsets)
    tied = best - per_prompt(np.minimum, r.value, r.offsets) <= o.tie_tolerance
    why = np.where(n < 2, CODES["one-candidate"], np.where(tied, CODES["tie"], 0))
    drawn = np.ones(len(r.value), dtype=bool)
    rates = (np.empty(0), np.empty(0))
    if o.method in DRAWN:
        draw = rules.rso if o.method == "rso" else rules.rso_paper
        drawn = draw(r.value, r.offsets, r.key, o.seed, o.beta, o.size)
        rates = rules.acceptance(r.value, r.offsets, o.beta)
    found = _picks(r, o, why, drawn) if o.kind == "binary" else _pairs(r, o, why, drawn)
    return found._replace(acceptance=rates[0], ess=rates[1])


def _picks(r: Ranked, o: SelectOptions, why: Ints, drawn: Mask) -> Chosen:
    n = np.diff(r.offsets)
    live = np.repeat(why == 0, n)
    good = drawn
    if o.method == "top-k":
        good = rules.top_k(r.offsets, o.size)
    elif o.method == "threshold":
        good = rules.threshold(r.value, r.offsets, o.threshold)
    good = good & live
    written = good
    if o.others == "undesirable":  # what is as good as a pick is not called bad
        last = per_prompt(np.minimum, np.where(good, r.value, np.inf), r.offsets, np.inf)
        written = live & (good | (np.repeat(last, n) - r.value > o.tie_tolerance))
    first = np.flatnonzero(written)
    owner = np.repeat(np.arange(len(n)), n)
    none, wanted = np.empty(0, np.int64), np.bincount(owner[good], minlength=len(n))
    control = random_picks(r.offsets, r.key, o.seed, wanted)
    return Chosen(
        owner[first],
        first,
        none,
        np.empty(0),
        good[first],
        why,
        Control(owner[control], control, none, np.empty(0)),
        np.empty(0),
        np.empty(0),
    )


def _pairs(r: Ranked, o: SelectOptions, why: Ints, drawn: Mask) -> Chosen:
    n = np.diff(r.offsets)
    owner = np.repeat(np.arange(len(n)), n)
    a, b = _proposed(r, o, drawn, owner)
    limits = Limits(r.value, r.score, r.length, o)
    live = why[owner[a]] == 0
    a, b, why = limits.kept(a[live], b[live], owner, why)
    if o.method in ("best-worst", "best-random"):
        a, b = one_each(a, b, owner[a], r.value[a] - r.value[b], r.key, o)
    if o.max_pairs is not None or o.max_uses is not None:
        a, b = capped(a, b, owner[a], r.key, o)
    margin = r.value[a] - r.value[b]
    order = _best_first(a, b, owner[a], margin)
    a, b, margin = a[order], b[order], margin[order]
    wanted = np.bincount(owner[a], minlength=len(n))
    x, y = random_pairs(r.offsets, r.key, o.seed, wanted, limits.fair)
    control = Control(owner[x], x, y, r.value[x] - r.value[y])
    return Chosen(owner[a], a, b, margin, np.ones(len(a), dtype=bool), why, control, np.empty(0), np.empty(0))


def _best_first(a: Ints, b: Ints, owner: Ints, margin: Floats) -> Ints:
    """Pairs by prompt, margin (largest first) and rank."""
    order: Ints = np.arange(len(a)) if (owner[1:] >= owner[:-1]).all() else np.argsort(owner, kind="stable")
    a, b, margin, owner = a[order], b[order], margin[order], owner[order]
    begins = np.append(np.flatnonzero(np.diff(owner, prepend=-1)), len(a))
    if len(begins) > len(a):
        return order
    ranks = a.astype(np.uint64) << np.uint64(32) | b.astype(np.uint64)
    out: Ints = order[ordered(margin, begins, ranks)]
    return out


def _proposed(r: Ranked, o: SelectOptions, drawn: Mask, owner: Ints) -> rules.Pairs:
    """The pairs that a rule looks at."""
    if o.method in DRAWN:
        at = np.flatnonzero(drawn)
        offsets = ends(np.bincount(owner[at], minlength=len(r.offsets) - 1))
        pairing = rules.first_round if o.pairing == "first-round" else rules.tournament
        a, b = pairing(offsets, r.key[at], o.seed)
        return at[a], at[b]
    if o.method in ("first-round", "tournament"):
        return (rules.first_round if o.method == "first-round" else rules.tournament)(r.offsets, r.key, o.seed)
    if _looks_at_all(o):
        return rules.every(r.offsets)
    rule = {
        "best-worst": rules.best_worst,
        "best-random": rules.best_others,
        "best-median": rules.best_median,
        "adjacent": rules.adjacent,
    }[o.method]
    return rule(r.offsets)
