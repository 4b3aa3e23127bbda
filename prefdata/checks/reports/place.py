"""Where findings are: for people, as a path that a CI system knows, and as a URI."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from prefdata.checks.reports.clean import one_line

if TYPE_CHECKING:
    from prefdata.checks.result import Finding


def words(f: Finding) -> str:
    """`file:line`; in files without lines the number is the row."""
    name = f"./{f.file}" if f.file.lstrip().startswith("::") else f.file  # such a line would be a command to GitHub's runners
    return one_line(f"{name}:{f.line}" if f.line else name)


def line(f: Finding) -> int | None:
    """The line in the file, for systems that show the file; None where there are rows, or where the whole file is meant."""
    return f.line if f.unit == "line" and f.line > 0 else None


def row(f: Finding) -> str:
    """`row 7: `, where no line says it."""
    return f"row {f.line}: " if f.line and line(f) is None else ""


def message(f: Finding) -> str:
    """What is wrong, and in which field."""
    return one_line(f.message) + (f" [{one_line(f.field, 200)}]" if f.field else "")


def path(name: str) -> str | None:
    """The path from the root of the checkout ($GITHUB_WORKSPACE, else the working folder); absolute outside of it; None for what is no
    file (stdin, data sets of the hub)."""
    if name == "stdin" or name.startswith("hub:"):
        return None
    root = os.environ.get("GITHUB_WORKSPACE") or "."
    for real in (os.path.abspath, os.path.realpath):  # a link in the checkout is shown there, and the checkout may itself be behind one
        inside = os.path.relpath(real(name), real(root))
        if inside.split(os.sep)[0] != os.pardir:
            return Path(inside).as_posix()
    return Path(os.path.abspath(name)).as_posix()


def uri(name: str) -> str:
    """A URI reference, relative where the file is in the checkout."""
    where = path(name)
    if where is None:
        return quote(name, safe="/")
    return f"file://{quote(where)}" if where.startswith("/") else quote(where)
