"""What a rule makes of single answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefdata.checks.view import Hits
from tests.checks.build import pair, turn
from tests.checks.views import found, view

Rule = Callable[..., list[Hits]]


def answers(*texts: str) -> list[dict[str, Any]]:
    """Pairs whose chosen answers are the texts."""
    return [pair([turn("assistant", t)], [turn("assistant", "Plain.")]) for t in texts]


def flags(rule: Rule, *texts: str, **limits: Any) -> list[bool]:
    """Which of these answers a rule flags."""
    flagged = found(rule(view(answers(*texts)), **limits))
    return [i in flagged for i in range(len(texts))]


def notes(rule: Rule, *texts: str) -> list[str | None]:
    return [h.note for h in rule(view(answers(*texts)))]
