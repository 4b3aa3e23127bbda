"""`prefdata schema`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

HELP = """Print the JSON Schema of a kind of record, or of recipes (for editors).

Examples:

  prefdata schema pair > pair.schema.json

  prefdata schema recipe > recipe.schema.json
"""


def command(kind: Annotated[Literal["pair", "binary", "listwise", "recipe"], typer.Argument(help="Kind of record, or recipe.")]) -> None:
    if kind == "recipe":
        from prefdata.recipe.schema import recipe_schema

        print(recipe_schema(), end="")
        return
    from prefdata.schema.generate import json_schema

    print(json_schema(kind), end="")
