"""What stands beside the data: shell commands and YAML settings, with every path quoted."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from prefdata.exporters.target import Written


def files(w: Written, *splits: str) -> list[str]:
    """The files of the first of these splits that has any, as a trainer names them."""
    for split in splits:
        found = [os.path.join(w.out, p.path) for p in w.parts if p.split == split]
        if found:
            return found
    return []


def train_files(w: Written) -> list[str]:
    """The training files; where no split is called train, the files of the first split."""
    return files(w, "train") or files(w, *[p.split for p in w.parts])


def test_files(w: Written) -> list[str]:
    """The files for evaluation, none if there is no such split."""
    return files(w, "test", "validation", "eval", "dev")


def train_file(w: Written) -> str:
    """The training file of a target that writes one file per split; a name even where there are no rows at all."""
    return next(iter(train_files(w)), os.path.join(w.out, "train.jsonl"))


def test_file(w: Written) -> str | None:
    """The file for evaluation of a target that writes one file per split."""
    return next(iter(test_files(w)), None)


def sh(program: str, *words: str, note: str = "") -> str:
    """A script of one command: the program as it stands, then quoted words, an option and its value on one line."""
    comment = "".join(f"# {line}\n" for line in note.splitlines())
    lines = [program]
    for last, word in zip(("", *words), words, strict=False):
        if last.startswith("-") and not word.startswith("-"):
            lines[-1] += " " + shlex.quote(word)
        else:
            lines.append(shlex.quote(word))
    return "#!/bin/sh\n" + comment + " \\\n  ".join(lines) + "\n"


def yml(settings: Mapping[str, Any], note: str = "") -> str:
    """Settings as YAML below a comment."""
    comment = "".join(f"# {line}\n" for line in note.splitlines())
    return comment + yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True, width=1000)
