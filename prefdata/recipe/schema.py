"""`schemas/recipe.json`: what editors check recipes by, made of the option models of the commands."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

from prefdata.recipe.commands import COMMANDS, Command
from prefdata.recipe.read import Head


def recipe_schema() -> str:
    """The JSON Schema (2020-12) of a recipe, as text. A value may be a text with ${variables} wherever it is something else."""
    head = Head.model_json_schema()
    head["properties"]["steps"] = {
        "type": "array",
        "minItems": 1,
        "description": head["properties"]["steps"]["description"],
        "items": {"oneOf": [_step(name, command) for name, command in COMMANDS.items() if find_spec(command.options.partition(":")[0])]},
    }
    head["title"] = "prefdata recipe"
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **head}, indent=2, ensure_ascii=False) + "\n"


def _step(name: str, command: Command) -> dict[str, Any]:
    found = command.model().model_json_schema(by_alias=True)
    definitions = found.pop("$defs", {})
    fields = {k: _inline(v, definitions) for k, v in found["properties"].items()}
    own: dict[str, Any] = {
        "data": {
            "description": "Files that it reads: of earlier steps, or beside the recipe.",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        },
        "out": {"type": "string", "description": "What it writes, in the output folder."},
    }
    variable = {"type": "string", "pattern": r"\$\{"}
    return {
        "type": "object",
        "required": [name],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "description": "What the step is called; default: its command."},
            name: {
                "type": "object",
                "description": (found.get("description") or "").partition("\n")[0],
                "required": ["data", *([] if command.optional else ["out"]), *(r for r in found.get("required", []))],
                "additionalProperties": False,
                "properties": {**own, **{k: {"description": v.pop("description", ""), "anyOf": [v, variable]} for k, v in fields.items()}},
            },
        },
    }


def _inline(value: Any, definitions: dict[str, Any]) -> Any:
    """Without references: every step stands for itself."""
    if isinstance(value, dict):
        if "$ref" in value:
            return _inline(definitions[value["$ref"].rpartition("/")[2]], definitions)
        return {k: _inline(v, definitions) for k, v in value.items()}
    return [_inline(v, definitions) for v in value] if isinstance(value, list) else value
