"""What of a recipe is done: `recipe.json` in the output folder, written after every step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from prefdata.io.held import held
from prefdata.io.write import replacing
from prefdata.recipe.content import Contents

FILE = "recipe.json"


class State:
    """`done`: by name of a step the key of its work, the hash of its output, its exit code and what it said. `begun`: steps that were
    started and not finished, with the key of their work; they go on when the same is asked for again, unless they have to begin `anew`."""

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, FILE)
        found = _read(self.path)
        self.done: dict[str, dict[str, Any]] = found.get("done", {})
        self.begun: dict[str, dict[str, Any]] = found.get("begun", {})
        self.contents = Contents(found.get("files"))
        self.about: dict[str, Any] = {}

    def save(self) -> None:
        told = {**self.about, "done": self.done, "begun": self.begun, "files": self.contents.known}
        with replacing(self.path) as temporary, open(temporary, "wb") as f:
            f.write(orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))

    def begin(self, name: str, key: str, anew: bool) -> None:
        self.begun[name] = {"key": key, "anew": anew}
        self.done.pop(name, None)
        self.save()

    def finish(self, name: str, **about: Any) -> None:
        self.begun.pop(name, None)
        self.done[name] = about
        self.save()


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as f:
            found = orjson.loads(f.read())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def alone(folder: str) -> Iterator[None]:
    """Raises UsageError when another run works in the folder. The lock dies with its process."""
    with held(os.path.join(folder, ".recipe.lock"), f"{folder}: another 'prefdata run' is working in this folder"):
        yield
