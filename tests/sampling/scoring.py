"""What the tests of score share: lists of candidates, and models that are made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import prefdata
from prefdata.sampling.score_result import ScoreResult
from prefdata.schema.ids import completion_id
from prefdata.schema.records import KINDS, Message
from tests.judges.labelling import Row, made, store, turns

WORDS = ["good", "bad", "dog", "cat", "it is", "because of the", "why", "fox"]


def lists(n: int, most: int = 5, seed: int = 0, **more: Any) -> list[Row]:
    """Lists of 1 to `most` candidates of 1 to 25 words by two models."""
    rng = np.random.default_rng(seed)
    return [listwise(i, [" ".join(rng.choice(WORDS, rng.integers(1, 25))) for _ in range(1 + i % most)], **more) for i in range(n)]


def listwise(n: int, texts: list[str], **more: Any) -> Row:
    completions = []
    for i, text in enumerate(texts):
        messages = turns(f"{text} {i}")
        id_ = completion_id([Message(**m) for m in messages])
        completions.append({"id": id_, "messages": messages, "model": f"model {i % 2}", "score": None, "rank": None})
    return made("listwise", {"prompt": turns(f"why {n}", "user"), "completions": completions, **more})


def score(data: str | list[str], out: Path | str, **options: Any) -> ScoreResult:
    """A run whose books balance."""
    result = prefdata.score(data, str(out), **options)
    assert isinstance(result, ScoreResult)
    c, s = result.counts, result.scores
    assert c["read"] == c["kept"] + sum(c["dropped"].values()) + sum(c["rejected"].values())
    for found in s["scorers"].values():
        assert found["scored"] + sum(found["invalid"].values()) == s["candidates"]
    return result


def rows_of(path: Path | str, kind: str = "listwise") -> list[Row]:
    """The records of an output, each valid."""
    rows = prefdata.read(str(path)).to_dicts()
    for row in rows:
        KINDS[kind].model_validate(json.loads(json.dumps(row)))
    return rows


def about(row: Row, annotator: str, aspect: str | None = None) -> dict[str, Any]:
    """The scores of an annotator by candidate."""
    said = [a for a in row["annotations"] if a["annotator"] == annotator and a["aspect"] == aspect]
    found = {(a["completions"] or [""])[0]: a["score"] for a in said}
    assert len(found) == len(said)
    return found


__all__ = ["Row", "about", "lists", "listwise", "made", "rows_of", "score", "store", "turns"]
