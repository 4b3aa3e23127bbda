"""A temporary file that one process at a time holds, and that is gone when it lets go, at whatever instruction an interrupt comes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from prefdata.errors import UsageError


@contextmanager
def held(path: str, taken: str) -> Iterator[None]:
    """Make the file, unless it is there, and hold it, so that two runs never write one output; afterwards it is removed if it still has
    that name. A lock dies with its process, so a file that a killed run left does no harm. Raises UsageError with the words `taken` when
    another process holds it, OSError when it cannot be made."""
    handle = -1
    try:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            if not _locked(handle, path):
                raise UsageError(taken)
            yield
            if _named(handle, path):
                os.unlink(path)  # while it is held: who opened it meanwhile sees that it is gone
        finally:
            if handle >= 0:
                os.close(handle)
    finally:
        _remove(path)


def _locked(handle: int, path: str) -> bool:
    """Whether the file is ours now: nobody else holds it, and who held it before has not renamed or removed it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return _named(handle, path)


def _named(handle: int, path: str) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle), os.stat(path))
    return False


def _remove(path: str) -> None:
    """Remove the file unless another process holds it. It is opened anew: an interrupt may come after it was made and before its handle
    has a name, and then the lock tells whose it is."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDWR)
        try:
            if _locked(handle, path):
                os.unlink(path)
        finally:
            os.close(handle)
