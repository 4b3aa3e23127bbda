"""Statements as annotations of a record (`schema.records.Annotation`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

from prefdata.judges.statement import Statement
from prefdata.judges.subject import Subject

Dict = dict[str, Any]


def annotations_of(statements: Iterable[Statement], subject: Subject) -> list[Dict]:
    """One for each call of a comparison, each score, each aspect and criterion, and each pair of a ranking. A call without a verdict has
    one, `invalid` or `abstain`. Reasons stand in the first annotation of a call only; `request` tells which belong together."""
    return [a for s in statements for a in _of(s, subject)]


def _of(s: Statement, subject: Subject) -> list[Dict]:
    v = s.verdict
    if v.outcome in ("invalid", "abstain"):
        return [_made(s, subject, s.shown, outcome=v.outcome)]
    if v.order is not None:
        return _ranked(s, subject, v.order)
    if v.scores is None:
        return [_made(s, subject, s.shown, outcome=v.outcome, score=v.score, p_first=v.p_first, rationale=v.rationale)]
    out = [] if v.score is None else [_made(s, subject, s.shown, score=v.score)]
    for name, score in v.scores.items():
        out.append(_made(s, subject, s.shown, aspect=name, score=score, outcome="abstain" if score is None else None))
    out[0]["rationale"] = v.rationale
    return out


def _ranked(s: Statement, subject: Subject, order: tuple[tuple[int, ...], ...]) -> list[Dict]:
    level = {k: n for n, places in enumerate(order) for k in places}
    out = []
    for a, b in combinations(range(len(s.shown)), 2):
        outcome = "tie" if level[a] == level[b] else "first" if level[a] < level[b] else "second"
        out.append(_made(s, subject, (s.shown[a], s.shown[b]), outcome=outcome))
    out[0]["rationale"] = s.verdict.rationale
    return out


def _made(s: Statement, subject: Subject, shown: Sequence[int], **said: Any) -> Dict:
    made = {
        "annotator": s.annotator,
        "kind": s.kind,
        "completions": subject.named(shown),
        "aspect": s.aspect,
        "outcome": None,
        "score": None,
        "p_first": None,
        "rationale": None,
        "request": s.request,
    }
    return made | said
