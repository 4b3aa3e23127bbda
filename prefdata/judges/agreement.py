"""How far a judge agrees with gold, with itself when the answers change places, and with the mere length of answers.

Every figure is about comparisons of two answers, i and j. A verdict is +1 where i is better, -1 where j is, 0 for a tie, NaN where there
is none (undecided, or no gold). Which of the two is called i is nobody's statement, so every figure stays the same when the names of any
comparison's answers change (its verdicts change sign). A prompt's comparisons depend on each other: `cluster` numbers the prompts, and
intervals are made of an effective number of comparisons (`statistics.effective`). All functions are pure; p-values and intervals are
two-sided, intervals hold 95 %. A figure of nothing is None.
"""

from __future__ import annotations

from math import comb, sqrt
from typing import Any, Literal, NamedTuple

import numpy as np

from prefdata.statistics import Share, Z, sign_test, wilson

Numbers = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Ties = Literal["class", "dropped", "half"]
NEAR = 30
"""Characters. Answers that differ by no more count as equally long (AlpacaEval's "prefer longer")."""


class Rate(NamedTuple):
    """A share of `n` things with its 95 % interval."""

    value: float | None
    low: float
    high: float
    n: int


def rate(scores: Numbers, cluster: Ints | None = None) -> Rate:
    """The mean of scores between 0 and 1 with its Wilson interval; NaN is left out. Of scores between 0 and 1 the interval is too wide
    rather than too narrow, as no variance exceeds p(1 − p)."""
    there = ~np.isnan(scores)
    n = int(there.sum())
    if not n:
        return Rate(None, 0.0, 1.0, 0)
    at = _numbered(cluster, scores)[there]
    of = Share.of(np.bincount(at, weights=scores[there]), np.bincount(at))
    return Rate(of.p, *wilson(of.p * of.sure, of.sure), n)


def _numbered(cluster: Ints | None, like: Numbers) -> Ints:
    found: Ints = np.arange(len(like)) if cluster is None else np.unique(cluster, return_inverse=True)[1].astype(np.int64)
    return found


def credit(said: Numbers, gold: Numbers) -> Numbers:
    """1 − |gold − said|/2: 1 for the same verdict, 1/2 where one of the two is a tie, 0 for the opposite; NaN where one is missing."""
    return 1 - np.abs(gold - said) / 2


def agreement(said: Numbers, gold: Numbers, cluster: Ints | None = None) -> Rate:
    """The mean credit over all comparisons with gold; a comparison that the judge left undecided has none. Chance gives 1/2, and so does
    a judge that always says tie; a judge whose answers cannot be read gives 0."""
    known = ~np.isnan(gold)
    scores = np.nan_to_num(credit(said, gold), nan=0.0)
    return rate(np.where(known, scores, np.nan), cluster)


def accuracy(said: Numbers, gold: Numbers, ties: Ties = "class", cluster: Ints | None = None) -> Rate:
    """Share of the decided comparisons with gold on which the judge says what gold says.

    Ties are a verdict like the others ("class": a tie on a decided gold is wrong), "dropped" (comparisons where either is a tie are left
    out), or "half" right. MT-Bench (Zheng et al. 2023) reports the first two, AlpacaEval the third.
    """
    scores = credit(said, gold)
    if ties == "class":
        scores = np.where(np.isnan(scores), np.nan, scores == 1)
    elif ties == "dropped":
        scores = np.where((said == 0) | (gold == 0), np.nan, scores)
    return rate(scores, cluster)


class Kappa(NamedTuple):
    """Cohen's kappa of `n` comparisons with its standard error and interval, observed and expected agreement."""

    value: float | None
    se: float | None
    low: float | None
    high: float | None
    n: int
    observed: float | None
    expected: float | None


