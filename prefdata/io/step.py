"""What steps from files to a file share: outputs that appear whole or not at all with what lies beside them, the manifest that comes last,
and nothing done twice."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import orjson
import polars as pl

from prefdata.errors import UsageError
from prefdata.io import account
from prefdata.io.account import Counts
from prefdata.io.rejects import RejectsFile
from prefdata.io.sniff import Input
from prefdata.io.write import Writer, encode, file_format, replacing
from prefdata.version import __version__

SIDES = ("rejects", "dropped")
"""Files beside an output, `OUT.rejects.jsonl` and so on: rows that could not be used, and records that gave nothing, with the reason."""


def beside(out: str, name: str) -> str:
    """The path of a file or folder beside an output. Beside stdout (-) it is called `prefdata.NAME`, in the working folder."""
    return f"{'prefdata' if out == '-' else out}.{name}"


def side(out: str, name: str) -> str:
    """The path of a side file."""
    return beside(out, f"{name}.jsonl")


def check_paths(out: str, inputs: Sequence[str], also: Sequence[str] = (), sides: Sequence[str] = SIDES) -> str:
    """The format of the output. Raises UsageError where it cannot be written, or where one file would be two things, however spelled.

    `also`: other files that the step writes (a journal).
    """
    form = file_format(out)
    if os.path.isdir(out):
        raise UsageError(f"{out} is a folder; name a file in it")
    if not os.path.isdir(os.path.dirname(out) or "."):
        raise UsageError(f"{out}: there is no folder {os.path.dirname(out)}; make it first")
    taken = {os.path.realpath(i): f"the input {i}" for i in inputs}
    written = [(f"the file of {name}", side(out, name)) for name in sides] + [("the file beside it", path) for path in also]
    if out != "-":
        written += [("the output", out), ("the manifest", account.manifest_path(out))]
    for what, path in written:
        other = taken.setdefault(os.path.realpath(path), what)
        if other != what:
            raise UsageError(f"{path} is both {other} and {what}")
    return form


class Written:
    """The output as it grows; made by `writing`. Shards are added in order."""

    def __init__(self, out: str, form: str, writer: Writer | None, sides: dict[str, RejectsFile]) -> None:
        self.out, self.counts = out, Counts()
        self.sides: dict[str, str] = {}
        """The side files that have lines, by name."""
        self._form, self._writer, self._files = form, writer, sides

    def add(self, df: pl.DataFrame, counts: Counts, **sides: bytes) -> None:
        """Records, their books, and lines for side files by name (`rejects=`, `dropped=`)."""
        encoded = encode(df, self._form)
        if self._writer is not None:
            self._writer.append(encoded)
        else:
            sys.stdout.buffer.write(encoded)
        self.counts.add(counts)
        for name, lines in sides.items():
            self._files[name].write(lines)
            if lines:
                self.sides[name] = side(self.out, name)

    @property
    def sha256(self) -> str | None:
        """Of the output, when it is closed; None for stdout."""
        return None if self._writer is None else self._writer.sha256


@contextmanager
def writing(out: str, form: str, empty: pl.DataFrame, sides: Sequence[str] = SIDES) -> Iterator[Written]:
    """An output with its side files, which appear together when the block ends well and the counts balance. `empty` has the columns.

    The manifest of an earlier run goes when the new output comes, side files that are not written again are removed.
    """
    with ExitStack() as stack:
        files = {name: stack.enter_context(RejectsFile(side(out, name))) for name in sides}
        writer = None if out == "-" else Writer(stack.enter_context(replacing(out)), form, encode(empty, form))
        written = Written(out, form, writer, files)
        try:
            yield written
            written.counts.check()
        finally:
            if writer is not None:
                writer.close()
        if out != "-" and os.path.exists(account.manifest_path(out)):
            os.unlink(account.manifest_path(out))
    if out == "-":  # else stdout may be a notebook's, which takes no bytes
        sys.stdout.buffer.flush()
    for name in sides:
        if name not in written.sides and os.path.exists(side(out, name)):
            os.unlink(side(out, name))


def line(row: dict[str, Any]) -> bytes:
    """A line of a side file."""
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


@contextmanager
def described(files: Sequence[Input]) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """A function that gives the inputs as manifests have them, for the end of the block: meanwhile another thread hashes them."""
    with ThreadPoolExecutor(1) as thread:
        hashes = thread.submit(lambda: [account.sha256_of(f.path) for f in files])
        yield lambda: [{"path": f.name, "bytes": f.size, "sha256": h} for f, h in zip(files, hashes.result(), strict=True)]


def manifest(command: str, known: dict[str, Any], inputs: list[dict[str, Any]], written: Written, **more: Any) -> dict[str, Any]:
    """The manifest of an output. `known`: everything that the output depends on besides the inputs (options, seeds, models' hashes).

    The paths of side files stand under their names, unless `more` has something else there.
    """
    return {
        "command": command,
        "version": __version__,
        **known,
        "inputs": inputs,
        "output": {"path": os.path.basename(written.out), "bytes": os.path.getsize(written.out), "sha256": written.sha256},
        "counts": written.counts.as_dict(),
        "records": written.counts.records,
        **{name: written.sides.get(name) for name in written._files},
        **more,
    }


def up_to_date(
    out: str, command: str, known: dict[str, Any], files: Sequence[Input], sides: Sequence[str] = SIDES
) -> dict[str, Any] | None:
    """The manifest, if it was written for the same work on the same bytes, nothing is missing, and the output is as it was.

    `sides`: where the manifest has the paths of side files.
    """
    found = account.read_manifest(out) if out != "-" else None
    if found is None or found.get("command") != command or found.get("version") != __version__:
        return None
    if any(found.get(k) != v for k, v in orjson.loads(orjson.dumps(known)).items()):
        return None
    if [(i["path"], i["bytes"]) for i in found["inputs"]] != [(f.name, f.size) for f in files]:
        return None
    if found["output"]["sha256"] != account.sha256_of(out):
        return None
    if [i["sha256"] for i in found["inputs"]] != [account.sha256_of(f.path) for f in files]:
        return None
    return None if any(found.get(n) and not os.path.exists(found[n]) for n in sides) else found


def folder_hash(folder: str) -> str:
    """SHA-256 over the files of a model's folder, for manifests and journals: another model is another answer."""
    import hashlib

    digest = hashlib.sha256()
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and not name.endswith((".manifest.json", ".jsonl", ".md")):
            digest.update(f"{name} {account.sha256_of(path)}\n".encode())
    return digest.hexdigest()
