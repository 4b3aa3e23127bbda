"""Gold of other records: which of two answers is better according to whoever else compared them, found by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import combinations
from typing import Any

import orjson

from prefdata.errors import UsageError
from prefdata.judges.gold import majority, of_people, of_source
from prefdata.judges.statement import Row
from prefdata.judges.subject import Turn, subject_of

Key = tuple[bytes, bytes]
"""The content of a comparison: its prompt, and its two answers in an order that depends on their content alone."""


def content(turns: Any) -> bytes:
    """The content of turns, without the tool fields that are not set."""
    said = [{k: v for k, v in t.items() if v is not None} for t in turns]
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()[:16]


def key_of(prompt: bytes, first: bytes, second: bytes) -> tuple[Key, int]:
    """The key of a comparison, and -1 where it names the second answer before the first."""
    return ((prompt, first + second), 1) if first <= second else ((prompt, second + first), -1)


class GoldFile:
    """Verdicts of other records, by content: a comparison is found in whatever order it stands and whatever kind it is of. Comparisons
    that stand there several times have the verdict of the majority."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._said: dict[Key, list[int]] = {}
        for row in rows:
            self._add(row)

    def _add(self, row: Row) -> None:
        subject = subject_of(row)
        if subject.kind == "binary":
            raise UsageError("--gold: binary records have one answer each; gold needs pairs or lists")
        prompt, answers = content(subject.prompt), [content(c) for c in subject.candidates]
        for i, j in combinations(subject.distinct, 2):
            sign = of_source(row, i, j)
            if sign is None:
                sign = of_people(row, subject.names, i, j)
            if sign is not None:
                key, turn = key_of(prompt, answers[i], answers[j])
                self._said.setdefault(key, []).append(sign * turn)

    def __len__(self) -> int:
        return len(self._said)

    def find(self, prompt: bytes, first: bytes, second: bytes) -> int | None:
        key, turn = key_of(prompt, first, second)
        found = majority(self._said.get(key, ()))
        return None if found is None else found * turn


def characters(turns: Iterable[Turn]) -> int:
    """The length of an answer."""
    return sum(len(t["content"]) for t in turns)
