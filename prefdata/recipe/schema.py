"""`schemas/recipe.json`: what editors check recipes by, made of the option models of the commands."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

from prefdata.recipe.commands import COMMANDS, Command
from prefdata.recipe.read import Head

VARIABLE = {"$ref": "#/$defs/variable"}


def recipe_schema() -> str:
    """The JSON Schema (2020-12) of a recipe, as text. A value may be a text with ${variables} wherever it is something else."""
    known = {n: c for n, c in COMMANDS.items() if find_spec(c.options.partition(":")[0])}
    head = Head.model_json_schema()
    steps = head["properties"]["steps"]
    head["properties"]["steps"] = {**steps, "items": {"oneOf": [_step(name, command) for name, command in known.items()]}}
    models = {_name(c): _with(c) for c in known.values()}
    head = {**head, "title": "prefdata recipe", "$defs": {"variable": {"type": "string", "pattern": r"\$\{"}, **models}}
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **head}, indent=1, ensure_ascii=False) + "\n"


def _name(command: Command) -> str:
    return command.options.rpartition(":")[2]


def _step(name: str, command: Command) -> dict[str, Any]:
    called = {"type": "string", "description": "What the step is called; default: its command."}
    properties = {"name": called, name: {"$ref": f"#/$defs/{_name(command)}"}}
    return {"type": "object", "required": [name], "additionalProperties": False, "properties": properties}


def _with(command: Command) -> dict[str, Any]:
    """What stands under a command: its inputs, its output and its options."""
    found = command.model().model_json_schema(by_alias=True)
    definitions = found.pop("$defs", {})
    properties: dict[str, Any] = {
        "data": {
            "description": "Files that it reads: of earlier steps, or beside the recipe.",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        },
        "out": {"type": "string", "description": "What it writes, in the output folder."},
    }
    for key, field in found["properties"].items():
        value = _inline(field, definitions)
        about = value.pop("description", "")
        short = {"type": "string"} if any(v.get("type") in ("array", "object") for v in _either(value)) else VARIABLE
        properties[key] = {"description": about, "anyOf": [value, short]}
    return {
        "type": "object",
        "description": (found.get("description") or "").partition("\n")[0],
        "required": ["data", *([] if command.optional else ["out"]), *found.get("required", [])],
        "additionalProperties": False,
        "properties": properties,
    }


def _either(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The alternatives of a value. Lists and tables can also be written as one text, `a,b` and `a=1,b=2`."""
    found: list[dict[str, Any]] = value.get("anyOf", [value])
    return found


def _inline(value: Any, definitions: dict[str, Any]) -> Any:
    """Without references: every step stands for itself. What is in lists and tables may be a variable, too."""
    if isinstance(value, dict):
        if "$ref" in value:
            return _inline(definitions[value["$ref"].rpartition("/")[2]], definitions)
        out = {k: _inline(v, definitions) for k, v in value.items()}
        return {
            k: {"anyOf": [v, VARIABLE]} if k in ("items", "additionalProperties") and isinstance(v, dict) else v for k, v in out.items()
        }
    return [_inline(v, definitions) for v in value] if isinstance(value, list) else value
