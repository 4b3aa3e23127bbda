"""An output folder that appears whole or not at all: written under a temporary name beside the target, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from prefdata.errors import InputError, UsageError
from prefdata.io.held import held
from prefdata.io.write import sync


@contextmanager
def replacing(out: str, force: bool) -> Iterator[str]:
    """A temporary folder that becomes `out` when the block ends well and is removed when it does not. A folder that an export wrote is
    replaced; any other one only with `force`. Raises UsageError and InputError; then `out` is as it was before."""
    out = os.path.normpath(out)
    if os.path.exists(out) and not os.path.isdir(out):
        raise UsageError(f"{out} is a file; name a folder")
    parent, name = os.path.split(os.path.abspath(out))
    work, old = os.path.join(parent, f".{name}.tmp"), os.path.join(parent, f".{name}.old")
    try:
        os.makedirs(parent, exist_ok=True)
        with held(f"{work}.lock", f"{out}: another prefdata is writing this folder"):
            _clear(out, work, old)  # what a killed run left
            if os.path.isdir(out) and os.listdir(out) and not force and not os.path.exists(os.path.join(out, "manifest.json")):
                raise UsageError(f"{out} has files that prefdata did not write; name another folder, or replace it with --force")
            try:
                os.mkdir(work)
                yield work
                sync(work)
                if os.path.exists(out):
                    os.replace(out, old)
                os.replace(work, out)
                sync(parent)
                _clear(out, work, old)
            finally:  # also when an interrupt cut the line above short
                _clear(out, work, old)
    except OSError as e:
        raise InputError(f"{out}: cannot be written ({e.strerror or e}); what was there before is unchanged") from None


def _clear(out: str, work: str, old: str) -> None:
    """Put back what was there before, unless the new folder has taken its place. A folder is never removed under the name `old`: what has
    that name is whole, also after a kill."""
    shutil.rmtree(work, ignore_errors=True)
    if os.path.exists(old):
        os.replace(old, work if os.path.exists(out) else out)
        shutil.rmtree(work, ignore_errors=True)


def write_text(folder: str, path: str, text: str) -> None:
    """A text file in the folder; a path that leads out of it is a bug of the target."""
    full = os.path.realpath(os.path.join(folder, path))
    if not full.startswith(os.path.realpath(folder) + os.sep):
        raise AssertionError(f"{path} leads out of the output folder")
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "w", encoding="utf-8", newline="\n") as f:
        f.write(text)
    sync(full)


def write_json(folder: str, path: str, value: Any) -> None:
    write_text(folder, path, orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())
