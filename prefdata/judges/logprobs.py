"""How sure a judge is, from the log-probs of the token that holds its verdict.

Tokenizers write one label in several ways ("A", " A", "(A", "a"); their probabilities are added. Log-probs end at the k most probable
tokens: a label that is not among them gets the smallest probability that is (an upper bound), and the verdict is marked `floored`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

Token = dict[str, Any]
COMPARED = {"a": "A", "b": "B", "tie": "tie"}
AROUND = " \t\r\n\u00a0\u2581\u0120\u010a()[]{}<>\"'`*_.:,"
"""What may stand around a label in its token; U+2581, U+0120 and U+010A are how raw tokens write spaces and line ends."""
LEAST = -100.0
"""Log-probs below say that the server does not know (OpenAI: -9999)."""
UNCLEAR = 1e-3
"""Most probability of "1" that is ignored where it may also begin "10": the score is wrong by 0.009 at most."""


class Masses(NamedTuple):
    """Probabilities of labels in one place of an answer."""

    of: dict[str, float]
    least: float
    """The smallest probability that the server returned for this place."""


class Odds(NamedTuple):
    """P(A) against P(B). `p_first` holds half of P(tie)."""

    log_odds: float
    p_first: float
    p_tie: float
    p_valid: float
    floored: bool

    @property
    def best(self) -> str:
        """The most probable of A, B and tie; A and B equally probable are a tie."""
        a, b = self.p_first - self.p_tie / 2, 1 - self.p_first - self.p_tie / 2
        if self.log_odds == 0 or self.p_tie >= max(a, b):
            return "tie"
        return "A" if self.log_odds > 0 else "B"


class Expected(NamedTuple):
    """Probabilities of the scores of a scale, lowest first."""

    spread: tuple[float, ...]
    p_valid: float


def masses(token: Token, labels: Mapping[str, str]) -> Masses | None:
    """The probabilities of labels (keys in lower case) in the place of a token; None when the server gave no log-probs there."""
    given = token.get("top_logprobs")
    if not isinstance(given, list) or not given:
        return None
    found: dict[str, float] = {}
    least, drawn, own = math.inf, False, token.get("token")
    for entry in (*given, token):
        if not isinstance(entry, dict) or (entry is token and drawn):  # the token that was drawn need not be among the most probable ones
            continue
        text, logprob = entry.get("token"), entry.get("logprob")
        drawn = drawn or text == own
        if not isinstance(text, str) or isinstance(logprob, bool) or not isinstance(logprob, float | int) or not LEAST <= logprob < 1:
            continue
        if logprob < least:
            least = logprob
        label = labels.get(_plain(text))
        if label is not None:
            found[label] = found.get(label, 0.0) + math.exp(min(logprob, 0.0))
    return Masses(found, math.exp(min(least, 0.0))) if least < math.inf else None


@lru_cache(maxsize=4096)
def _plain(text: str) -> str:
    return text.strip(AROUND).lower()


def compared(token: Token) -> Odds | None:
    """A, B or tie; None without log-probs, or when neither A nor B is among them."""
    found = masses(token, COMPARED)
    if found is None:
        return None
    a, b, tie = (found.of.get(label, 0.0) for label in ("A", "B", "tie"))
    if not a and not b:
        return Odds(0.0, 0.5, 1.0, min(1.0, tie), True) if tie else None
    valid, floored = a + b + tie, not (a and b)
    a, b = a or found.least, b or found.least
    total = a + b + tie
    return Odds(math.log(a) - math.log(b), (a + tie / 2) / total, tie / total, min(1.0, valid), floored)


def expected(tokens: Sequence[Token], at: int, scale: tuple[int, int]) -> Expected | None:
    """The probabilities of the scores that could stand where token number `at` begins the score (G-Eval; direct-RLAIF).

    None when it is not clear what a token begins: where "10" is two tokens, P("1") belongs to 1 and to 10. It is clear when "10" is among
    the tokens, when P("1") is below `UNCLEAR`, or when "1" was drawn, so that the next token says how probable "0" is.
    """
    values = range(scale[0], scale[1] + 1)
    found = masses(tokens[at], {str(v): str(v) for v in values})
    if found is None or not found.of:
        return None
    of = dict(found.of)
    total = sum(of.values())
    for short in [s for s in of if of[s] > UNCLEAR * total]:
        longer = [str(v) for v in values if str(v) != short and str(v).startswith(short)]
        if not longer or any(v in of for v in longer):
            continue
        drawn = str(tokens[at].get("token")).strip(AROUND) == short
        ends = [v[len(short) :] for v in longer]
        plain = all(len(e) == 1 for e in ends)  # of 10 and 100 two more tokens would have to be known
        rest = _continued(tokens[at + 1], ends) if drawn and plain and at + 1 < len(tokens) else None
        if rest is None:
            return None
        whole = of[short]
        for v, share in zip(longer, rest, strict=True):
            of[v] = whole * share
        of[short] = whole * max(0.0, 1 - sum(rest))
    total = sum(of.values())
    return Expected(tuple(of.get(str(v), 0.0) / total for v in values), min(1.0, total))


def _continued(token: Token, ends: Sequence[str]) -> list[float] | None:
    """How probable each end of a number is, given its beginning."""
    found = masses(token, {end: end for end in ends})
    return [found.of.get(end, 0.0) for end in ends] if found else None


def mean(spread: Sequence[float], scale: tuple[int, int]) -> float:
    """Σ i·P(i)."""
    return math.fsum(p * v for p, v in zip(spread, range(scale[0], scale[1] + 1), strict=True))


def token_at(tokens: Sequence[Token], text: str, offset: int) -> int | None:
    """Number of the token that holds the character at an offset of the text; None when tokens and text do not fit together."""
    pieces = [t["token"] if isinstance(t.get("token"), str) else "" for t in tokens]
    begins = text[: offset + 1]
    whole = "".join(pieces)
    blank = len(whole) - len(whole.lstrip())
    if not whole.startswith(begins, blank):
        return None
    end = blank + offset
    for i, piece in enumerate(pieces):
        end -= len(piece)
        if end < 0:
            return i
    return None
