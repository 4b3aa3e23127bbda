"""Replies to verdicts. A verdict stands in one place only: in the last line of the answer, or in the field of a JSON reply that was asked
for. Prose is never searched: a judge that quotes "[[A]]" and concludes "[[B]]" has said B, and one that concludes nothing has said nothing.

The text decides what was said; log-probs of the same token say how sure it is, as long as all valid labels together are probable enough.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from prefdata.judges import logprobs
from prefdata.judges.heard import Heard, heard, invalid
from prefdata.judges.judge import Ask, Judge
from prefdata.judges.parse_lists import aspects, checklist, rank
from prefdata.judges.statement import Outcome, Verdict
from prefdata.llm.request import Reply

LONGEST = 200
"""Characters. A longer line is prose."""
_LABEL = r"(a|b|tie)"
_OPEN, _CLOSE = r"[\s*_`\"'(\[]*", r"[\s*_`\"')\].]*"
_ANSWER = re.compile(rf"^[\s*_#`]*(?:final\s+)?(?:answer|verdict)[\s*_]*:{_OPEN}{_LABEL}{_CLOSE}$", re.IGNORECASE)
_BRACKETS = re.compile(
    rf"^[\s*_#`]*(?:(?:so|thus|therefore|my|the|final|overall|answer|verdict|decision|choice|judge?ment|is|[:,])\s*)*\[\[\s*{_LABEL}\s*\]\][\s*_`.]*$",
    re.IGNORECASE,
)
_BARE = re.compile(rf"^{_OPEN}{_LABEL}{_CLOSE}$", re.IGNORECASE)
_ANY = re.compile(rf"(?:\b(?:answer|verdict)[\s*_]*:{_OPEN}{_LABEL}\b|\[\[\s*{_LABEL}\s*\]\])", re.IGNORECASE)
_SAID: dict[str, Outcome] = {"a": "first", "b": "second", "tie": "tie", "A": "first", "B": "second"}
_NUMBER = r"(-?[0-9]{1,9}(?:\.[0-9]{1,9})?)"
_SCORE = re.compile(
    rf"^[\s*_#`]*(?:(?:final|overall)\s+)?(?:score|rating)[\s*_]*:{_OPEN}{_NUMBER}(?:\s*/\s*([0-9]{{1,9}}))?{_CLOSE}$", re.IGNORECASE
)
_BARE_SCORE = re.compile(rf"^{_OPEN}{_NUMBER}(?:\s*/\s*([0-9]{{1,9}}))?{_CLOSE}$")
_ANY_SCORE = re.compile(rf"\b(?:score|rating)[\s*_]*:{_OPEN}{_NUMBER}", re.IGNORECASE)


def parse(reply: Reply, judge: Judge, n: int, *, structured: bool = False, min_p_valid: float = 0.9) -> Verdict:
    """What a reply says about `n` answers (of a checklist: under `n` criteria). `structured`: a JSON reply by a schema was asked for."""
    said = heard(reply, structured, min_p_valid)
    return said if isinstance(said, Verdict) else PARSERS[judge.ask](said, judge, n)


def compare(said: Heard, judge: Judge, n: int) -> Verdict:
    """`Answer: A`, `Answer: B` or `Answer: tie`; of a judge that does not reason also the label alone."""
    if said.fields is not None:
        label = said.fields.get("verdict")
        found = _SAID.get(label.strip().lower()) if isinstance(label, str) else None
        return Verdict(found, rationale=said.rationale()) if found else invalid("no-verdict")
    if not judge.reasoning and said.alone(LONGEST) and (bare := _BARE.match(said.text)):
        label, at = bare[1], bare.start(1)
        if said.cut and label in ("a", "b"):
            return invalid("cut-off")  # "a" may be the beginning of a sentence
    elif said.cut:
        return invalid("cut-off")
    else:
        line, begin = said.last_line()
        m = (_ANSWER.match(line) or _BRACKETS.match(line)) if len(line) <= LONGEST else None
        if not m:
            several = {(x[1] or x[2]).lower() for x in _ANY.finditer(line[:LONGEST])}
            return invalid("several-verdicts" if len(several) > 1 else "no-verdict")
        label, at = m[1], begin + m.start(1)
    outcome = _SAID[label.lower()]
    rationale = said.before(at) if judge.reasoning else None
    token = logprobs.token_at(said.tokens, said.text, at) if said.tokens else None
    odds = logprobs.compared(said.tokens[token]) if token is not None else None
    if odds is None:
        return Verdict(outcome, rationale=rationale)
    if odds.p_valid < said.min_p_valid:
        return Verdict(outcome, p_valid=odds.p_valid, rationale=rationale)
    return Verdict(
        _SAID[odds.best],
        p_first=odds.p_first,
        p_valid=odds.p_valid,
        floored=odds.floored,
        rationale=rationale,
        log_odds=odds.log_odds,
        p_tie=odds.p_tie,
    )


def score(said: Heard, judge: Judge, n: int) -> Verdict:
    """`Score: 7`; of a judge that does not reason also the number alone. 7/10 is 7 when the scale ends at 10."""
    low, high = judge.scale
    if said.fields is not None:
        number = said.fields.get("score")
        if isinstance(number, bool) or not isinstance(number, int | float):
            return invalid("no-verdict")
        return _scored(judge, float(number), said.rationale())
    if not judge.reasoning and said.alone(LONGEST) and (m := _BARE_SCORE.match(said.text)):
        at = m.start(1)
        if said.cut and any(str(v) != m[1] and str(v).startswith(m[1]) for v in range(low, high + 1)):
            return invalid("cut-off")  # "1" may be the beginning of "10"
    elif said.cut:
        return invalid("cut-off")
    else:
        line, begin = said.last_line()
        found = _SCORE.match(line) if len(line) <= LONGEST else None
        if not found:
            several = {float(x[1]) for x in _ANY_SCORE.finditer(line[:LONGEST])}
            return invalid("several-verdicts" if len(several) > 1 else "no-verdict")
        m, at = found, begin + found.start(1)
    if m[2] is not None and int(m[2]) != high:
        return invalid("out-of-range")
    rationale = said.before(at) if judge.reasoning else None
    verdict = _scored(judge, float(m[1]), rationale)
    whole = verdict.usable and "." not in m[1]
    token = logprobs.token_at(said.tokens, said.text, at) if whole and said.tokens else None
    expected = logprobs.expected(said.tokens, token, judge.scale) if token is not None else None
    if expected is None:
        return verdict
    if expected.p_valid < said.min_p_valid:
        return verdict._replace(p_valid=expected.p_valid)
    value = rescaled(judge, logprobs.mean(expected.spread, judge.scale))
    return verdict._replace(score=value, p_valid=expected.p_valid, spread=expected.spread)


def _scored(judge: Judge, number: float, rationale: str | None) -> Verdict:
    low, high = judge.scale
    return Verdict(score=rescaled(judge, number), rationale=rationale) if low <= number <= high else invalid("out-of-range")


def rescaled(judge: Judge, value: float) -> float:
    """The scale mapped onto the judge's range: for 1 to 10 and [-1, 1] it is 2(s - 1)/9 - 1 (direct-RLAIF)."""
    if judge.rescale is None:
        return value
    (low, high), (bottom, top) = judge.scale, judge.rescale
    return bottom + (top - bottom) * (value - low) / (high - low)


PARSERS: dict[Ask, Callable[[Heard, Judge, int], Verdict]] = {
    "compare": compare,
    "score": score,
    "aspects": aspects,
    "checklist": checklist,
    "rank": rank,
}