def kappa(said: Numbers, gold: Numbers, cluster: Ints | None = None, *, symmetric: bool = True) -> Kappa:
    """Cohen's kappa (p_o − p_e)/(1 − p_e) of two raters over the verdicts first, tie and second; p_e = Σ_k p_k q_k.

    `symmetric` takes every comparison from both sides, half each: in a file of pairs gold always says "chosen", so that p_e = p_o and
    kappa would be 0 for every judge. Without ties it is then 2 p_o − 1.

    The standard error is the large-sample one of Fleiss, Cohen and Everitt (1969), which is √(Σψ²)/n of the influence
    ψ = ([a = b](1 − p_e) − (1 − p_o)(q_a + p_b))/(1 − p_e)², less its mean, of each comparison with verdicts a and b; the ψ of a
    cluster are summed before they are squared where that makes it larger.
    """
    there = ~(np.isnan(said) | np.isnan(gold))
    n = int(there.sum())
    if not n:
        return Kappa(None, None, None, None, 0, None, None)
    a, b = said[there].astype(np.int64) + 1, gold[there].astype(np.int64) + 1
    counts = [np.bincount(x, minlength=3) for x in (a, b)]
    p, q = ((c + c[::-1]) / (2 * n) if symmetric else c / n for c in counts)
    observed, expected = float(np.mean(a == b)), float(p @ q)
    if expected > 1 - 1e-12:
        return Kappa(None, None, None, None, n, observed, expected)
    value = (observed - expected) / (1 - expected)
    psi = ((a == b) * (1 - expected) - (1 - observed) * (q[a] + p[b])) / (1 - expected) ** 2
    psi = psi - psi.mean()
    sums = np.bincount(_numbered(cluster, said)[there], weights=psi)
    se = sqrt(max(float(psi @ psi), float(sums @ sums))) / n
    return Kappa(value, se, max(-1.0, value - Z * se), min(1.0, value + Z * se), n, observed, expected)


def binomial_test(k: int, n: int) -> float:
    """Two-sided p-value of k of n against a chance of one half; exact up to n = 2,000, beyond that the normal approximation."""
    if n > 2000:
        return sign_test(k, n)
    tail = sum(comb(n, x) for x in range(max(k, n - k), n + 1))
    return min(1.0, 2 * tail / (1 << n))


class Calls(NamedTuple):
    """Verdicts of single calls: the comparison each is about, whether j was shown first, and +1 where the answer shown first won, -1 where
    the second did, 0 for a tie, NaN where the verdict is invalid."""

    at: Ints
    swapped: Numbers
    won: Numbers


def both_orders(calls: Calls) -> tuple[Ints, Numbers, Numbers]:
    """Calls in both orders: the comparison, what was said of it with i first, and with j first, as +1 for i. The first call in one order
    goes with the first in the other, and so on."""
    turned = calls.swapped == 1
    first, second = (_nth(calls.at[which]) for which in (~turned, turned))
    _, x, y = np.intersect1d(first, second, assume_unique=True, return_indices=True)
    return calls.at[~turned][x], calls.won[~turned][x], -calls.won[turned][y]


def _nth(at: Ints) -> Ints:
    """For every call a number of its comparison and of how many calls about it came before; no two are the same."""
    if not len(at):
        return at
    order = np.argsort(at, kind="stable")
    begins = np.flatnonzero(np.diff(at[order], prepend=-1))
    nth = np.empty_like(at)
    nth[order] = np.arange(len(at)) - np.repeat(begins, np.diff(begins, append=len(at)))
    return at << 20 | nth


def position(calls: Calls, gold: Numbers, cluster: Ints | None = None) -> dict[str, Any]:
    """What the place of an answer does.

    consistent     of the comparisons judged validly in both orders, those with the same verdict (the same winner, or twice a tie)
    same_position  those in which the same place won twice; `favours_first`: in how many of them it was the first, with a binomial test,
                   which is the proper one where both orders were asked
    first_rate     share of the calls with a winner that the answer shown first won, with a binomial test against 1/2
    gold_first     the share that gold's winner was shown first in; unless it is near 1/2, first_rate says little about place
    """
    group = _numbered(cluster, gold)
    at, straight, turned = both_orders(calls)
    valid = ~(np.isnan(straight) | np.isnan(turned))
    at, straight, turned = at[valid], straight[valid], turned[valid]
    place = (straight * turned == -1).astype(np.float64)
    favours = np.where(place == 1, straight > 0, np.nan)
    first = np.where(np.isnan(calls.won) | (calls.won == 0), np.nan, calls.won > 0)
    better = gold[calls.at] * np.where(calls.swapped == 1, -1, 1)
    gold_first = np.where(np.isnan(better) | (better == 0), np.nan, better > 0)
    return {
        "consistent": rate((straight == turned).astype(np.float64), group[at])._asdict(),
        "same_position": rate(place, group[at])._asdict(),
        "favours_first": _tested(favours, group[at]),
        "first_rate": _tested(first, group[calls.at]),
        "gold_first": rate(gold_first, group[calls.at])._asdict(),
    }


def _tested(scores: Numbers, cluster: Ints) -> dict[str, Any]:
    found = rate(scores, cluster)
    p = binomial_test(int(np.nansum(scores)), found.n) if found.n else None
    return {**found._asdict(), "p_value": p}


