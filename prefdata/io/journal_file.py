"""The file of a journal: its lock, its tables, and what is said when it cannot be used."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from prefdata.errors import InputError, UsageError

APPLICATION_ID = 0x70726664  # "prfd"
BUSY_SECONDS = 60.0

MIGRATIONS: list[Callable[[sqlite3.Connection], object]] = []
"""Number n brings a journal of version n - 1 to version n; the version is SQLite's user_version. What was released is never changed."""
migration = MIGRATIONS.append


@migration
def _1_replies(db: sqlite3.Connection) -> None:
    """CHECKs instead of STRICT: the SQLite of Enterprise Linux 9 (3.34) cannot read a file with a STRICT table.

    `id` is the order of the commits, `damage` a CRC-32 over the rest of the row: SQLite does not notice changed bytes in values.
    `totals` has one row per code for the replies up to `counted`, and one without a code for what may have been billed without a reply.
    """
    whole = "INTEGER NOT NULL CHECK (typeof({0}) = 'integer' AND {0} >= 0)"
    usage = ", ".join(f"{n} {whole.format(n)}" for n in ("calls", "tokens_in", "tokens_out"))
    usage += ", usd REAL NOT NULL CHECK (typeof(usd) = 'real' AND usd >= 0)"
    code = "CHECK (typeof(code) = 'text')"
    key = "BLOB NOT NULL UNIQUE CHECK (typeof(key) = 'blob' AND length(key) = 32)"
    db.execute(
        f"CREATE TABLE replies (id INTEGER PRIMARY KEY, key {key}, code TEXT NOT NULL {code}, {usage}, damage INTEGER NOT NULL, "
        "raw BLOB NOT NULL CHECK (typeof(raw) = 'blob'))"
    )
    db.execute(f"CREATE TABLE totals (code TEXT PRIMARY KEY NOT NULL {code}, replies {whole.format('replies')}, {usage})")
    db.execute("CREATE TABLE counted (one INTEGER PRIMARY KEY CHECK (one = 1), up_to INTEGER NOT NULL)")
    db.execute("INSERT INTO counted VALUES (1, 0)")
    db.execute(f"CREATE TABLE failures (key {key}, code TEXT NOT NULL {code})")
    db.execute("CREATE TABLE runs (one INTEGER PRIMARY KEY CHECK (one = 1), run TEXT NOT NULL, damage INTEGER NOT NULL)")


class Lock(NamedTuple):
    handle: int
    file: str


def lock(path: str) -> Lock:
    """Hold `path` for writing until `unlock` or the end of the process. Raises UsageError when another process holds it.

    The lock is on a file beside the journal: closing any handle on the journal itself would release the locks that SQLite has there.
    """
    beside = f"{os.path.realpath(path)}-lock"  # one journal has one lock, whatever link leads to it
    while True:
        try:
            handle = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as e:
            raise unwritable(path, e.strerror or str(e)) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):  # its holder has just removed it
                if os.path.samestat(os.fstat(handle), os.stat(beside)):
                    os.ftruncate(handle, 0)
                    os.pwrite(handle, b"%d\n" % os.getpid(), 0)
                    return Lock(handle, beside)
            os.close(handle)
        except BlockingIOError:
            pid = os.pread(handle, 20, 0).decode("ascii", "replace").strip()
            os.close(handle)
            holder = f"process {pid}" if pid else "another process"
            raise UsageError(f"{path}: {holder} is writing this journal; wait until it ends, or name another file with --journal") from None
        except OSError as e:
            os.close(handle)
            raise unwritable(path, e.strerror or str(e)) from None


def unlock(held: Lock) -> None:
    with suppress(FileNotFoundError):
        os.unlink(held.file)  # while it is held: who opened it meanwhile sees that it is gone
    os.close(held.handle)


def connect(path: str, write: bool) -> sqlite3.Connection:
    """A connection to an existing journal, or (`write`) to a new one. Raises InputError when the file is something else or damaged."""
    if os.path.isdir(path):
        raise InputError(f"{path}: is a folder, not a journal")
    name, log = os.path.basename(path), _log(path)
    exists = os.path.exists(path)
    size = os.path.getsize(path) if exists else 0
    if size == 1:  # which SQLite takes for an empty file
        raise no_journal(path)
    if not size:
        if os.path.exists(log) and os.path.getsize(log):  # SQLite would throw it away
            raise InputError(f"{log}: its journal is gone; put {name} back beside it, or move this file away to begin anew")
        if not write:
            raise InputError(f"{path}: the journal is empty" if exists else f"{path}: there is no such journal")
    with explained(path):
        db = _connected(path, "mode=rwc" if write else "mode=rw")
        try:
            _prepare(db, path, write)
        except BaseException:
            db.close()
            raise
    return db


