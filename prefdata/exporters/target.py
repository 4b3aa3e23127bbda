"""What a target is: which records it takes, what it can express, and a function from records to its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import polars as pl

from prefdata.exporters.options import ExportOptions

Feature = Literal["system", "multi-turn", "tools", "answer-turns", "tie", "soft-label", "margin"]
Format = Literal["jsonl", "json", "csv", "parquet"]
Rows = Callable[[pl.DataFrame, ExportOptions], pl.DataFrame]


class Part(NamedTuple):
    """One written file: its path in the output folder, split, rows, bytes and hash."""

    path: str
    split: str
    rows: int
    bytes: int
    sha256: str = ""


class Written(NamedTuple):
    """What stands in the folder when the data is complete: what a target writes its snippets from."""

    folder: str
    """Where the files are now (a temporary folder)."""
    out: str
    """Where they will be."""
    form: str
    parts: list[Part]
    options: ExportOptions


@dataclass(frozen=True)
class Form:
    """One layout of a target."""

    kind: str
    """The kind of record that it takes."""
    rows: Rows
    """Records that it can express to its rows, one for one."""
    what: str
    can: frozenset[Feature] = frozenset()
    """What its rows can say besides one user turn and one answer."""
    file: Format = "jsonl"
    bom: bool = False
    splits: Mapping[str, str] = field(default_factory=dict)
    """Names of the splits in file names, where they are not ours."""
    refuse: Callable[[pl.DataFrame, ExportOptions], pl.Expr] | None = None
    """The code of a reason not to write a row, or null: for limits that only this target has."""


@dataclass(frozen=True)
class Target:
    """One trainer or service. Public docstrings of the target files cite the version of its loader that was read."""

    name: str
    title: str
    url: str
    version: str
    forms: Mapping[str, Form]
    extra: Callable[[Written], Mapping[str, str]] = lambda written: {}
    """Files to write beside the data: the training command, a registration, a template."""
    entries: Callable[[Written], Mapping[str, Mapping[str, Any]]] | None = None
    """Entries for the file in which the trainer looks up data sets (--register)."""
    complain: Callable[[Written], list[str]] = lambda written: []
    """What the service will refuse about the files as a whole (too few rows, too large)."""
    notes: Callable[[Written], list[str]] = lambda written: []
    """What it may do with the rows, without refusing them."""
    part_bytes: int | None = None
    """Largest file that the target takes; more rows go to further files."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """What the target's own skip codes mean."""


REASONS = {
    "system-prompt": "the target has no place for a system text (--system merge puts it in front of the first user text)",
    "multi-turn": "the target takes one user turn, the prompt has several turns",
    "tools": "the target has no place for tool definitions (--tools drop leaves them out)",
    "tool-calls": "the target has no place for tool calls and tool results",
    "answer-turns": "the target takes an answer of one turn, this one has several",
    "tie": "neither answer is preferred (p_chosen is 0.5)",
    "soft-label": "the target has no place for a soft label (--soft harden writes the direction alone)",
}
"""Why a record is not written, for any target."""


def table(**columns: Any) -> dict[str, Any]:
    """Columns by keyword, for `select`."""
    return columns
