"""Where the paths of a recipe are: what an earlier step wrote lies in the output folder, all else beside the recipe (or, if the command
line said it, in the working folder)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

PREFIXES = ("rm:", "hf:")
"""Of options that take a folder among other things, as --judge rm:FOLDER."""


def shown(path: str) -> str:
    """As short as it is unambiguous: manifests and messages have it."""
    near = os.path.relpath(path)
    return path if near.startswith(f"..{os.sep}..") else near


def made_by(name: str, outputs: Sequence[str]) -> bool:
    """Whether a path is an earlier step's output, lies in it, or beside it (OUT.dropped.jsonl)."""
    clean = os.path.normpath(name)
    return any(clean == o or clean.startswith((f"{o}{os.sep}", f"{o}.")) for o in map(os.path.normpath, outputs))


def placed(value: Any, *, outputs: Sequence[str], out: str, base: str, must: bool) -> Any:
    """A path, or paths, as the command gets them. `must`: it is a path in any case; otherwise only if something is there, or an earlier
    step makes it, and else it is a name (a shipped judge, a model on a server)."""
    if isinstance(value, list):
        return [placed(v, outputs=outputs, out=out, base=base, must=must) for v in value]
    if not isinstance(value, str) or not value or os.path.isabs(value):
        return value
    for prefix in PREFIXES:
        if value.startswith(prefix):
            return prefix + placed(value[len(prefix) :], outputs=outputs, out=out, base=base, must=True)
    if made_by(value, outputs):
        return shown(os.path.join(out, os.path.normpath(value)))
    beside = os.path.join(base, value)
    return shown(beside) if must or os.path.exists(beside) else value
