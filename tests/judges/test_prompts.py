"""What can be answered: records of any kind, and files that have nothing but prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from prefdata.errors import UsageError
from prefdata.io.open import opened
from prefdata.judges.prompts import prompts_of

ASK = [{"role": "user", "content": "Why?"}]


def read(*files: Path, kind: str | None = None, limit: int | None = None) -> tuple[str | None, list[dict[str, Any]], list[dict[str, Any]]]:
    """The kind, the rows and the rejects."""
    rows, rejects = [], []
    with opened([str(f) for f in files]) as inputs:
        found = prompts_of(inputs, kind, limit)
        for part, bad in found.parts():
            assert part.df.columns == list(found.columns)
            assert part.counts.read == part.counts.kept + part.counts.rejected.total()
            rows += part.df.to_dicts()
            rejects += [json.loads(line) for line in bad.splitlines()]
    return found.kind, rows, rejects


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows), encoding="utf-8")
    return path


def test_texts_and_turns_are_the_same_prompt(tmp_path: Path) -> None:
    """Also across formats: the id is that of the turns."""
    texts = written(tmp_path / "a.jsonl", [{"prompt": "Why?", "topic": 3}, {"prompt": "And?", "system": "Be kind."}])
    turns = written(tmp_path / "b.jsonl", [{"prompt": ASK}])
    csv = tmp_path / "c.csv"
    csv.write_text('prompt,system,source\nWhy?,,web\n"And?",Be kind.,web\n')
    table = tmp_path / "d.parquet"
    pl.DataFrame({"prompt": ["Why?"]}).write_parquet(table)
    found = [read(f) for f in (texts, turns, csv, table)]
    assert all(kind is None and not rejects for kind, _, rejects in found)
    one, two = found[0][1]
    assert one["prompt"] == ASK
    assert two["prompt"] == [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "And?"}]
    assert [r["id"] for _, rows, _ in found for r in rows] == [one["id"], two["id"], one["id"], one["id"], two["id"], one["id"]]
    assert [r["source"] for r in found[2][1]] == ["web", "web"]


def test_every_row_is_accounted_for(tmp_path: Path) -> None:
    rows = ["{", {"prompt": 3}, {"prompt": None}, {"prompt": " "}, {"prompt": "Why?"}, {"prompt": "?", "split": "late"}]
    good = [{"prompt": f"{i}"} for i in range(250)]  # more than the rows that columns are told by
    kind, found, rejects = read(written(tmp_path / "a.jsonl", [*good, *rows]))
    assert (kind, len(found)) == (None, 251)
    assert [(r["line"], r["code"]) for r in rejects] == [
        (251, "bad-json"),
        (252, "wrong-type"),
        (253, "missing-field"),
        (254, "PD105"),
        (256, "late-field"),
    ]


def test_wrong_roles(tmp_path: Path) -> None:
    said = [*ASK, {"role": "assistant", "content": "So."}]
    _, found, rejects = read(written(tmp_path / "a.jsonl", [{"prompt": ASK}, {"prompt": said}]))
    assert (len(found), [r["code"] for r in rejects]) == (1, ["PD103"])


def test_limits(tmp_path: Path) -> None:
    files = [written(tmp_path / f"{n}.jsonl", [{"prompt": f"{n}{i}"} for i in range(3)]) for n in "ab"]
    assert [r["prompt"][0]["content"] for r in read(*files, limit=4)[1]] == ["a0", "a1", "a2", "b0"]


def test_records_keep_their_kind(tmp_path: Path) -> None:
    answer = [{"role": "assistant", "content": "So."}]
    file = written(tmp_path / "a.jsonl", [{"prompt": ASK, "completion": answer, "label": True}])
    kind, rows, _ = read(file)
    assert (kind, rows[0]["completion"]) == ("binary", answer)


def test_what_is_neither(tmp_path: Path) -> None:
    prompts = written(tmp_path / "p.jsonl", [{"prompt": "Why?"}])
    other = written(tmp_path / "o.jsonl", [{"text": "Why?"}])
    pairs = written(tmp_path / "r.jsonl", [{"prompt": ASK, "completion": ASK, "label": True}])
    with pytest.raises(UsageError, match="neither records nor a column"):
        read(other)
    with pytest.raises(UsageError, match="take them one by one"):
        read(prompts, pairs)
