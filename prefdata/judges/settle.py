"""Statements about two candidates become one verdict: decided, a tie, or undecided with the reason.

A candidate is better only when it is in both orders; a judge that changes its mind with the places has said that it cannot tell. What is
better, and with which probability, changes sides when the candidates do, and nothing else decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import exp, fsum, log
from typing import Literal, NamedTuple

from prefdata.judges.judge import Judge
from prefdata.judges.options import JudgeOptions
from prefdata.judges.statement import Statement, Verdict

EQUAL = 1e-9
"""Log-odds and probabilities that differ by no more are equal: sums of logarithms round."""
SAME_SCORE = 1e-6
"""Scores that differ by no more are a tie: expected scores of the same text differ by the rounding of log-probs."""
FAR = 700.0
"""Log-odds beyond which exp overflows."""


class Settled(NamedTuple):
    """The verdict on candidates i and j: which is better, the probability that it is i, and why it is no more than that."""

    outcome: Literal["first", "second", "tie", "undecided"]
    p: float | None
    why: str | None


class Vote(NamedTuple):
    """One usable statement, seen from i: 1 when i is better, 0 when j is, 1/2 for a tie."""

    turned: bool
    """Whether j was shown before i."""
    share: float
    log_odds: float | None
    p_tie: float


def settle(statements: Iterable[Statement], i: int, j: int, options: JudgeOptions, judge: Judge | None = None) -> Settled:
    """What one judge's statements say about two candidates of a record. `judge` is asked for its clamp."""
    votes: list[Vote] = []
    scored: dict[int, list[Verdict]] = {i: [], j: []}
    failed: list[str] = []
    for s in statements:
        about = s.shown[0] in scored if len(s.shown) == 1 else i in s.shown and j in s.shown
        if not about:
            continue
        if s.verdict.outcome in ("invalid", "abstain"):
            failed.append(s.verdict.why or s.verdict.outcome)
        elif len(s.shown) == 1:
            scored[s.shown[0]].append(s.verdict)
        else:
            votes.append(_vote(s, i, j))
    if scored[i] or scored[j]:
        found = _by_scores(scored[i], scored[j])
    elif votes:
        found = _by_votes(votes, options)
    else:
        why = Counter(failed).most_common(1)[0][0] if failed else "not-compared"
        return Settled("undecided", None, why)
    return found._replace(p=_clamped(found.p, options, judge))


def _vote(s: Statement, i: int, j: int) -> Vote:
    v = s.verdict
    if v.order is not None:
        level = {s.shown[k]: n for n, places in enumerate(v.order) for k in places}
        share = 0.5 if level[i] == level[j] else float(level[i] < level[j])
        return Vote(s.shown.index(j) < s.shown.index(i), share, None, 0.0)
    turned = s.shown[0] == j
    share = {"first": 1.0, "second": 0.0}.get(v.outcome or "", 0.5)
    odds = v.log_odds
    if odds is None and v.p_first is not None and 0 < v.p_first < 1:
        odds = log(v.p_first) - log(1 - v.p_first)
    return Vote(turned, 1 - share if turned else share, -odds if turned and odds is not None else odds, v.p_tie)


def _by_votes(votes: Sequence[Vote], options: JudgeOptions) -> Settled:
    orders = [[v for v in votes if v.turned == turned] for turned in (False, True)]
    shown = [o for o in orders if o]
    if options.order == "both" and len(shown) < 2:
        return Settled("undecided", None, "half-judged")
    sure = all(v.log_odds is not None for v in votes)
    odds = [_odds(o, sure) for o in shown]
    log_odds, p_tie = (fsum(x) / len(odds) for x in zip(*odds, strict=True))
    # the mean of several, but of one vote its own words: annotations that are read back have no P(tie)
    said = {_winner(*x) if sure and len(o) > 1 else _majority(o) for o, x in zip(shown, odds, strict=True)}
    if len(said) > 1:
        best = _winner(log_odds, p_tie) if options.flip == "average" else "tie"
        return Settled("tie", 0.5, "flip") if best == "tie" else Settled(best, _p(log_odds, p_tie), None)
    best = said.pop()
    if best == "tie":
        return Settled("tie", 0.5, "tie")
    p = _p(log_odds, p_tie) if sure else _smoothed(votes)
    return Settled(best, max(p, 0.5) if best == "first" else min(p, 0.5), None)


