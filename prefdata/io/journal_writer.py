"""The one thread that writes a journal: everything that is queued goes into one transaction."""

from __future__ import annotations

import io
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from prefdata.io.journal_file import explanation
from prefdata.io.journal_rows import COUNT, MOST_ROWS, Row, insert

GROUP = 1000
"""Most items in one transaction."""
PAUSE = 0.002
"""Seconds between two transactions, so that items come together. One alone is written at once."""
SYNC_SECONDS, SYNC_BYTES = 5.0, 32 << 20
"""Committed rows are synced to the disk and moved from the log to the file after this time, or when the log has grown by this much."""
_PAGE = 4096

Done = Callable[[BaseException | None], None]


Statement = tuple[str, Sequence[Any]]


class Item(NamedTuple):
    """A row to store, or a statement to run; `done` is told of the commit or of the error, `after` follows a commit."""

    row: Row | None = None
    done: Done | None = None
    statement: Statement = ("", ())
    after: Callable[[], object] | None = None


class Writer:
    """Has `db` to itself and closes it. After an error of the disk nothing more is written: every later item gets that error."""

    def __init__(self, db: sqlite3.Connection, path: str, last_id: int) -> None:
        self._db, self._path, self._last_id = db, path, last_id
        self._queue: SimpleQueue[Item | None] = SimpleQueue()
        self._sending = threading.Lock()
        self._closed = False
        self._error: BaseException | None = None
        self._untold: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    def send(self, item: Item) -> None:
        with self._sending:  # nothing can be queued behind the end
            if self._closed:
                raise io.UnsupportedOperation(f"{self._path}: the journal is closed")
            self._queue.put(item)

    def close(self) -> None:
        """Write what is queued and end. Raises an error that no `done` was told, and what a `done` raised."""
        with self._sending:
            if not self._closed:
                self._queue.put(None)
            self._closed = True
        self._thread.join()
        error, self._untold = self._untold, None
        if error is not None:
            raise error

    def _work(self) -> None:
        unsynced, since, wrote, last = 0, 0.0, 0.0, False
        while not last:
            with suppress(Empty):
                first = self._queue.get(timeout=max(0.0, since + SYNC_SECONDS - time.monotonic()) if unsynced else None)
                time.sleep(max(0.0, min(PAUSE, wrote + PAUSE - time.monotonic())))
                batch, last = self._group(first)
                since = since if unsynced else time.monotonic()
                unsynced += self._commit(batch)
                wrote = time.monotonic()
            if unsynced > SYNC_BYTES or (unsynced and time.monotonic() >= since + SYNC_SECONDS):
                self._sync()  # after `done`: requests can go out meanwhile
                unsynced = 0
        if unsynced:
            self._sync()
        self._db.close()

    def _group(self, item: Item | None) -> tuple[list[Item], bool]:
        """What is queued, and whether it is the last."""
        batch: list[Item] = []
        with suppress(Empty):
            while item is not None and len(batch) < GROUP:
                batch.append(item)
                if len(batch) < GROUP:
                    item = self._queue.get_nowait()
            return batch, item is None
        return batch, False

    def _commit(self, batch: list[Item]) -> int:
        """Commit, then tell. Gives about how many bytes the log grew by."""
        size = 0
        if batch and self._error is None:
            try:
                size = self._write(batch)
            except BaseException as e:
                self._fail(e)
        for item in batch:
            if item.after is not None and self._error is None:
                item.after()
            if item.done is not None:
                if self._untold is self._error:
                    self._untold = None
                try:
                    item.done(self._error)
                except BaseException as e:  # the others are told all the same
                    self._untold = e
        return size

    def _write(self, batch: list[Item]) -> int:
        statements = [item.statement for item in batch if item.row is None]
        rows = [item.row for item in batch if item.row is not None]
        for i in range(0, len(rows), MOST_ROWS):
            values: list[Any] = []
            for row in rows[i : i + MOST_ROWS]:
                self._last_id += 1
                values.append(self._last_id)
                values += row
            statements.append((insert(len(rows[i : i + MOST_ROWS])), values))
        self._execute(statements)
        return sum(len(row[-1]) for row in rows) + _PAGE * (len(batch) + 2)

    def _execute(self, statements: Sequence[Statement]) -> None:
        """In one transaction; one statement is a transaction of its own."""
        if len(statements) > 1:
            self._db.execute("BEGIN IMMEDIATE")
        for sql, values in statements:
            self._db.execute(sql, values)
        if len(statements) > 1:
            self._db.execute("COMMIT")

    def _sync(self) -> None:
        try:
            if self._error is None:
                self._execute([(sql, ()) for sql in COUNT])
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except BaseException as e:
            self._fail(e)

    def _fail(self, error: BaseException) -> None:
        """After an error of the disk nobody knows what the next write would do, so there is none."""
        self._error = self._untold = (
            explanation(self._path, error) if isinstance(error, sqlite3.DatabaseError | UnicodeDecodeError) else error
        )
        with suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
