"""What pairs are permitted: no ties, within the window of margins, of about one length, sure enough; and how many of a prompt."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from prefdata.sampling.select_draws import Floats, Ints, Keys, Mask, drawn, ends, mixed, numbered
from prefdata.sampling.select_length import similar
from prefdata.sampling.select_options import SelectOptions
from prefdata.sampling.select_rules import Pairs

REASONS = {
    "one-candidate": "fewer than two candidates",
    "unscored": "fewer than two candidates have a score",
    "truncated": "fewer than two candidates with a score were not cut off",
    "filtered": "fewer than two candidates passed the provider's content filter",
    "reference": "fewer than two candidates besides the reference answers",
    "duplicates": "the candidates are one and the same text",
    "tie": "the scores are equal",
    "small-margin": "no margin reaches --min-margin",
    "large-margin": "the margin is beyond --max-margin",
    "lengths-differ": "no two answers of about one length",
    "against-score": "length control would turn the pair round",
    "low-confidence": "p_chosen is below --min-confidence",
    "same-text": "with their thoughts the answers are the same text",
}
"""Why a prompt gives nothing."""
CODES = {name: number for number, name in enumerate(REASONS, 1)}
NAMES = ("", *REASONS)


class Limits(NamedTuple):
    """The limits over ranked candidates: `value` decides, `score` is as given."""

    value: Floats
    score: Floats
    length: Floats
    options: SelectOptions

    def fair(self, a: Ints, b: Ints) -> Mask:
        """Which pairs are no ties and are not turned round by length control."""
        good: Mask = self.value[a] - self.value[b] > self.options.tie_tolerance
        return good if self._as_given else good & (self.score[a] > self.score[b])

    @property
    def _as_given(self) -> bool:
        return self.value is self.score or self.options.against_score

    def kept(self, a: Ints, b: Ints, owner: Ints, why: Ints) -> tuple[Ints, Ints, Ints]:
        """The permitted pairs, and why prompts that had pairs have none: the limit that took the last one."""
        why = why.copy()
        for name in ("tie", "against-score", "small-margin", "large-margin", "lengths-differ", "low-confidence"):
            good = self._permits(name, a, b)
            if good is None or good.all():
                continue
            before, after = (np.bincount(owner[x], minlength=len(why)) > 0 for x in (a, a[good]))
            why[before & ~after] = CODES[name]
            a, b = a[good], b[good]
        return a, b, why

    def _permits(self, name: str, a: Ints, b: Ints) -> Mask | None:
        """Which pairs one limit permits; None for all."""
        o = self.options
        margin = self.value[a] - self.value[b]
        if name == "tie":
            return margin > o.tie_tolerance
        if name == "against-score":
            return None if self._as_given else self.score[a] > self.score[b]
        if name == "small-margin":
            return margin >= o.min_margin
        if name == "large-margin":
            return None if o.max_margin is None else margin <= o.max_margin
        if name == "lengths-differ":
            return similar(self.length[a], self.length[b], o.length_tolerance) if o.length_control == "match" else None
        return None if o.min_confidence is None else confidence(margin, o.temperature) >= o.min_confidence


def confidence(margin: Floats, temperature: float | None) -> Floats:
    """p_chosen = sigmoid(margin / temperature)."""
    out: Floats = 1 / (1 + np.exp(-margin / (temperature or 1)))
    return out


def one_each(a: Ints, b: Ints, owner: Ints, margin: Floats, keys: Keys, o: SelectOptions) -> Pairs:
    """One pair of each prompt: the one that is drawn (best-random), or that of the largest margin; of equal margins the one whose two
    are furthest apart in rank. `owner` ascends."""
    if not len(a):
        return a, b
    begins = np.flatnonzero(np.diff(owner, prepend=-1))
    n = np.diff(np.append(begins, len(a)))
    if o.method == "best-random":
        draw = drawn(mixed(keys[a], keys[b]), o.seed, "best-random")
        at = np.flatnonzero(draw == np.repeat(np.minimum.reduceat(draw, begins), n))
    else:
        at = np.flatnonzero(margin == np.repeat(np.maximum.reduceat(margin, begins), n))
    at = at[np.lexsort((-b[at], a[at], owner[at]))]
    at = at[np.diff(owner[at], prepend=-1) > 0]
    return a[at], b[at]


def capped(a: Ints, b: Ints, owner: Ints, keys: Keys, o: SelectOptions) -> Pairs:
    """At most `max_pairs` of a prompt and `max_uses` of a candidate, in the order of a draw."""
    most_pairs, most_uses = o.max_pairs or len(a), o.max_uses or len(a)
    order = np.lexsort((b, a, drawn(mixed(keys[a], keys[b]), o.seed, "cap"), owner))
    a, b, owner = a[order], b[order], owner[order]
    place = numbered(ends(np.bincount(owner))) if len(owner) else owner
    if o.max_uses is None:
        return a[place < most_pairs], b[place < most_pairs]
    uses, pairs = np.zeros(len(keys), np.int64), np.zeros(int(owner.max(initial=-1)) + 1, np.int64)
    taken = np.zeros(len(a), dtype=bool)
    by_place = np.argsort(place, kind="stable")
    for at in np.split(by_place, np.cumsum(np.bincount(place))[:-1]) if len(a) else []:  # at most one pair of each prompt
        free = (uses[a[at]] < most_uses) & (uses[b[at]] < most_uses) & (pairs[owner[at]] < most_pairs)
        at = at[free]
        taken[at] = True
        uses[a[at]] += 1
        uses[b[at]] += 1
        pairs[owner[at]] += 1
    return a[taken], b[taken]
