"""Answers as JSON by a schema, for servers that offer structured output."""

from __future__ import annotations

from typing import Any

import orjson

from prefdata.judges.judge import Judge

Schema = dict[str, Any]


def response_format(judge: Judge, n: int) -> Schema:
    """The `response_format` of a request about `n` answers (of a checklist: under `n` criteria).

    The rationale stands before the verdict: tokens are written in the order of the schema, and reasons that come after a verdict defend
    it. Numbers are lists of values, which every server knows, unlike bounds.
    """
    properties: Schema = {"rationale": {"type": "string"}} if judge.reasoning else {}
    properties |= _verdict(judge, n)
    return {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": _object(properties)}}


def _verdict(judge: Judge, n: int) -> Schema:
    number: Schema = {"type": "integer", "enum": list(range(judge.scale[0], judge.scale[1] + 1))}
    if judge.ask == "compare":
        return {"verdict": {"type": "string", "enum": ["A", "B", "tie"]}}
    if judge.ask == "score":
        return {"score": number}
    if judge.ask == "aspects":
        aspect = {"type": ["integer", "null"], "enum": [*number["enum"], None]}
        return {"scores": _object({a.name: aspect for a in judge.aspects})}
    if judge.ask == "checklist":
        return {"scores": _object({str(i + 1): {"type": "string", "enum": ["yes", "no"]} for i in range(n)})}
    level = {"type": "array", "items": {"type": "integer", "enum": list(range(1, n + 1))}}
    return {"ranking": {"type": "array", "items": level}}


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def instruction(judge: Judge, n: int) -> str:
    """What is added to the prompt: its last line asks for another form."""
    shape: Schema = {"rationale": "..."} if judge.reasoning else {}
    if judge.ask == "compare":
        shape["verdict"] = "A, B or tie"
    elif judge.ask == "score":
        shape["score"] = judge.scale[0]
    elif judge.ask == "aspects":
        shape["scores"] = {a.name: judge.scale[0] for a in judge.aspects}
    elif judge.ask == "checklist":
        shape["scores"] = {str(i + 1): "yes or no" for i in range(n)}
    else:
        shape["ranking"] = [[i + 1] for i in range(n)]
    rank = " The ranking is a list of levels, best first; equally good answers share a level." if judge.ask == "rank" else ""
    return f"\n\nGive the verdict as one JSON object and nothing else, in this form: {orjson.dumps(shape).decode()}{rank}"
