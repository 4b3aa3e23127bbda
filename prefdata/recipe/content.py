"""What a file or a folder holds, as one hash: a step is done again when something that it reads holds something else."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator, Sequence

from prefdata.io import account

UNSTEADY = (".manifest.json", ".journal", ".journal-wal", ".journal-shm", ".lock", ".tmp")
"""Files with times and places in them, which say how an output was made."""
ACCOUNTS = ("metrics.jsonl", "metrics.csv", "README.md", "options.json", "training_args.bin", "manifest.json", "report.json", "report.html")
"""The same in folders, of which the other files are what counts."""
SKIPPED = ("cache", "plots", "runs")


class Contents:
    """Hashes of paths. Files that have the size and time of the last look are not read again."""

    def __init__(self, known: dict[str, list[object]] | None = None) -> None:
        self.known: dict[str, list[object]] = known or {}

    def of(self, path: str) -> str | None:
        """The hash of a file or folder, None when nothing is there."""
        if os.path.isfile(path):
            return self._file(path)
        if not os.path.isdir(path):
            return None
        digest = hashlib.sha256()
        for found in _files(path):
            digest.update(f"{os.path.relpath(found, path)} {self._file(found)}\n".encode())
        return digest.hexdigest()

    def of_all(self, patterns: Sequence[str]) -> list[str | None]:
        """Of the files that paths and globs name, in the order in which commands read them."""
        return [self.of(p) for pattern in patterns for p in (sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern])]

    def _file(self, path: str) -> str:
        about = os.stat(path)
        stamp: list[object] = [about.st_size, about.st_mtime_ns]
        key = os.path.realpath(path)
        if self.known.get(key, [])[:2] != stamp:
            self.known[key] = [*stamp, account.sha256_of(path)]
        return str(self.known[key][2])


def _files(folder: str) -> Iterator[str]:
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if f not in SKIPPED and not f.startswith(("checkpoint-", ".")))
        for name in sorted(names):
            if name not in ACCOUNTS and not name.endswith(UNSTEADY) and not name.startswith("."):
                yield os.path.join(at, name)
