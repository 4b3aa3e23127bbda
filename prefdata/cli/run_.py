"""`prefdata run`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Annotated, Any

import typer

from prefdata.cli.options import command as make
from prefdata.cli.options import say
from prefdata.recipe.options import RunOptions

HELP = """Run a recipe: a YAML with an ordered list of steps, each a command with its options.

Steps that are up to date are left out (same options, same bytes read, output unchanged); after an interruption the same command goes on.
RECIPE is a file, or the name of a shipped one ('prefdata recipe list'). Values of its vars are given as name=value.

Exit code: that of the step that stopped it; else 1 when a step rejected rows, 0 otherwise.

Examples:

  prefdata run hh-dpo.yaml --dry-run

  prefdata run hh-dpo.yaml model=./base beta=0.05 -o runs/hh

  prefdata run hh-dpo.yaml --from "train dpo"
"""

EXTRA: dict[str, Any] = {
    "recipe": (Annotated[str, typer.Argument(help="A recipe's file, or the name of a shipped one.")], ...),
    "given": (Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="Values of the recipe's vars.")], None),
    "out": (Annotated[str | None, typer.Option("--out", "-o", help="Output folder; default: the recipe's name.")], None),
    "json_": (Annotated[bool, typer.Option("--json", help="Print the account as one JSON object on stdout.")], False),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")], False),
}


def bar(what: str) -> AbstractContextManager[Any]:
    """The progress bar that the command has on its own."""
    from prefdata.cli.progress import progress_bar
    from prefdata.cli.progress_calls import calls_bar
    from prefdata.cli.progress_train import steps_bar

    if what.startswith("train"):
        return steps_bar(what)
    asks = ("label", "revise", "generate", "score", "sample", "eval policy")
    return calls_bar(what) if what in asks else progress_bar(what)


def run(options: RunOptions, recipe: str, given: list[str] | None, out: str | None, json_: bool, quiet: bool) -> int:
    from contextlib import nullcontext

    from prefdata.recipe.run import run as start

    hidden = quiet or json_
    result = start(recipe, given or [], out, options, None if hidden else say, (lambda _: nullcontext()) if hidden else bar)
    if json_:
        import orjson

        print(orjson.dumps(result.as_dict()).decode())
    failed = next((s for s in result.steps if s.status == "failed"), None)
    if quiet and failed is not None:
        for line in failed.lines:
            say(line)
    if not json_ and (not quiet or failed is not None):
        for line in result.lines():
            say(line)
    return result.exit_code


command = make(RunOptions, EXTRA, run)