Winner = Literal["first", "second", "tie"]


def _odds(votes: Sequence[Vote], sure: bool) -> tuple[float, float]:
    """Log-odds and P(tie) of one order: means over its votes, or the logit of their smoothed share."""
    if sure:
        return fsum(v.log_odds or 0.0 for v in votes) / len(votes), fsum(v.p_tie for v in votes) / len(votes)
    p = _smoothed(votes)
    return log(p) - log(1 - p), 0.0


def _smoothed(votes: Sequence[Vote]) -> float:
    """(a + 1/2)/(k + 1) of k votes, a of them for i, ties half: the mean of the posterior under Jeffreys' prior, never 0 or 1."""
    return (fsum(v.share for v in votes) + 0.5) / (len(votes) + 1)


def _p(log_odds: float, p_tie: float) -> float:
    """The probability that i is better, half of that of a tie with it."""
    return p_tie / 2 + (1 - p_tie) / (1 + exp(-max(-FAR, min(FAR, log_odds))))


def _winner(log_odds: float, p_tie: float) -> Winner:
    """The most probable of the three; equal log-odds are a tie."""
    p = 1 / (1 + exp(-max(-FAR, min(FAR, log_odds))))
    if abs(log_odds) <= EQUAL or p_tie >= (1 - p_tie) * max(p, 1 - p):
        return "tie"
    return "first" if log_odds > 0 else "second"


def _majority(votes: Sequence[Vote]) -> Winner:
    """The verdict with the most votes; where the most is shared, a tie."""
    count = Counter(v.share for v in votes)
    if count[1.0] > max(count[0.0], count[0.5]):
        return "first"
    return "second" if count[0.0] > max(count[1.0], count[0.5]) else "tie"


def _by_scores(a: Sequence[Verdict], b: Sequence[Verdict]) -> Settled:
    if not a or not b:
        return Settled("undecided", None, "half-judged")
    means = _means(a, b)
    if means is None:
        return Settled("undecided", None, "nothing-in-common")
    difference = means[0] - means[1]
    if abs(difference) <= SAME_SCORE:
        return Settled("tie", 0.5, "tie")
    spreads = [_spread(a), _spread(b)]
    p = None if None in spreads else _better(spreads[0] or [], spreads[1] or [])
    if difference > 0:
        return Settled("first", p if p is None else max(p, 0.5), None)
    return Settled("second", p if p is None else min(p, 0.5), None)


def _means(a: Sequence[Verdict], b: Sequence[Verdict]) -> tuple[float, float] | None:
    """Mean scores; of aspects the mean over those that apply to both candidates."""
    if a[0].scores is None or a[0].score is not None:
        return _mean(v.score for v in a), _mean(v.score for v in b)
    sides = [{name: [s for v in side if (s := (v.scores or {}).get(name)) is not None] for name in a[0].scores} for side in (a, b)]
    common = [name for name in a[0].scores if sides[0][name] and sides[1][name]]
    if not common:
        return None
    first, second = (_mean(_mean(side[name]) for name in common) for side in sides)
    return first, second


def _mean(values: Iterable[float | None]) -> float:
    known = [v for v in values if v is not None]
    return fsum(known) / len(known)


def _spread(side: Sequence[Verdict]) -> list[float] | None:
    """The mean spread over samples; None when one has none."""
    spreads = [v.spread for v in side if v.spread is not None]
    return [fsum(x) / len(spreads) for x in zip(*spreads, strict=True)] if len(spreads) == len(side) else None


def _better(a: Sequence[float], b: Sequence[float]) -> float:
    """P(score of i > score of j) + P(equal)/2, as if the two scores were drawn independently."""
    p, below = 0.0, 0.0
    for x, y in zip(a, b, strict=True):
        p += x * (below + y / 2)
        below += y
    return min(1.0, p)


def _clamped(p: float | None, options: JudgeOptions, judge: Judge | None) -> float | None:
    """Within the bounds of a judge that reasons first: it commits itself, and its log-probs are near 0 and 1 (Bai et al. 2022)."""
    if p is None or judge is None or not judge.reasoning:
        return p
    bounds = options.clamp or judge.clamp
    return p if bounds is None else min(bounds[1], max(bounds[0], p))
