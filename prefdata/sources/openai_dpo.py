"""OpenAI and Azure OpenAI preference files (https://platform.openai.com/docs/guides/direct-preference-optimization):
`input.messages` (+ `tools`), `preferred_output`, `non_preferred_output`.

Tool definitions (a list, or a JSON text of one) become the text in `tools`. Tool fields are written if the first rows have any, or with
--tools; elsewhere a row that has some is rejected. Content that is null or absent in a turn that calls tools is an empty text, as that
format means it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import orjson
import polars as pl

from prefdata.io.columns import TEXT, TOOL_FIELDS, Misfit, fit
from prefdata.io.probe import Probe
from prefdata.schema.dtypes import TOOL_TURNS, TURNS
from prefdata.sources.source import Choices, Defect, Source

URL = "https://platform.openai.com/docs/guides/direct-preference-optimization"
NO_TOOLS: tuple[Any, ...] = (None, [], "", "[]")
OUTPUTS = {"chosen": "preferred_output", "rejected": "non_preferred_output"}
KEYS = {"prompt": "input.messages", **OUTPUTS}


def read(df: pl.DataFrame, choices: Choices, tools: bool = False) -> pl.DataFrame:
    """Tool definitions are JSON of any shape, which no column type holds, so rows are walked. These files are small: the service takes
    512 MB."""
    dtype = TOOL_TURNS if tools else TURNS
    schema = {"prompt": dtype, "chosen": dtype, "rejected": dtype, **({"tools": TEXT} if tools else {}), "fate": TEXT, "at": TEXT}
    rows = [_row(orjson.loads(text), dtype, tools) for text in df["json"]]
    return pl.DataFrame({name: [row.get(name) for row in rows] for name in schema}, schema=schema)


def _row(row: dict[str, Any], dtype: pl.DataType, tools: bool) -> dict[str, Any]:
    given = row.get("input")
    if given is not None and not isinstance(given, dict):
        return {"fate": "wrong-type", "at": "input"}
    found = {"prompt": (given or {}).get("messages"), **{name: row.get(key) for name, key in OUTPUTS.items()}}
    missing = [KEYS[name] for name, turns in found.items() if turns is None]
    if missing:
        return {"fate": "missing-field", "at": missing[0]}
    if not tools and has_tools(row):
        return {"fate": "late-tool-calls"}
    try:
        out = {name: fit(_filled(turns), dtype, KEYS[name]) for name, turns in found.items()}
        return {**out, "tools": _definitions((given or {}).get("tools"))}
    except Misfit as e:
        return {"fate": "wrong-type", "at": e.path}


def _turns(value: Any) -> list[dict[str, Any]]:
    return [turn for turn in value if isinstance(turn, dict)] if isinstance(value, list) else []


def has_tools(row: dict[str, Any]) -> bool:
    """Whether a row defines tools, or one of its turns has tool fields."""
    given = row.get("input") if isinstance(row.get("input"), dict) else {}
    turns = [turn for part in (given.get("messages"), *map(row.get, OUTPUTS.values())) for turn in _turns(part)]  # type: ignore[union-attr]
    return given.get("tools") not in NO_TOOLS or any(turn.get(k) is not None for turn in turns for k in TOOL_FIELDS)  # type: ignore[union-attr]


def _filled(turns: Any) -> Any:
    for turn in _turns(turns):
        if turn.get("tool_calls") and turn.get("content") is None:
            turn["content"] = ""
    return turns


def _definitions(tools: Any) -> str | None:
    """Raises Misfit."""
    if tools in NO_TOOLS:
        return None
    try:
        found = orjson.loads(tools) if isinstance(tools, str) else tools
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, list):
        raise Misfit("input.tools", "a list of tools", tools)
    return tools if isinstance(tools, str) else orjson.dumps(tools).decode()


def configure(options: Any, found: Probe, source: Source) -> Source:
    return replace(source, read=partial(read, tools=options.tools or any(map(has_tools, found.rows))))


OPENAI_DPO = Source(
    name="openai-dpo",
    title="OpenAI / Azure OpenAI preference fine-tuning file",
    url=URL,
    licence="as its sources",
    columns={},
    emits="pair",
    read=read,
    configure=configure,
    signature=frozenset({"input", "preferred_output", "non_preferred_output"}),
    defects=(
        Defect("wrong-type", "reject", "messages or an output is no list of turns of texts, or tools is no list", URL),
        Defect("late-tool-calls", "reject", "the row has tools or tool fields, which the first rows have not (use --tools)", URL),
    ),
)
