"""The output and the side files of label, which appear together or not at all (stdout excepted)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import polars as pl

from prefdata.io import account
from prefdata.io.account import Counts
from prefdata.io.rejects import RejectsFile
from prefdata.io.write import Writer, encode, replacing
from prefdata.judges.labelled import Done
from prefdata.judges.paths import Paths
from prefdata.judges.records import Part


class Output:
    """Shards are added in order. Made by `output`."""

    def __init__(self, form: str, writer: Writer | None, sides: tuple[RejectsFile, RejectsFile, RejectsFile]) -> None:
        self._form, self._writer, self._sides = form, writer, sides
        self.counts = Counts()
        self.there = [False, False, False]
        """Which side files have lines: rejects, undecided, disagreements."""
        self.sides: list[str | None] = []
        """Their paths, when the output is there."""

    @property
    def sha256(self) -> str | None:
        return None if self._writer is None else self._writer.sha256

    def add(self, part: Part, rejects: bytes, done: Done) -> None:
        """Write a shard."""
        encoded = encode(done.out, self._form)
        if self._writer is None:
            sys.stdout.buffer.write(encoded)
        else:
            self._writer.append(encoded)
        self.counts.add(done.counts)
        for i, (file, lines) in enumerate(zip(self._sides, (rejects, done.undecided, done.disagreements), strict=True)):
            file.write(lines)
            self.there[i] |= len(lines) > 0


@contextmanager
def output(paths: Paths, form: str, empty: pl.DataFrame) -> Iterator[Output]:
    """When the block ends well the counts balance and the files are there; else everything is as it was."""
    names = (paths.rejects, paths.undecided, paths.disagreements)
    with ExitStack() as stack:
        rejects, undecided, disagreements = (stack.enter_context(RejectsFile(path)) for path in names)
        writer = None
        if paths.out != "-":
            writer = Writer(stack.enter_context(replacing(paths.out)), form, encode(empty, form))
        made = Output(form, writer, (rejects, undecided, disagreements))
        try:
            yield made
            made.counts.check()
        finally:
            if writer is not None:
                writer.close()
        if paths.out != "-" and os.path.exists(account.manifest_path(paths.out)):
            os.unlink(account.manifest_path(paths.out))
    if paths.out == "-":  # else stdout may be a notebook's, which takes no bytes
        sys.stdout.buffer.flush()
    made.sides = [path if there else None for path, there in zip(names, made.there, strict=True)]
    paths.clear([path for path in made.sides if path is not None])
