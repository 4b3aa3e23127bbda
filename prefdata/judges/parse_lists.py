"""Verdicts of several parts: aspects, checklists and rankings. Parts are found by their names, never by their places, and a reply that
lacks one, or has one twice, says nothing clear."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from prefdata.judges import logprobs
from prefdata.judges.heard import Heard, invalid
from prefdata.judges.judge import Judge
from prefdata.judges.statement import Verdict

LONGEST = 200
_VALUE = r"([a-z/]+|-?[0-9]{1,9}(?:\.[0-9]{1,9})?)"
_PART = re.compile(rf"^[\s*_#`-]*([a-z][a-z0-9_ -]*?|[0-9]{{1,3}})[\s*_`]*:[\s*_`\"'(\[]*{_VALUE}", re.IGNORECASE)
_END = re.compile(r"(?:\s*/\s*([0-9]{1,9}))?[\s*_`\"')\].]*$")
_RANKING = re.compile(r"^[\s*_#`]*(?:(?:final\s+)?ranking[\s*_]*:)?([\s*_`\[\]0-9>=]+)[\s*_`.]*$", re.IGNORECASE)
_ORDER = re.compile(r"^[0-9]{1,3}(?:\s*[>=]\s*[0-9]{1,3})*$")
NOT_APPLICABLE = {"n/a", "na"}


def _parts(said: Heard, names: Iterable[str]) -> dict[str, tuple[re.Match[str], int]] | str:
    """The last lines, one for each name in any order, with their offsets; or why there are none."""
    wanted = set(names)
    found: dict[str, tuple[re.Match[str], int]] = {}
    end = len(said.text)
    while len(found) < len(wanted) and end > 0:
        begin = said.text.rfind("\n", 0, end) + 1
        line = said.text[begin:end]
        if line.strip():
            m = _PART.match(line) if len(line) <= LONGEST else None
            name = m[1].strip().lower().replace(" ", "-") if m else ""
            if not m or name not in wanted or not _END.match(line, m.end()):
                return "incomplete" if found else "no-verdict"
            if name in found:
                return "several-verdicts"
            found[name] = (m, begin)
        end = begin - 1
    return found if len(found) == len(wanted) else "incomplete"


def aspects(said: Heard, judge: Judge, n: int) -> Verdict:
    """`name: 4` for every aspect; N/A where it does not apply."""
    names = [a.name for a in judge.aspects]
    low, high = judge.scale
    if said.fields is not None:
        return _of_fields(said, names, lambda v: _number(v, low, high))
    if said.cut:
        return invalid("cut-off")
    parts = _parts(said, names)
    if isinstance(parts, str):
        return invalid(parts)
    scores: dict[str, float | None] = {}
    first = len(said.text)
    valid: float | None = None
    for name in names:
        m, begin = parts[name]
        first = min(first, begin)
        if m[2].lower() in NOT_APPLICABLE:
            scores[name] = None
            continue
        of = _END.match(m.string, m.end())
        try:
            value = float(m[2])
        except ValueError:
            return invalid("no-verdict")
        if not low <= value <= high or (of and of[1] and int(of[1]) != high):
            return invalid("out-of-range")
        whole = said.tokens and "." not in m[2]
        at = logprobs.token_at(said.tokens, said.text, begin + m.start(2)) if whole else None
        expected = logprobs.expected(said.tokens, at, judge.scale) if at is not None else None
        if expected is not None:
            valid = min(expected.p_valid, 1.0 if valid is None else valid)
            if expected.p_valid >= said.min_p_valid:
                value = logprobs.mean(expected.spread, judge.scale)
        scores[name] = value
    return Verdict(scores=scores, p_valid=valid, rationale=said.text[:first].strip() or None if judge.reasoning else None)


def _number(value: Any, low: int, high: int) -> float | str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "no-verdict"
    return float(value) if low <= value <= high else "out-of-range"


def _of_fields(said: Heard, names: Iterable[str], value_of: Callable[[Any], float | str | None]) -> Verdict:
    fields = (said.fields or {}).get("scores")
    if not isinstance(fields, dict):
        return invalid("no-verdict")
    scores: dict[str, float | None] = {}
    for name in names:
        if name not in fields:
            return invalid("incomplete")
        value = value_of(fields[name])
        if isinstance(value, str):
            return invalid(value)
        scores[name] = value
    return Verdict(scores=scores, rationale=said.rationale())


def checklist(said: Heard, judge: Judge, n: int) -> Verdict:
    """`1: yes` or `1: no` for every criterion: scores 1 and 0."""
    names = [str(i + 1) for i in range(n)]
    words = {"yes": 1.0, "no": 0.0}
    if said.fields is not None:
        return _of_fields(said, names, lambda v: words.get(v.strip().lower(), "no-verdict") if isinstance(v, str) else "no-verdict")
    if said.cut:
        return invalid("cut-off")
    parts = _parts(said, names)
    if isinstance(parts, str):
        return invalid(parts)
    if any(m[2].lower() not in words for m, _ in parts.values()):
        return invalid("no-verdict")
    first = min(begin for _, begin in parts.values())
    scores: dict[str, float | None] = {name: words[parts[name][0][2].lower()] for name in names}
    return Verdict(scores=scores, rationale=said.text[:first].strip() or None if judge.reasoning else None)


def rank(said: Heard, judge: Judge, n: int) -> Verdict:
    """`Ranking: 2 > 1 = 3`, every number once; of a judge that does not reason also the order alone."""
    if said.fields is not None:
        levels = said.fields.get("ranking")
        if not isinstance(levels, list) or not all(isinstance(level, list) and level for level in levels):
            return invalid("no-verdict")
        if not all(type(i) is int for level in levels for i in level):
            return invalid("no-verdict")
        return _ordered([list(level) for level in levels], n, said.rationale())
    if said.cut:
        return invalid("cut-off")
    line, begin = said.last_line()
    m = _RANKING.match(line) if len(line) <= 20 * n + LONGEST else None
    order = re.sub(r"[\s*_`\[\]]+", " ", m[1]).strip() if m else ""
    if not m or not _ORDER.match(order) or (":" not in line and (judge.reasoning or begin)):
        return invalid("no-verdict")
    levels = [[int(i) for i in level.split("=")] for level in order.split(">")]
    return _ordered(levels, n, said.text[:begin].strip() or None if judge.reasoning else None)


def _ordered(levels: list[list[int]], n: int, rationale: str | None) -> Verdict:
    seen = [i for level in levels for i in level]
    if any(not 1 <= i <= n for i in seen):
        return invalid("out-of-range")
    if len(seen) != len(set(seen)):
        return invalid("several-verdicts")
    if len(seen) < n:
        return invalid("incomplete")
    return Verdict(order=tuple(tuple(i - 1 for i in level) for level in levels), rationale=rationale)