def _log(path: str) -> str:
    """Where committed replies are until they are moved to the file."""
    return f"{os.path.realpath(path)}-wal"


def _connected(path: str, mode: str) -> sqlite3.Connection:
    """Readers open the file for writing too, where they may: a connection that cannot write leaves `-wal` and `-shm` behind."""
    uri = f"{Path(path).absolute().as_uri()}?{mode}"
    db = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA application_id").fetchone()
    except sqlite3.DatabaseError as e:
        db.close()
        if mode != "mode=rw" or _code(e) not in _NO_ROOM or os.path.exists(_log(path)):
            raise
        # a folder that cannot be written to has no room for -shm; a journal that was closed needs none
        return _connected(path, "immutable=1")
    return db


def _prepare(db: sqlite3.Connection, path: str, write: bool) -> None:
    """Check what it is, before anything is written."""
    (application,), (version,), (pages,) = (db.execute(f"PRAGMA {p}").fetchone() for p in ("application_id", "user_version", "page_count"))
    if pages and application != APPLICATION_ID:
        raise InputError(f"{path}: is an SQLite file of another program, not a journal; name another file with --journal")
    if version > len(MIGRATIONS):
        raise InputError(f"{path}: was written by a newer prefdata (version {version}; this one knows {len(MIGRATIONS)}); update prefdata")
    if version < len(MIGRATIONS) and not write:
        raise InputError(f"{path}: is of an older version; the command that wrote it brings it up to date and pays nothing twice")
    if version < len(MIGRATIONS):
        db.execute("BEGIN IMMEDIATE")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        _migrate(db, version)
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        db.execute("COMMIT")
    if _tables(db) != _expected():
        raise damaged(path, "its tables are not those of a journal")
    if not write:
        db.execute("PRAGMA query_only = ON")
        return
    if db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise InputError(f"{path}: this file system cannot hold a journal (no shared memory); name a file on a local disk with --journal")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")  # the writer does it, after it has said what is committed
    db.execute("PRAGMA cache_size = -16384")


def _migrate(db: sqlite3.Connection, version: int) -> None:
    for step in MIGRATIONS[version:]:
        step(db)


def _tables(db: sqlite3.Connection) -> list[tuple[str, str]]:
    return db.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


@cache
def _expected() -> list[tuple[str, str]]:
    """The tables of a whole journal: with a letter changed in a statement SQLite may find no rows, without an error."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    try:
        _migrate(db, 0)
        return _tables(db)
    finally:
        db.close()


@contextmanager
def explained(path: str) -> Iterator[None]:
    """SQLite's errors as InputError with what to do."""
    try:
        yield
    except sqlite3.ProgrammingError:  # a bug, as a query after close()
        raise
    except (sqlite3.DatabaseError, UnicodeDecodeError) as e:
        raise explanation(path, e) from None


_DISK = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
_NO_ROOM = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}


def _code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest is detail


def explanation(path: str, error: Exception) -> InputError:
    code = _code(error)
    if code == sqlite3.SQLITE_NOTADB:
        return no_journal(path)
    if code == sqlite3.SQLITE_BUSY:
        return InputError(f"{path}: another program has locked the journal; close it, the same command then goes on")
    if code in _DISK | _NO_ROOM:
        return unwritable(path, str(error))
    # a message of SQLite that cannot be decoded quotes changed bytes of the file
    return damaged(path, "it has text that is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error))


def no_journal(path: str) -> InputError:
    return InputError(f"{path}: is not a journal of replies; nothing was changed; name another file with --journal")


def damaged(path: str, what: str) -> InputError:
    return InputError(f"{path}: the journal is damaged ({what}); nothing was changed; put a copy of it back, or move it away to ask anew")


def unwritable(path: str, what: str) -> InputError:
    return InputError(f"{path}: the journal cannot be written or read ({what}); replies stored so far stay, the same command goes on")
