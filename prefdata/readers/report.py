"""Findings of an inspection, counted in full and kept up to a number per rule."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from prefdata.readers.words import by_code


class Found(NamedTuple):
    """One problem: where, which rule, and what. `line` is a row number in an array (`unit`), 0 for the file as a whole."""

    file: str
    line: int
    code: str
    severity: str
    message: str
    field: str | None = None
    unit: str = "line"


class Inspected(NamedTuple):
    """What an inspection found. `findings` is complete unless a number per rule was set; `counts` always is."""

    rows: int
    counts: Counter[str]
    findings: list[Found]


class Report:
    """Collects findings. `file`, `line` and `unit` say where the reader is."""

    def __init__(self, show: int | None = None) -> None:
        self.show = show
        self.words = by_code()
        self.counts: Counter[str] = Counter()
        self.shown: Counter[str] = Counter()
        self.findings: list[Found] = []
        self.file, self.line, self.unit = "", 0, "line"

    def add(self, code: str, message: str | None = None, field: str | None = None, line: int | None = None) -> None:
        """A finding at the current line, in words of its own or in those of the rule."""
        self.counts[code] += 1
        if self.show is not None and self.shown[code] >= self.show:
            return
        self.shown[code] += 1
        words = self.words[code]
        where = self.line if line is None else line
        self.findings.append(Found(self.file, where, code, words.severity, message or words.message, field, self.unit if where else "line"))


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names = {str: "a text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names[type(value)]


def named(key: object) -> str:
    """A key or role as it may be shown: cut, and without control characters."""
    text = str(key)
    return repr(text if len(text) <= 40 else text[:37] + "...")
