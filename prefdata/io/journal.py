"""Replies that were paid for, kept so that none is paid twice: one SQLite file, written by one thread in groups.

A reply is stored under the hash of its request and never changes. What `put` has acknowledged is there after the process was killed at
any moment; after a power cut, replies of the last seconds may be missing, always the last ones.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from queue import SimpleQueue
from typing import Any
from zlib import crc32

from prefdata.io.journal_file import Lock, connect, damaged, explained, lock, unlock
from prefdata.io.journal_rows import (
    CHARGE,
    CHARGES,
    COLUMNS,
    FAILED,
    KEEP_RUN,
    TOTALS,
    WRONG_TOTALS,
    Stored,
    Usage,
    check_key,
    check_usage,
    read_row,
    row_of,
    sum_of,
)
from prefdata.io.journal_writer import Done, Item, Writer

__all__ = ["CHARGES", "NOT_ASKED", "Journal", "Stored", "Usage"]

NOT_ASKED = "not-asked"
_MOST = 500  # keys in one query


class Journal:
    """The journal at `path`, a context manager. With `write=False` it only reads, also while another process writes.

    Raises UsageError when another process is writing it, InputError when the file is damaged, of a newer version or no journal.
    """

    def __init__(self, path: str, *, write: bool = True) -> None:
        self.path = path
        self._reading = threading.Lock()
        self._noting = threading.Lock()
        self._failing: dict[bytes, str] = {}
        self._charged = Usage()
        self._writer: Writer | None = None
        self._lock: Lock | None = None
        with ExitStack() as undo:
            if write:
                self._lock = lock(path)
                undo.callback(unlock, self._lock)
                db = connect(path, write=True)
                undo.callback(db.close)
            self._db = connect(path, write=False)
            undo.callback(self._db.close)
            if write:
                last_id = self._rows("SELECT coalesce(max(id), 0) FROM replies")[0][0]
                self._charged = self.totals().get(CHARGES, (0, Usage()))[1]
                self._writer = Writer(db, path, last_id)
            undo.pop_all()

    def find(self, keys: Sequence[bytes]) -> list[Stored | None]:
        """The committed replies to some requests, None for those without. Any thread may ask. Raises InputError when one is damaged."""
        found: dict[bytes, Stored] = {}
        for i in range(0, len(keys), _MOST):
            some = keys[i : i + _MOST]
            rows = self._rows(f"SELECT {COLUMNS} FROM replies WHERE key IN ({','.join('?' * len(some))})", some)
            found.update((key, stored) for key, stored, _ in map(self._checked, rows))
        return [found.get(key) for key in keys]

    def entries(self) -> Iterator[tuple[bytes, Stored, Usage]]:
        """All committed replies, in the order of their commits."""
        last = 0
        while rows := self._rows(f"SELECT {COLUMNS}, id FROM replies WHERE id > ? ORDER BY id LIMIT 64", (last,)):
            yield from map(self._checked, rows)
            last = rows[-1][-1]

    def put(self, key: bytes, stored: Stored, usage: Usage, done: Done) -> None:
        """Store a reply. `done(None)` is called in the writer's thread when it is committed, `done(error)` when the disk did not take it.

        A key that is stored keeps its first reply and its first usage: the second put is acknowledged and ignored, so that the results of
        a batch can be taken in twice.
        """
        self._send(Item(row_of(key, stored, usage), done))

    def charge(self, usage: Usage) -> None:
        """Count what may have been billed without a reply (a timeout after sending)."""
        self._send(Item(statement=(CHARGE, tuple(check_usage(usage)))))
        with self._noting:
            self._charged = self._charged.plus(usage)

    def failed(self, key: bytes, code: str) -> None:
        """Note why a request has no reply; a reply that comes later counts instead."""
        check_key(key, code)

        def noted() -> None:
            with self._noting:
                if self._failing.get(key) == code:
                    del self._failing[key]

        with self._noting:
            self._failing[key] = code
        self._send(Item(statement=(FAILED, (key, code)), after=noted))

    def why(self, key: bytes) -> str:
        """Why a request has no reply: its last failure, or `not-asked`."""
        with self._noting:
            failing = self._failing.get(key)
        query = "SELECT (SELECT code FROM failures WHERE key = ?1), EXISTS (SELECT 1 FROM replies WHERE key = ?1)"
        ((code, stored),) = self._rows(query, (key,))
        return NOT_ASKED if stored else failing or code or NOT_ASKED

    def failures(self) -> dict[str, int]:
        """How many requests have no reply, by their last failure."""
        query = "SELECT code, count(*) FROM failures WHERE key NOT IN (SELECT key FROM replies) GROUP BY code ORDER BY 2 DESC, 1"
        return dict(self._rows(query))

    def totals(self) -> dict[str, tuple[int, Usage]]:
        """How many replies there are of each code and what they cost; under CHARGES what was charged without a reply."""
        return {code: (replies, Usage(*usage)) for code, replies, *usage in self._rows(TOTALS)}

    def spent(self) -> Usage:
        """What all committed replies and all charges cost, over all runs."""
        totals = self.totals()
        if self._writer is not None:
            with self._noting:
                totals[CHARGES] = (0, self._charged)  # with those that are still queued
        return sum_of(usage for _, usage in totals.values())

    def codes(self) -> dict[str, int]:
        """How many replies there are of each code."""
        return {code: replies for code, (replies, _) in self.totals().items() if code != CHARGES}

    def __len__(self) -> int:
        return sum(self.codes().values())

    def keep_run(self, run: dict[str, Any]) -> None:
        """Keep the command and its options for `journal reparse`, in place of those of the run before. Raises InputError."""
        said: SimpleQueue[BaseException | None] = SimpleQueue()
        text = json.dumps(run)  # names of files may have bytes that are not UTF-8, which orjson refuses
        self._send(Item(done=said.put, statement=(KEEP_RUN, (text, crc32(text.encode())))))
        error = said.get()
        if error is not None:
            raise error

    def run(self) -> dict[str, Any] | None:
        """The command that wrote the journal last, and its options."""
        for text, damage in self._rows("SELECT CAST(run AS TEXT), damage FROM runs"):
            if crc32(text.encode()) != damage:
                raise damaged(self.path, "the command that wrote it is not what was stored")
            found: dict[str, Any] = json.loads(text)
            return found
        return None

    def verify(self) -> None:
        """Look at every page and every reply, and add up again. Raises InputError when the file is damaged."""
        said = self._rows("PRAGMA integrity_check(1)")[0][0]
        if said != "ok":
            raise damaged(self.path, said.splitlines()[-1])
        for _ in self.entries():
            pass
        if self._rows(WRONG_TOTALS)[0][0]:
            raise damaged(self.path, "its totals are not the sums of its replies")

    def close(self) -> None:
        """Commit what is queued and let go of the file. Raises an error of the disk that no `done` was told."""
        held, self._lock = self._lock, None
        try:
            if self._writer is not None and held is not None:
                self._writer.close()
        finally:
            with self._reading:
                self._db.close()  # the last connection moves the log to the file and removes it
            if held is not None:
                unlock(held)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.close()
        except Exception:
            if kind is None:  # else the block's own error is the one to see
                raise

    def _send(self, item: Item) -> None:
        if self._writer is None:
            raise io.UnsupportedOperation(f"{self.path}: the journal was opened for reading")
        self._writer.send(item)

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._reading, explained(self.path):
            return self._db.execute(query, values).fetchall()

    def _checked(self, row: tuple[Any, ...]) -> tuple[bytes, Stored, Usage]:
        found = read_row(row)
        if found is None:
            raise damaged(self.path, f"the reply {row[0].hex()} is not what was stored")
        return found
