"""Records to label, and judges that know the truth about them: the quality of an answer stands in its text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

import prefdata
from prefdata.judges.result import LabelResult
from prefdata.llm.mock_judges import Opinion, Piece, write
from prefdata.llm.mock_prompt import Asked
from prefdata.schema.ids import completion_id, record_id
from prefdata.schema.records import KINDS, Message

Row = dict[str, Any]


def turns(text: str, role: str = "assistant") -> list[Row]:
    return [{"role": role, "content": text}]


def answer(quality: int, name: str = "") -> str:
    """A text whose quality the truthful judges see; more of it means nothing."""
    return f"quality {quality} {name}".strip()


def made(kind: str, row: Row) -> Row:
    """The record with its content id."""
    record = KINDS[kind].model_validate({"id": "0" * 32, **row})
    return {"id": record_id(record), **row}


def pair(n: int, chosen: int, rejected: int, **more: Any) -> Row:
    return made(
        "pair",
        {"prompt": turns(f"question {n}", "user"), "chosen": turns(answer(chosen, "c")), "rejected": turns(answer(rejected, "r")), **more},
    )


def listwise(n: int, qualities: Sequence[int], scores: Sequence[float | None] | None = None) -> Row:
    completions = []
    for i, q in enumerate(qualities):
        messages = turns(answer(q, f"candidate {i}"))
        score = scores[i] if scores else None
        completions.append(
            {"id": completion_id([Message(**m) for m in messages]), "messages": messages, "model": None, "score": score, "rank": None}
        )
    return made("listwise", {"prompt": turns(f"question {n}", "user"), "completions": completions})


def binary(n: int, quality: int) -> Row:
    return made("binary", {"prompt": turns(f"question {n}", "user"), "completion": turns(answer(quality)), "label": quality > 2})


def store(path: Path, rows: Sequence[Row]) -> str:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


def qualities(asked: Asked) -> list[int]:
    return [int(m[1]) if (m := re.search(r"quality (\d+)", t)) else 0 for t in asked.texts]


def truthful(asked: Asked) -> list[Piece]:
    """Log-odds of 1 for each point of quality, and scores near the quality."""
    found = qualities(asked)
    low, high = asked.scale
    return write(asked, Opinion([float(q) for q in found], [(q - low) / (high - low) for q in found]), "By its quality.")


def words(text: Callable[[Asked], str]) -> Callable[[Asked], list[Piece]]:
    """A judge that says something without log-probs of its own."""
    return lambda asked: [Piece(text(asked))]


def run(data: str | list[str], out: Path | str, url: str, **options: Any) -> LabelResult:
    given = {"model": "mock", "base_url": url, "judge": "pairwise", **options}
    result = prefdata.label(data, str(out), **given)
    assert isinstance(result, LabelResult)
    c = result.counts
    assert c["read"] == c["kept"] + sum(c["dropped"].values()) + sum(c["rejected"].values())
    return result


def rows_of(path: Path | str) -> list[Row]:
    """The records of an output, read by the reader of the package."""
    return prefdata.read(str(path)).to_dicts()


def lines_of(path: str | None) -> list[Row]:
    assert path is not None
    return pl.read_ndjson(path, infer_schema_length=None).to_dicts()
