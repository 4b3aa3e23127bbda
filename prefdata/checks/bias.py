"""The biases of PD4: what tells chosen from rejected besides their quality is learnt first.

A statement needs `min_rows` rows and is made only when the whole 95 % interval lies beyond the limit. Pairs of one prompt depend on each
other, so their intervals are made of an effective number of pairs (`statistics.effective`)."""

from __future__ import annotations

import numpy as np

from prefdata.checks.facts import Facts
from prefdata.checks.features import FORMATS
from prefdata.checks.rule import Rule
from prefdata.checks.view import Ints
from prefdata.statistics import Share, percent


def by_prompt(f: Facts) -> Ints:
    """The number of each row's prompt."""
    found: Ints = np.unique(f.array("prompt"), return_inverse=True)[1]
    return found


def length_bias(f: Facts, share: float = 0.6, min_rows: int = 100) -> list[str]:
    more = f.array("chosen_bytes").astype(np.int64) - f.array("rejected_bytes")
    longer = Share.among(more > 0, more != 0, by_prompt(f))
    if longer.n < min_rows or not longer.beyond(1 - share, share):
        return []
    word, of = ("longer", longer) if longer.p > 0.5 else ("shorter", longer.turned)
    return [
        f"the chosen answer is the {word} one in {percent(of.p)} of {of.n:,} pairs ({of.words('sign test')}; "
        f"median difference {np.median(more[more != 0]):+,.0f} bytes): always choosing the {word} answer would be right that often"
    ]


def position_bias(f: Facts, margin: float = 0.05, min_rows: int = 100) -> list[str]:
    first, shown = f["first_wins"], f.array("votes").astype(np.int64)
    labels = Share.of(first.fill_null(False).to_numpy(), first.is_not_null().to_numpy().astype(np.int64))
    votes = Share.of(f.array("first_votes").astype(np.int64), shown)
    for of, rows, what in ((labels, labels.n, "rows"), (votes, np.count_nonzero(shown), "verdicts of annotators")):
        if rows >= min_rows and of.beyond(0.5 - margin, 0.5 + margin):
            word, of = ("first", of) if of.p > 0.5 else ("second", of.turned)
            return [f"the answer in {word} place is preferred in {percent(of.p)} of {of.n:,} {what} ({of.words('sign test')})"]
    return []


def format_bias(f: Facts, share: float = 0.65, min_rows: int = 100) -> list[str]:
    chosen, rejected, prompt = f.array("chosen_format"), f.array("rejected_format"), by_prompt(f)
    out = []
    for bit, name in enumerate(FORMATS):
        one, other = (chosen >> bit) & 1 == 1, (rejected >> bit) & 1 == 1
        has = Share.among(one, one != other, prompt)
        if has.n < min_rows or not has.beyond(1 - share, share):
            continue
        word, has = ("chosen", has) if has.p > 0.5 else ("rejected", has.turned)
        out.append(
            f"where one of the two answers has {name}, it is {word} in {percent(has.p)} of {has.n:,} pairs ({has.words('McNemar test')})"
        )
    return out


RULES = (
    Rule(
        code="PD401",
        name="length-bias",
        severity="warning",
        message="length alone tells chosen from rejected",
        reason="A reward model learns length before anything that is harder to see, and a policy trained on it grows verbose (or terse).",
        bad="chosen is longer in 7,100 of 10,000 pairs",
        good="chosen is longer in 5,200 of 10,000 pairs",
        fix="match pairs by length, take a part in which both directions are equally frequent, or use a loss that corrects for length",
        kinds=("pair",),
        whole=length_bias,
        facts=("prompt", "chosen_bytes", "rejected_bytes"),
    ),
    Rule(
        code="PD402",
        name="position-bias",
        severity="warning",
        message="the place in which an answer is shown tells whether it is preferred",
        reason="A judge favours a place, a model always has the same one, or a reader took a column for the verdict: none is a preference.",
        bad='"better_response_id": 0 in all rows',
        good='"better_response_id": 0 in 422 rows, 1 in 472 rows',
        fix="judge in both orders, shuffle the places, and look whether the verdict was read from the right column",
        kinds=("pair", "listwise"),
        whole=position_bias,
        facts=("first_wins", "votes", "first_votes"),
    ),
    Rule(
        code="PD403",
        name="format-bias",
        severity="warning",
        message="a mark of format alone tells chosen from rejected",
        reason="What a search for two asterisks can tell will be learnt in place of quality, and a policy will put it into every answer.",
        bad="bold text in chosen and none in rejected: 900 pairs; the reverse: 100 pairs",
        good="bold text in chosen and none in rejected: 520 pairs; the reverse: 480 pairs",
        fix="take a part of the pairs in which both directions are equally frequent, or let one model reformat both answers",
        kinds=("pair",),
        whole=format_bias,
        facts=("prompt", "chosen_format", "rejected_format"),
    ),
)
