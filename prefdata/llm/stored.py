"""Stored replies to plans."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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


def answered_all(
    plans: Mapping[int, Plan[T]], journal: Journal, seen: Callable[[int, Request, Reply], object] | None = None
) -> Iterator[tuple[int, T | Unanswered]]:
    """`answered` for many plans, step by step together, so that the journal is asked once for a step of all. `seen` is told of every reply,
    with the number of its plan. The order is that in which plans end."""
    waiting: list[tuple[int, Plan[T], list[Request]]] = []
    for n, plan in plans.items():
        try:
            waiting.append((n, plan, next(plan)))
        except StopIteration as end:
            yield n, end.value
    while waiting:
        stored = iter(journal.find([r.key for _, _, requests in waiting for r in requests]))
        going, waiting = waiting, []
        for n, plan, requests in going:
            replies: list[Reply] = []
            missing: Request | None = None
            for request, found in zip(requests, stored, strict=False):
                if found is None:
                    missing = missing or request
                    continue
                reply = Reply(request.key, found.code, found.raw)
                replies.append(reply)
                if seen is not None:
                    seen(n, request, reply)
            if missing is not None:
                plan.close()
                yield n, Unanswered(missing, journal.why(missing.key))
                continue
            try:
                waiting.append((n, plan, plan.send(replies)))
            except StopIteration as end:
                yield n, end.value
