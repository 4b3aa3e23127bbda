"""The journal of a command that asks, which knows the command: `journal reparse` runs it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prefdata.io.journal import Journal
from prefdata.llm.options import ClientOptions


@contextmanager
def run_journal(path: str, command: str, data: Sequence[str], out: str, options: ClientOptions) -> Iterator[Journal]:
    """The journal at `path` with the command in it. With --offline it is only read, and keeps the command that asked."""
    with Journal(path, write=not options.offline) as journal:
        if not options.offline:
            given = options.model_dump(mode="json", exclude_defaults=True)
            journal.keep_run({"command": command, "data": list(data), "out": out, "options": given})
        yield journal
