"""The command line: one file per command, imported only when it is called, so that `prefdata --help` is fast."""

from __future__ import annotations

import atexit
import gc
import sys
from importlib import import_module
from types import ModuleType

import typer

from prefdata.cli import bulk

COMMANDS = {
    "convert": "Turn raw sources into validated pair, binary or listwise records.",
    "validate": "Check preference data, any layout in place, like a linter.",
    "export": "Write records to a folder that a trainer loads as it is.",
    "label": "Ask a judge model about completions and append what it says.",
    "revise": "Draft, critique and revise answers by a constitution (SL-CAI).",
    "sample": "Rejection sampling: generate, score and select as one command.",
    "generate": "Have policies answer prompts: the candidates of rejection sampling.",
    "score": "Score answers: reward models, graders, judges, implicit rewards, reward servers.",
    "select": "Select pairs or answers from scored candidates: best of n, RSO, tournaments ...",
    "eval": "Measure judges and models.",
    "journal": "Look into the journal of replies.",
    "mock-server": "A scripted judge on this machine, for demos and tests.",
    "train": "Train a model on records: dpo, rm, kto, sft.",
    "run": "Run a recipe: a YAML with an ordered list of steps.",
    "recipe": "List, show, copy and check recipes.",
    "list": "List sources, rules, export targets, judges, graders, constitutions, losses or recipes.",
    "schema": "Print the JSON Schema of a kind of record, or of recipes.",
}


def _version(wanted: bool) -> None:
    if wanted:
        from prefdata.version import __version__

        print(f"prefdata {__version__}")
        raise typer.Exit


def _root(version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version and exit.")) -> None:
    """Build preference data sets for aligning language models, and prove that they are sound.

    Example: prefdata convert hh/*.jsonl.gz -o pairs.parquet
    """


def build(argv: list[str]) -> typer.Typer:
    """The application with the called command imported and the others as their help lines."""
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.callback()(_root)
    called = next((a for a in argv if not a.startswith("-")), None)
    if called in bulk.COMMANDS:
        bulk.set_up()
    for name, line in COMMANDS.items():
        if name == called:
            module = import_module(f"prefdata.cli.{name.replace('-', '_')}_")
            if hasattr(module, "COMMANDS"):
                app.add_typer(_group(module), name=name, help=getattr(module, "HELP", line))
            else:
                app.command(name, help=module.HELP, epilog=None)(module.command)
        else:
            app.command(name, help=line)(_stub)
    return app


def _group(module: ModuleType) -> typer.Typer:
    """A command with commands of its own: `COMMANDS` of its module has the help and the function of each."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    for name, (text, function) in module.COMMANDS.items():
        group.command(name, help=text, epilog=None)(function)
    return group


def _stub() -> None:
    raise AssertionError("a command that was not imported cannot be called")


def main() -> None:
    """Entry point of the `prefdata` command. The garbage collector does not go through the objects of imported modules: not while they
    come into being, and not once more at the end (a third of the processor time of a command on a small file)."""
    gc.disable()
    app = build(sys.argv[1:])
    gc.freeze()
    gc.enable()
    atexit.register(gc.freeze)
    app()


if __name__ == "__main__":
    main()
