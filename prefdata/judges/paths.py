"""The files of a run: the output and what lies beside it. No file is written over another one of the same run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from prefdata.errors import UsageError
from prefdata.io import account


class Paths(NamedTuple):
    """Where everything goes. Beside stdout (-) the other files are called `prefdata.*`, in the working folder."""

    out: str
    rejects: str
    undecided: str
    disagreements: str
    journal: str
    batch: str

    @staticmethod
    def of(out: str, journal: str | None) -> Paths:
        base = "prefdata" if out == "-" else out
        rejects, undecided, disagreements = (f"{base}.{name}.jsonl" for name in ("rejects", "undecided", "disagreements"))
        return Paths(out, rejects, undecided, disagreements, journal or f"{base}.journal", f"{base}.batch")

    def check(self, inputs: Sequence[str]) -> None:
        """Raise UsageError where one file would be two things, however it is spelled."""
        if os.path.isdir(self.out):
            raise UsageError(f"{self.out} is a folder; name a file in it")
        if not os.path.isdir(os.path.dirname(self.out) or "."):
            raise UsageError(f"{self.out}: there is no folder {os.path.dirname(self.out)}; make it first")
        taken = {os.path.realpath(i): f"the input {i}" for i in inputs}
        written = {
            "the rejects file": self.rejects,
            "the file of the undecided": self.undecided,
            "the file of disagreements": self.disagreements,
            "the journal": self.journal,
        }
        if self.out != "-":
            written |= {"the output": self.out, "the manifest": account.manifest_path(self.out)}
        for what, path in written.items():
            other = taken.setdefault(os.path.realpath(path), what)
            if other != what:
                raise UsageError(f"{path} is both {other} and {what}")

    def clear(self, written: Sequence[str]) -> None:
        """Remove side files of an earlier run."""
        for path in (self.rejects, self.undecided, self.disagreements):
            if path not in written and os.path.exists(path):
                os.unlink(path)
