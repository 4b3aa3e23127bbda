"""What a rule is. The catalogue page, `--explain`, SARIF help and every report take their words from here."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from prefdata.checks.facts import Facts
from prefdata.checks.view import Hits, View

Severity = Literal["error", "warning", "info"]
Limit = bool | int | float


@dataclass(frozen=True)
class Rule:
    """One check with a stable code. Exactly one of three functions does it, or none where the reader or the models find it:

    `row` looks at the records of a shard; `across` looks at facts about all rows of all files and flags rows; `whole` looks at the same
    facts and makes statements about the data set. Their keyword arguments are the rule's limits, which the configuration can set.
    """

    code: str
    name: str
    severity: Severity
    message: str
    reason: str
    bad: str
    good: str
    fix: str
    kinds: tuple[str, ...] = ("pair", "binary", "listwise")
    field: str | None = None
    row: Callable[..., list[Hits]] | None = None
    across: Callable[..., list[Hits]] | None = None
    whole: Callable[..., list[str]] | None = None
    facts: tuple[str, ...] = ()
    """Names of the facts (`facts.FACTS`) that `across` or `whole` looks at."""
    groups: bool = False
    """Whether it compares files or splits, so that it needs two of them."""
    on: bool = True
    """Whether it runs unless it is asked for (--extend-select)."""
    safe: bool = False
    """Whether --fix repairs it."""
    needs: str | None = None
    """The option without which it does not run: what it compares the file with."""

    @property
    def function(self) -> Callable[..., Any] | None:
        return self.row or self.across or self.whole

    @property
    def limits(self) -> dict[str, Limit]:
        """The limits with their defaults: what the function takes besides the view or the facts."""
        if self.function is None:
            return {}
        parameters = list(inspect.signature(self.function).parameters.values())[1:]
        return {p.name: p.default for p in parameters}


__all__ = ["Facts", "Hits", "Limit", "Rule", "Severity", "View"]
