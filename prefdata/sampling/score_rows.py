"""Records with their scores, as frames: annotations appended, and the number that was decided on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from prefdata.judges.frames import Annotations, annotated
from prefdata.rewards.combine import Floats
from prefdata.sampling.score_said import Dict, Said, annotation, names, noted
from prefdata.sampling.score_scorers import Scorer
from prefdata.schema.dtypes import in_order
from prefdata.schema.ids import relist

Statements = list[list[list[Said]]]
"""Of one scorer: by record, by candidate."""


class Tally:
    """What a run has counted: by scorer numbers and failures, and the decisions."""

    def __init__(self, scorers: Sequence[Scorer]) -> None:
        self.scored = Counter[str]({s.name: 0 for s in scorers})
        self.failed: dict[str, Counter[str]] = {s.name: Counter() for s in scorers}
        self.candidates = self.decided = 0

    def add(self, scorer: Scorer, said: Sequence[Said]) -> None:
        if any(s.score is not None for s in said):
            self.scored[scorer.name] += 1
        else:
            self.failed[scorer.name][code_of(said[0].why if said else None)] += 1

    def decisions(self, values: Floats) -> None:
        self.candidates += len(values)
        self.decided += int((~np.isnan(values)).sum())

    def as_dict(self) -> dict[str, Any]:
        scorers = {name: {"scored": n, "invalid": dict(sorted(self.failed[name].items()))} for name, n in self.scored.items()}
        return {"candidates": self.candidates, "decided": self.decided, "scorers": scorers}


def code_of(why: str | None) -> str:
    """A reason without its details (`no-reply: time-out` keeps both words, which are codes)."""
    if not why:
        return "not-scored"
    code, colon, rest = why.partition(":")
    return f"no-reply:{rest.strip()}" if code == "no-reply" and colon else code


def new_annotations(
    rows: Sequence[Dict], kind: str, scorers: Sequence[Scorer], said: Sequence[Statements], together: str | None, how: str, numbers: Any
) -> list[list[Dict]]:
    """By record: first the scores that it had without anybody's name, then those of each scorer, then what they say together. `numbers` are
    the decisions and their spreads, candidate by candidate."""
    out = []
    at = 0
    for i, row in enumerate(rows):
        new = earlier(row, kind)
        for k, about in enumerate(names(row, kind)):
            for scorer, statements in zip(scorers, said, strict=True):
                new += noted(statements[i][k], scorer.name, scorer.kind, about)
            if together is not None:
                value, spread = numbers.value[at], numbers.spread[at]
                plain = {"annotator": together, "kind": "rule" if together == "ensemble" else "reward_model", "completions": about}
                if np.isnan(value):
                    new.append(annotation(**plain, outcome="invalid", rationale="a scorer has no number"))
                else:
                    new.append(annotation(**plain, score=float(value), rationale=how))
                    new.append(annotation(**plain, aspect="disagreement", score=float(spread)))
            at += 1
        out.append(new)
    return out


def earlier(row: Dict, kind: str) -> list[Dict]:
    """Scores of candidates that no annotation has: they are about to be replaced, and would be lost."""
    if kind == "pair":
        return []
    scores = [row.get("score")] if kind == "binary" else [c["score"] for c in row["completions"]]
    known = {(tuple(a["completions"]), a["score"]) for a in row.get("annotations") or ()}
    out = []
    for score, about in zip(scores, names(row, kind), strict=True):
        if score is not None and (tuple(about), score) not in known:
            out.append(annotation(annotator=row.get("source") or "source", kind="source", completions=about, score=score))
    return out


def scored(df: pl.DataFrame, kind: str, new: Sequence[Sequence[Dict]], values: Floats) -> pl.DataFrame:
    """The records of a shard with their new annotations and decisions."""
    column = Annotations()
    for some in new:
        column.add(some)
    df = annotated(df, column.series())
    if kind == "pair":
        return df
    score = pl.Series("score", values, dtype=pl.Float64, nan_to_null=True)
    if kind == "binary":
        return df.with_columns(score).select(in_order([*df.columns, *(() if "score" in df.columns else ("score",))]))
    flat = df["completions"].list.explode(keep_nulls=False, empty_as_null=False).struct.unnest()
    return df.with_columns(relist(flat.with_columns(score).to_struct("c"), df["completions"].list.len()).alias("completions"))
