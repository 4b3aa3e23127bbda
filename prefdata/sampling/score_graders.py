"""Graders as scorers. What they compute here is kept in the journal like a model's numbers: a grader may be slow."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import orjson

from prefdata.graders.graded import Graded
from prefdata.graders.run import grade_rows, load_grader, plan_of, row_of
from prefdata.io.journal import Journal, Stored, Usage
from prefdata.llm.endpoints import Pool, authorization, pool_of
from prefdata.llm.plan import Plan
from prefdata.llm.request import OK
from prefdata.llm.stored import answered
from prefdata.sampling.score_local import Tell
from prefdata.sampling.score_options import ScoreOptions
from prefdata.sampling.score_said import NO_REPLY, Dict, Said, candidates

POOL = "grader"
PASSING = ("time-out", "out-of-memory", "exited", "not-asked")
"""Failures that may pass: they are not kept, and graded again by the next run."""
VERSION = 1


class GraderScorer:
    """A grader. The parts of a multi grader are aspects; its formula is the score."""

    kind = "rule"
    aspects: tuple[str, ...] | None = None

    def __init__(self, path: str, o: ScoreOptions, kind: str, pools: dict[str, Pool]) -> None:
        self._grader = load_grader(path, allow_code=o.allow_code)
        self.name, self._o, self._kind = self._grader.annotator, o, kind
        self._key = orjson.dumps([VERSION, self._grader.described()], option=orjson.OPT_SORT_KEYS)
        self.failing: dict[bytes, str] = {}
        if self._grader.asks:
            pools[POOL] = pool_of(o)
            if not (o.offline or o.dry_run):
                authorization(pools[POOL])

    def described(self) -> dict[str, Any]:
        return {**self._grader.described(), "name": self.name, "model": self._o.model if self._grader.asks else None}

    def plans(self, row: Dict) -> list[Plan[Any]]:
        return [self._plan(r) for r in self._rows(row)] if self._grader.asks else []

    def _plan(self, row: Dict) -> Plan[dict[str, Graded]]:
        return plan_of(self._grader, row, model=self._o.model, pool=POOL)

    def _rows(self, row: Dict) -> list[Dict]:
        """What the grader sees of each candidate: not the other candidates, and nothing that was said of them."""
        ends = {tuple(a["completions"]): a["rationale"] for a in row.get("annotations") or () if a["aspect"] == "finish_reason"}
        ids = [[c["id"]] for c in row["completions"]] if self._kind == "listwise" else [[n] for n in ("chosen", "rejected")]
        record = {k: v for k, v in row.items() if k not in ("annotations", "completions", "chosen", "rejected")}
        about = [ends.get(tuple(i)) for i in ids] if self._kind != "binary" else [ends.get(())]
        return [row_of(record, answer, end) for answer, end in zip(candidates(row, self._kind), about, strict=True)]

    def _keyed(self, rows: Sequence[Dict], journal: Journal) -> tuple[list[Dict], list[dict[str, Graded] | None], list[bytes]]:
        """The graders' rows, what models said of them (None: a reply is missing), and their keys."""
        flat = [r for row in rows for r in self._rows(row)]
        said: list[dict[str, Graded] | None] = []
        for r in flat:
            found = answered(self._plan(r), journal) if self._grader.asks else {}
            said.append(found if isinstance(found, dict) else None)
        keys = []
        for r, s in zip(flat, said, strict=True):
            told = {k: [v.score, v.why] for k, v in (s or {}).items()}
            text = orjson.dumps([r, told], option=orjson.OPT_SORT_KEYS, default=str)
            keys.append(hashlib.sha256(b"grade\n" + self._key + b"\n" + text).digest())
        return flat, said, keys

    def fillers(self) -> Sequence[GraderScorer]:
        return (self,)

    def fill(self, rows: Sequence[Dict], journal: Journal, tell: Tell | None = None) -> None:
        """Grade what the journal has not."""
        flat, said, keys = self._keyed(rows, journal)
        wanted = {k: i for i, (k, s, f) in enumerate(zip(keys, said, journal.find(keys), strict=True)) if f is None and s is not None}
        if not wanted:
            return
        places = list(wanted.values())
        graded = grade_rows(self._grader, [flat[i] for i in places], [said[i] or {} for i in places] if self._grader.asks else None)
        for key, g in zip(wanted, graded, strict=True):
            if g.score is None and (g.why or "").startswith(PASSING):
                self.failing[key] = g.why or ""
            else:
                journal.put(key, Stored(OK, orjson.dumps([g.score, g.why, dict(g.parts)])), Usage(), _raise)
        if tell is not None:
            tell(len(places))

    def release(self) -> None:
        """Nothing is held."""

    def said(self, rows: Sequence[Dict], journal: Journal) -> list[list[list[Said]]]:
        _, said, keys = self._keyed(rows, journal)
        found = iter([self._one(k, s, f) for k, s, f in zip(keys, said, journal.find(keys), strict=True)])
        return [[[next(found)] for _ in candidates(row, self._kind)] for row in rows]

    def _one(self, key: bytes, said: dict[str, Graded] | None, found: Stored | None) -> Said:
        if said is None:
            return Said(why=NO_REPLY)
        if found is None:
            return Said(why=self.failing.get(key, "not-scored"))
        score, why, parts = orjson.loads(found.raw)
        return Said(score, parts, why if score is None else None)


def _raise(error: BaseException | None) -> None:
    if error is not None:
        raise error
