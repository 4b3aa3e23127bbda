"""A plan is the conversation that one record needs: a generator that yields the requests that can be sent now, gets their replies in
order, and returns its result.

It runs twice. Once to ask (`Client`): its replies come from the servers and are stored, its result is thrown away. Once to
answer: its replies come from the journal, in the order of the records, so that the output depends neither on the order in which replies
came nor on crashes. A plan depends on its record, its options and the replies only.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

from prefdata.llm.request import DRY, Reply, Request

T = TypeVar("T")
Plan = Generator[list[Request], list[Reply], T]


@dataclass(frozen=True)
class Unanswered:
    """A plan that lacks a reply: the request, and why it has none (`not-asked`, or the last failure)."""

    request: Request
    why: str


def answer(plan: Plan[T], find: Callable[[list[Request]], list[Reply | None]], why: Callable[[Request], str]) -> T | Unanswered:
    """Drive a plan with stored replies. `find` gives None for a request without a reply, `why` the reason."""
    try:
        asked = next(plan)
        while True:
            found = find(asked)
            for request, reply in zip(asked, found, strict=True):
                if reply is None:
                    plan.close()
                    return Unanswered(request, why(request))
            asked = plan.send([r for r in found if r is not None])
    except StopIteration as end:
        result: T = end.value
        return result


def rehearse(plan: Plan[object], find: Callable[[list[Request]], list[Reply | None]] | None = None) -> list[Request]:
    """The requests of a plan when nothing is sent: each that `find` has no reply for gets an empty one of code `dry`, so second tries are
    not counted."""
    out: list[Request] = []
    try:
        asked = next(plan)
        while True:
            out += asked
            found = find(asked) if find else [None] * len(asked)
            asked = plan.send([reply or Reply(r.key, DRY) for r, reply in zip(asked, found, strict=True)])
    except StopIteration:
        return out
