"""`prefdata recipe list|show|copy|check`."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from prefdata.cli.options import guarded, say, visible

HELP = """List, show, copy and check recipes.

Examples:

  prefdata recipe list

  prefdata recipe copy hh-dpo

  prefdata recipe check my.yaml
"""

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Given = Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="Values of the recipe's vars.")]


def _list(json_: Json = False) -> None:
    def run() -> int:
        from prefdata.recipe.read import shipped

        rows = shipped()
        if json_:
            _json(rows)
        else:
            width = max((len(r["name"]) for r in rows), default=0)
            for r in rows:
                print(f"{r['name']:<{width}}  {r['about']}")
        return 0

    _end(guarded(run))


def _show(recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a file.")]) -> None:
    def run() -> int:
        from prefdata.shipped import path_of
        from prefdata.yaml_files import bytes_of

        print(visible(bytes_of(path_of("recipes", recipe), "recipes").decode()), end="")
        return 0

    _end(guarded(run))


def _copy(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name.")],
    to: Annotated[str | None, typer.Argument(help="File to write; default: NAME.yaml here.")] = None,
) -> None:
    def run() -> int:
        from prefdata.errors import UsageError
        from prefdata.shipped import path_of
        from prefdata.yaml_files import bytes_of

        out = to or f"{recipe}.yaml"
        data = bytes_of(path_of("recipes", recipe), "recipes")
        try:
            with open(out, "xb") as f:
                f.write(data)
        except FileExistsError:
            raise UsageError(f"{out} is already there; name another file: prefdata recipe copy {recipe} FILE") from None
        except OSError as e:
            raise UsageError(
                f"{out}: cannot be written ({e.strerror or e}); name another file: prefdata recipe copy {recipe} FILE"
            ) from None
        say(f"{out}: a copy of {recipe}; 'prefdata run {out} --dry-run' says what it would do")
        return 0

    _end(guarded(run))


def _check(
    recipe: Annotated[str, typer.Argument(help="A recipe's file, or a shipped one's name.")], given: Given = None, json_: Json = False
) -> None:
    def run() -> int:
        from prefdata.recipe.read import read

        found = read(recipe, given or [])
        if json_:
            _json({"recipe": found.name, "steps": [{"name": s.name, "command": s.what, "data": s.data, "out": s.out} for s in found.steps]})
        else:
            say(f"{found.path}: {len(found.steps)} steps, all of their options are right")
        return 0

    _end(guarded(run))


def _json(value: Any) -> None:
    import orjson

    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def _end(code: int) -> None:
    if code:
        raise typer.Exit(code)


COMMANDS = {
    "list": ("List the shipped recipes.", _list),
    "show": ("Print a recipe.", _show),
    "copy": ("Copy a shipped recipe to a file of your own.", _copy),
    "check": ("Check a recipe: every key, option and variable, with its line.", _check),
}
