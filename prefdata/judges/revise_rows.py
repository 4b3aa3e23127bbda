"""What is written of a revised answer: pairs, answers to be imitated, lists, and every step.

Every revision is stated as one annotation by the reviser: which text it prefers, by which principle (`aspect`), with the critique as its
reasons and the key of the request that gave the revision.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

import polars as pl

from prefdata.judges.revise_plan import Prompt, Revised, Reviser, Step
from prefdata.judges.statement import Row
from prefdata.options import Kind
from prefdata.schema.dtypes import in_order, schema
from prefdata.schema.ids import completion_id
from prefdata.schema.records import Message

Emit = Literal["pairs", "sft", "steps"]
KIND: dict[Emit, Kind] = {"pairs": "pair", "sft": "binary", "steps": "listwise"}
KEPT = ("prompt", "tools", "source", "split")
"""What a record takes over from its input."""
UNUSABLE = {
    "several-turns": "the draft is more than one turn, or calls tools",
    "no-answer": "the list has no candidate, or more than one: which one is the draft?",
}


def prompt_of(row: Row, draft: str) -> Prompt | str:
    """The prompt of a record with its draft, or why there is none (a key of UNUSABLE)."""
    prompt = Prompt(row["id"], row["prompt"], row.get("tools"))
    if draft == "generate":
        return prompt
    if "completions" in row:
        if len(row["completions"]) != 1:
            return "no-answer"
        turns = row["completions"][0]["messages"]
    else:
        turns = row[draft]
    if len(turns) != 1 or turns[0].get("tool_calls"):
        return "several-turns"
    return Prompt(prompt.id, prompt.turns, prompt.tools, turns[0]["content"])


def rows_of(emit: Emit, row: Row, revised: Revised, by: Reviser) -> list[Row]:
    """The records of one input row, without ids; [] when no revision is one."""
    good = revised.good
    if not good:
        return []
    kept = {name: row.get(name) for name in KEPT}
    if emit == "sft":
        return [
            {**kept, "completion": _turns(text(s)), "label": True, "meta": _meta(row, by, [s]), "annotations": [_stated(s, by, [])]}
            for s in good
        ]
    kept["meta"] = _meta(row, by, good)
    if emit == "pairs":
        stated = [_stated(s, by, ["chosen", "rejected"], "first") for s in good]
        return [{**kept, "chosen": _turns(text(good[-1])), "rejected": _turns(revised.draft), "annotations": stated}]
    texts = [revised.draft, *map(text, good)]
    ids = [completion_id([Message(role="assistant", content=t)]) for t in texts]
    models = [by.model if revised.drafted else None, *[by.model] * len(good)]
    completions = [
        {"id": i, "messages": _turns(t), "model": m, "score": None, "rank": float(len(texts) - n)}
        for n, (i, t, m) in enumerate(zip(ids, texts, models, strict=True))
    ]
    stated = [_stated(s, by, [ids[n], ids[n - 1]], "first") for n, s in enumerate(good, 1)]
    return [{**kept, "completions": completions, "annotations": stated}]


def text(step: Step) -> str:
    """The revision of a step that has one."""
    assert step.revision is not None
    return step.revision.text


def frame(rows: Sequence[Row], emit: Emit, columns: dict[str, pl.DataType]) -> pl.DataFrame:
    """Records as a frame without ids. `columns` are the input's: turns are of their type, and what they lack is left out."""
    full = schema(KIND[emit])
    own = {"pairs": ["chosen", "rejected"], "sft": ["completion", "label"], "steps": ["completions"]}[emit]
    names = in_order([*(c for c in KEPT if c in columns), *own, "meta", "annotations"])
    turns = columns["prompt"]
    types = {c: turns if c in ("prompt", "chosen", "rejected", "completion") else full[c] for c in names}
    if "completions" in types:
        fields = {f.name: f.dtype for f in full["completions"].inner.fields}  # type: ignore[attr-defined]
        types["completions"] = pl.List(pl.Struct({**fields, "messages": turns}))
    return pl.DataFrame([{c: r.get(c) for c in names} for r in rows], schema=types, strict=True)


def steps_of(prompt: Prompt, revised: Revised) -> list[dict[str, Any]]:
    """The draft (round 0) and every round, good or not, as lines of the steps file."""
    outcome = revised.why or ("drafted" if revised.drafted else "given")
    out: list[dict[str, Any]] = [
        {"id": prompt.id, "round": 0, "outcome": outcome, "prompt": prompt.messages(), "draft": revised.draft, "requests": revised.drafted}
    ]
    for s in revised.steps:
        revision = s.revision
        out.append(
            {
                "id": prompt.id,
                "round": s.round,
                "principle": s.pair,
                "outcome": s.outcome,
                "critique": s.critique.text,
                "revision": revision.text if revision else None,
                "requests": [*s.critique.requests, *(revision.requests if revision else ())],
            }
        )
    return out


def _turns(content: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": content}]


def _stated(step: Step, by: Reviser, completions: list[str], outcome: str | None = None) -> dict[str, Any]:
    assert step.revision is not None
    return {
        "annotator": by.annotator,
        "kind": "judge",
        "completions": completions,
        "aspect": step.pair,
        "outcome": outcome,
        "rationale": step.critique.text,
        "request": step.revision.requests[-1],
    }


def _meta(row: Row, by: Reviser, steps: Sequence[Step]) -> str:
    """The input's meta with what the revision went by; a meta that is no object is kept under `meta`."""
    given = json.loads(row["meta"]) if row.get("meta") else {}
    found = given if isinstance(given, dict) else {"meta": given}
    c = by.constitution
    found["revise"] = {"constitution": f"{c.name}-v{c.version}", "principles": [s.pair for s in steps], "rounds": [s.round for s in steps]}
    return json.dumps(found, ensure_ascii=False)
