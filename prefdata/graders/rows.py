"""What graders see of a record and one of its answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from prefdata.graders.graded import Row


def row_of(record: Mapping[str, Any], answer: Sequence[Mapping[str, Any]], finish_reason: str | None = None) -> Row:
    """The row of an answer (a list of messages) to a record (a dict of its fields, as prefdata's files have them).

    `item` has the keys of the record's meta and its fields; a field of the record wins where both have one. `item.meta` is the parsed meta,
    and `item.prompt_text` the last user message. `sample` is built as the chat completions API would give it: `output_text` is the last
    assistant message, `output_tools` the tool calls of all of them, `output_json` the parsed text where it is JSON.
    """
    meta = parsed(record.get("meta"))
    meta = {} if meta is None else meta
    users = [m.get("content") for m in record.get("prompt") or () if m.get("role") == "user"]
    item = {**(meta if isinstance(meta, dict) else {}), **{k: v for k, v in record.items() if v is not None}, "meta": meta}
    item["tools"] = parsed(record.get("tools"))
    if users:
        item.setdefault("prompt_text", users[-1])
    return {"item": item, "sample": sample_of(answer, finish_reason)}


def sample_of(answer: Sequence[Mapping[str, Any]], finish_reason: str | None = None) -> dict[str, Any]:
    turns = [m for m in answer if m.get("role") == "assistant"]
    text = next((str(m["content"]) for m in reversed(turns) if m.get("content")), "")
    calls = [dict(c) for m in turns for c in m.get("tool_calls") or ()]
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = calls
    out: dict[str, Any] = {"output_text": text, "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]}
    if calls:
        out["output_tools"] = calls
    found = parsed(text)
    if found is not None:
        out["output_json"] = found
    return out


def parsed(text: Any) -> Any:
    """The value of a JSON text, None when it is none."""
    if not isinstance(text, str):
        return None
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
