"""What tests of the client share: plans, options for a server, a run with its journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prefdata.io.journal import Journal
from prefdata.llm.client import Stats, ask_all, pool_of
from prefdata.llm.options import ClientOptions
from prefdata.llm.plan import Plan
from prefdata.llm.request import Reply, Request, request
from tests.llm.server import Server


def ask(text: object, **parameters: Any) -> Request:
    return request("m", [{"role": "user", "content": str(text)}], 16, temperature=0, **parameters)


def plan(text: object, **parameters: Any) -> Plan[str]:
    """One question."""
    replies = yield [ask(text, **parameters)]
    return replies[0].text


def plans(n: int) -> Iterator[Plan[str]]:
    return (plan(f"question {i}") for i in range(n))


def options(server: Server | str, **changes: Any) -> ClientOptions:
    url = server if isinstance(server, str) else server.url
    given = {"model": "m", "base_url": [url], "timeout": 1.0, "deadline": 8.0, "retries": 1, "api_key_env": "PREFDATA_TEST_KEY", **changes}
    return ClientOptions(**given)


def run(server: Server | str, path: Path, work: Any = None, **changes: Any) -> tuple[Stats, Journal]:
    """Ask all of `work` (by default one question); the journal is closed, and opened again for reading."""
    chosen = options(server, **changes)
    file = str(path / "journal")
    with Journal(file) as journal:
        stats = ask_all(work if work is not None else [plan("question")], chosen, journal, {"": pool_of(chosen)})
    return stats, Journal(file, write=False)


def reply_to(journal: Journal, asked: Request) -> Reply | None:
    stored = journal.find([asked.key])[0]
    return Reply(asked.key, stored.code, stored.raw) if stored else None
