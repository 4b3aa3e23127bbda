"""What is judged: the prompt and the candidates of one record, as texts that a judge can be shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from prefdata.judges.fill import fence, fenced
from prefdata.judges.statement import Row
from prefdata.options import Kind

Turn = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """A record to be judged. A candidate's number here is its place in the record (in a pair 0 is chosen and 1 rejected)."""

    kind: Kind
    id: str
    prompt: Sequence[Turn]
    candidates: Sequence[Sequence[Turn]]
    names: tuple[str, ...]
    """What annotations call the candidates; () for the one candidate of a binary record."""
    tools: str | None = None
    meta_text: str | None = None

    @cached_property
    def meta(self) -> dict[str, Any]:
        """The record's meta; {} when it is no object."""
        try:
            found = orjson.loads(self.meta_text) if self.meta_text else {}
        except orjson.JSONDecodeError:
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def token(self) -> str:
        """The token of its fences, the same in every request about the record."""
        return fence(self._texts())

    @cached_property
    def prompt_text(self) -> str:
        """The fenced prompt: its tools, and its turns."""
        return conversation("prompt", self.prompt, self.token, self.tools)

    @cached_property
    def same(self) -> tuple[int, ...]:
        """For every candidate the first one that is equal to it: equal candidates are judged once."""
        first: list[int] = []
        for i, turns in enumerate(self.candidates):
            first.append(next((j for j in range(i) if self.candidates[j] == turns), i))
        return tuple(first)

    @property
    def distinct(self) -> list[int]:
        """The candidates without those that repeat another."""
        return [i for i, j in enumerate(self.same) if i == j]

    def answer_text(self, i: int, name: str) -> str:
        """A fenced candidate."""
        return conversation(name, self.candidates[i], self.token)

    def named(self, places: Sequence[int]) -> list[str]:
        """Candidates as annotations call them."""
        return [self.names[i] for i in places] if self.names else []

    def _texts(self) -> Iterator[str]:
        for turns in (self.prompt, *self.candidates):
            for turn in turns:
                yield turn["content"]
                yield from _calls(turn)
        yield self.tools or ""
        yield self.meta_text or ""


def subject_of(row: Row) -> Subject:
    """A record of any kind as the subject of a judge."""
    if "completions" in row:
        candidates = [c["messages"] for c in row["completions"]]
        return _made("listwise", row, candidates, tuple(c["id"] for c in row["completions"]))
    if "completion" in row:
        return _made("binary", row, [row["completion"]], ())
    return _made("pair", row, [row["chosen"], row["rejected"]], ("chosen", "rejected"))


def _made(kind: Kind, row: Row, candidates: list[list[Turn]], names: tuple[str, ...]) -> Subject:
    return Subject(kind, row["id"], row["prompt"], candidates, names, row.get("tools"), row.get("meta"))


def conversation(name: str, turns: Sequence[Turn], token: str, tools: str | None = None) -> str:
    """Turns as one fenced text. One text stands alone; of several each has a fence with its role, and so have tools and their calls."""
    if len(turns) == 1 and not tools and not turns[0].get("tool_calls") and turns[0]["role"] != "system":
        return fenced(name, turns[0]["content"], token)
    parts = [fenced("tools", tools, token)] if tools else []
    for turn in turns:
        calls = [fenced("call", call, token) for call in _calls(turn)]
        if turn["content"] or not calls:
            parts.append(fenced(turn["role"], turn["content"], token))
        parts += calls
    return fenced(name, "\n".join(parts), token)


def _calls(turn: Turn) -> list[str]:
    return [f"{call['function']['name']} {call['function']['arguments']}" for call in turn.get("tool_calls") or ()]
