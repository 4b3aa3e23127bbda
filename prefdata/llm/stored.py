"""Stored replies to plans."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from prefdata.io.journal import Journal
from prefdata.llm.plan import Plan, Unanswered, answer
from prefdata.llm.request import Reply, Request

T = TypeVar("T")


def finder(journal: Journal, replies: dict[str, Reply] | None = None) -> Callable[[list[Request]], list[Reply | None]]:
    """A function from requests to their replies in a journal. `replies` gets those that were found, by the id of the request."""

    def find(requests: list[Request]) -> list[Reply | None]:
        out: list[Reply | None] = []
        for request, stored in zip(requests, journal.find([r.key for r in requests]), strict=True):
            reply = None if stored is None else Reply(request.key, stored.code, stored.raw)
            if reply is not None and replies is not None:
                replies[request.id] = reply
            out.append(reply)
        return out

    return find


def answered(plan: Plan[T], journal: Journal, replies: dict[str, Reply] | None = None) -> T | Unanswered:
    """What a plan comes to with the replies of a journal; `replies` as in `finder`."""
    return answer(plan, finder(journal, replies), lambda request: journal.why(request.key))
