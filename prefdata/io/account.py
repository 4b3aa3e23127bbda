"""The books of a step: every input row is kept, dropped for a reason or rejected for a reason, and the manifest that says so."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from prefdata.errors import AccountError
from prefdata.io.write import replacing
from prefdata.schema.valid import NAMES


@dataclass
class Counts:
    """Input rows by fate, and the records written (one row may give several records, several rows one)."""

    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    written: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """Drafts that were not written though another draft of the same row was."""

    def add(self, other: Counts) -> None:
        self.read += other.read
        self.kept += other.kept
        self.written += other.written
        self.dropped.update(other.dropped)
        self.rejected.update(other.rejected)
        self.skipped.update(other.skipped)

    def check(self) -> None:
        """Raise AccountError unless read = kept + dropped + rejected."""
        if self.read != self.kept + self.dropped.total() + self.rejected.total():
            raise AccountError(f"the counts do not balance: {self.as_dict()}; nothing was written. Please report this")

    def as_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "read": self.read,
            "kept": self.kept,
            "dropped": dict(sorted(self.dropped.items())),
            "rejected": dict(sorted(self.rejected.items())),
        }
        return out

    @property
    def records(self) -> dict[str, Any]:
        return {"written": self.written, "skipped": dict(sorted(self.skipped.items()))}


def named(code: str) -> str:
    """A code, with the name of its rule where it is one of the models'."""
    return f"{code} {NAMES[code]}" if code in NAMES else code


def row_lines(counts: dict[str, Any], dropped: Callable[[str], str] = named, rejected: Callable[[str], str] = named) -> list[str]:
    """Counts (`Counts.as_dict`) in words: the balance, and a line for every reason. `dropped` and `rejected` say what a code means."""
    sums = {what: sum(counts[what].values()) for what in ("dropped", "rejected")}
    out = [f"  rows: read {counts['read']:,} = kept {counts['kept']:,} + dropped {sums['dropped']:,} + rejected {sums['rejected']:,}"]
    out += [f"    dropped {n:,}: {dropped(code)}" for code, n in counts["dropped"].items()]
    return out + [f"    rejected {n:,}: {rejected(code)}" for code, n in counts["rejected"].items()]


def sha256_of(path: str) -> str:
    """The SHA-256 of a file, a megabyte at a time: each piece waits for other threads. A file is mapped, because copying it would take as
    long as the sum; what has no size (a device) is read."""
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        if not os.fstat(f.fileno()).st_size:
            return hashlib.file_digest(f, "sha256").hexdigest()
        with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
            for start in range(0, len(data), 1 << 20):
                digest.update(data[start : start + (1 << 20)])
    return digest.hexdigest()


def manifest_path(out: str) -> str:
    return f"{out}.manifest.json"


def write_manifest(out: str, manifest: dict[str, Any]) -> None:
    """Write `OUT.manifest.json`; it comes last, so an output without one is unfinished."""
    with replacing(manifest_path(out)) as temporary, open(temporary, "wb") as f:
        f.write(orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def read_manifest(out: str) -> dict[str, Any] | None:
    """The manifest of an output, or None when there is none or the output is gone."""
    if not (os.path.exists(out) and os.path.exists(manifest_path(out))):
        return None
    with open(manifest_path(out), "rb") as f:
        try:
            found = orjson.loads(f.read())
        except orjson.JSONDecodeError:
            return None
    return found if isinstance(found, dict) else None
