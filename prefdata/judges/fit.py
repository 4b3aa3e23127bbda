"""Whether a record has what a judge needs, and the parts of it that only some judges see."""

from __future__ import annotations

from math import isfinite
from typing import Any

from prefdata.judges.fill import placeholders
from prefdata.judges.judge import Criterion, Judge
from prefdata.judges.subject import Subject

MOST = 26
"""Candidates that are ranked in one call: beyond it models lose count."""
MOST_CRITERIA = 100


def fit(judge: Judge, subject: Subject) -> str | None:
    """Why a record cannot be asked about (a key of `reasons.UNFIT`), or None. Such a record is counted and never sent."""
    if judge.ask in ("compare", "rank"):
        if len(subject.candidates) < 2:
            return "one-candidate"
        if len(subject.distinct) < 2:
            return "identical-candidates"
    if judge.ask == "rank" and len(subject.distinct) > MOST:
        return "too-many-candidates"
    if "reference" in placeholders(judge.prompt) and reference(subject) is None:
        return "no-reference"
    if judge.ask == "checklist":
        criteria = criteria_of(judge, subject)
        if criteria is None:
            return "bad-checklist"
        if not criteria:
            return "no-checklist"
    return None


def reference(subject: Subject) -> str | None:
    """The reference answer of a record: the text `meta.reference`."""
    found = subject.meta.get("reference")
    return found if isinstance(found, str) and found.strip() else None


def criteria_of(judge: Judge, subject: Subject) -> list[Criterion] | None:
    """The record's own criteria (`meta.checklist`), else the judge's; None when those of the record cannot be used.

    `meta.checklist` is a list of texts, or of objects with `text` and `weight`. A negative weight is a pitfall. Some weight has to be
    positive, or there would be nothing to divide by.
    """
    given = subject.meta.get("checklist")
    if given is None:
        return judge.criteria
    if not isinstance(given, list) or not 0 < len(given) <= MOST_CRITERIA:
        return None
    criteria = [_criterion(item) for item in given]
    found = [c for c in criteria if c is not None]
    return found if len(found) == len(given) and any(c.weight > 0 for c in found) else None


def _criterion(item: Any) -> Criterion | None:
    text, weight = (item.get("text"), item.get("weight", 1.0)) if isinstance(item, dict) else (item, 1.0)
    if not isinstance(text, str) or not text.strip():
        return None
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not isfinite(weight):
        return None
    return Criterion(text=text, weight=weight)
