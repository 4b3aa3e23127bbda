"""Entries for a file in which a trainer looks up its data sets: merged into it, never over the other entries."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import orjson

from prefdata.errors import UsageError
from prefdata.io.write import replacing


def read(path: str) -> dict[str, Any]:
    """The entries that a file has; none if there is no file. Raises UsageError for a file that is no JSON object."""
    if not os.path.exists(path):
        return {}
    try:
        with open(path, "rb") as f:
            found = orjson.loads(f.read())
    except (OSError, orjson.JSONDecodeError) as e:
        raise UsageError(f"--register: {path} cannot be read as JSON ({e}); it stays as it is") from None
    if not isinstance(found, dict):
        raise UsageError(f"--register: {path} must hold one JSON object of data sets; it stays as it is")
    return found


def merge(path: str, out: str, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Put entries into a file; their `file_name` is said relative to it. Entries of the same name are replaced, all others stay."""
    home = os.path.dirname(os.path.abspath(path))
    found = read(path)
    for name, entry in entries.items():
        found[name] = {**entry, "file_name": os.path.relpath(os.path.join(os.path.abspath(out), entry["file_name"]), home)}
    with replacing(path) as temporary, open(temporary, "wb") as f:
        f.write(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
