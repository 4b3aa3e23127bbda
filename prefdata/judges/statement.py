"""What one call of a judge says, before it is written as annotations."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Outcome = Literal["first", "second", "tie", "abstain", "invalid"]


class Verdict(NamedTuple):
    """A reply as it was understood (`parse.py`). A reply that says nothing clear is `invalid` with the reason, never a guess.

    compare: `outcome`, `p_first` (from log-probs, before any clamp). rank: `order`, the shown places by level, best first.
    score: `score` (expected score where log-probs give one, else the number said). aspects, checklist: `scores` by name.
    """

    outcome: Outcome | None = None
    why: str | None = None
    """Of `invalid` and `abstain`: a key of `reasons.INVALID`."""
    p_first: float | None = None
    p_valid: float | None = None
    """Probability of all valid labels together; below 0.9 the prompt does not elicit the format."""
    floored: bool = False
    """Whether a label was not among the log-probs and got the smallest one returned."""
    score: float | None = None
    scores: dict[str, float | None] | None = None
    """None where the judge says that an aspect does not apply."""
    order: tuple[tuple[int, ...], ...] | None = None
    """Numbers 0, 1 ... of the answers as shown, by level."""
    rationale: str | None = None
    log_odds: float | None = None
    """log P(A) − log P(B), which `p_first` cannot hold exactly near 0 and 1."""
    p_tie: float = 0.0
    """P(tie) among the labels; half of it is in `p_first`."""
    spread: tuple[float, ...] | None = None
    """Probabilities of the scores of the scale, lowest first; `score` is their mean."""

    @property
    def usable(self) -> bool:
        return self.outcome != "invalid"


class Statement(NamedTuple):
    """A verdict on candidates of one record, in the order shown. `shown` are their places in the record (in a pair 0 = chosen)."""

    annotator: str
    shown: tuple[int, ...]
    verdict: Verdict
    request: str | None = None
    aspect: str | None = None
    sample: int = 0
    kind: Literal["judge", "reward_model"] = "judge"


Row = dict[str, Any]
"""One record as a dict of plain Python values."""