def length(said: Numbers, gold: Numbers, characters: Numbers, cluster: Ints | None = None) -> dict[str, Any]:
    """What the length of an answer does. `characters` has the lengths of i and j, one row per comparison.

    prefers_longer     share of the verdicts for one answer that are for the longer, where lengths differ by more than 30 characters
    gold_longer        the same of gold: a judge above it has a bias, or an eye for something that long answers have
    longest_wins       accuracy (ties half) of always saying the longer one: what any judge must beat
    gold_is_shorter, gold_is_longer   accuracy (ties half) where gold's winner is the shorter or the longer one
    wrong_is_longer    share of the verdicts against gold that are for the longer answer
    slope              β of logit P(i wins) = β tanh(Δ/s), Δ the difference of lengths and s its root mean square (AlpacaEval's
                       length term, Dubois et al. 2024), with its standard error; None where length alone separates all verdicts
    """
    delta = characters[:, 0] - characters[:, 1]
    longer = np.sign(delta)
    far = np.abs(delta) > NEAR
    decided = ~np.isnan(gold) & (gold != 0)
    half = credit(said, gold)
    out: dict[str, Any] = {
        "prefers_longer": _side(said, longer, far, cluster),
        "gold_longer": _side(gold, longer, far, cluster),
        "longest_wins": rate(np.where(decided, credit(longer, gold), np.nan), cluster),
        "gold_is_shorter": rate(np.where(decided & (gold * longer < 0), half, np.nan), cluster),
        "gold_is_longer": rate(np.where(decided & (gold * longer > 0), half, np.nan), cluster),
        "wrong_is_longer": _side(said, longer, decided & (said == -gold) & (longer != 0), cluster),
    }
    return {k: v._asdict() for k, v in out.items()} | {"slope": slope(said, delta)}


def _side(verdict: Numbers, longer: Numbers, among: np.ndarray[Any, Any], cluster: Ints | None) -> Rate:
    """Share of the verdicts for one answer that are for the longer one."""
    asked = among & ~np.isnan(verdict) & (verdict != 0)
    return rate(np.where(asked, verdict == longer, np.nan), cluster)


def slope(said: Numbers, delta: Numbers) -> dict[str, float] | None:
    """β and its standard error of logit P(i wins) = β tanh(Δ/s), by Newton's method on the log-likelihood, which is concave; None where
    it has no maximum (the longer answer always or never wins) or nothing to be fitted to. A tie is half a win for each."""
    there = ~np.isnan(said)
    d, y = delta[there], (said[there] + 1) / 2
    if not d.any():
        return None
    side = (said[there] * np.sign(d))[d != 0]
    if abs(side.sum()) == len(side):
        return None
    x = np.tanh(d / np.sqrt(np.mean(d**2)))
    beta = 0.0
    for _ in range(100):
        mean = 1 / (1 + np.exp(-np.clip(beta * x, -700, 700)))
        information = float(x**2 @ (mean * (1 - mean)))
        step = float(x @ (y - mean)) / max(information, 1e-12)
        beta += max(-1.0, min(1.0, step))  # the full step can overshoot where the curve is flat
        if abs(step) < 1e-10:
            break
    return {"value": beta, "se": 1 / sqrt(information), "n": int(there.sum())}


def cost(comparisons: int, calls: int, tokens_in: int, tokens_out: int, usd: float | None) -> dict[str, float | None]:
    """Calls, tokens and USD per 1,000 comparisons; None where nothing was compared, or where no price is known."""
    found = {"calls": calls, "tokens_in": tokens_in, "tokens_out": tokens_out, "usd": usd}
    return {k: None if v is None or not comparisons else 1000 * v / comparisons for k, v in found.items()}


def figures(
    said: Numbers,
    gold: Numbers,
    *,
    p: Numbers | None = None,
    characters: Numbers | None = None,
    cluster: Ints | None = None,
    calls: Calls | None = None,
) -> dict[str, Any]:
    """All figures of one judge as a table of plain numbers: `p` is its probability that i is better (NaN where it gives none)."""
    from prefdata.judges.calibration import calibration

    known = ~np.isnan(gold)
    return {
        "comparisons": int(known.sum()),
        "undecided": int((known & np.isnan(said)).sum()),
        "said_tie": int((known & (said == 0)).sum()),
        "gold_tie": int((gold == 0).sum()),
        "agreement": agreement(said, gold, cluster)._asdict(),
        "accuracy": {f"ties_{t}": accuracy(said, gold, t, cluster)._asdict() for t in ("class", "dropped", "half")},
        "kappa": kappa(said, gold, cluster)._asdict(),
        "position": position(calls, gold, cluster) if calls is not None else None,
        "length": length(said, gold, characters, cluster) if characters is not None else None,
        "calibration": calibration(p, gold, cluster) if p is not None else None,
    }
