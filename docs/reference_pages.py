"""The pages that are made of help texts and docstrings: the command line and the Python API."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import typer

import prefdata
from prefdata.cli.main import COMMANDS, build
from prefdata.recipe.commands import COMMANDS as STEPS


def cli_page() -> str:
    """Every command with its help and options."""
    out = [
        "# Command line",
        "",
        "Every command with its options. `prefdata COMMAND --help` says the same; in Python and in recipes options have the same names,",
        "with underscores. Exit codes: 0 fine; 1 findings, or rows were rejected; 2 wrong options; 3 an input cannot be read; 4 a server",
        "gave up or the budget is reached (the same command goes on); 70 a bug; 130 interrupted. Generated from the code.",
        "",
    ]
    for name, line in COMMANDS.items():
        module = import_module(f"prefdata.cli.{name.replace('-', '_')}_")
        out += [f"## prefdata {name}", ""]
        command = typer.main.get_command(build([name])).commands[name]  # type: ignore[attr-defined]
        parts = getattr(module, "COMMANDS", None)
        if parts is None:
            out += _command(f"prefdata {name}", getattr(module, "HELP", line), command)
        else:
            out += [line, ""]
            for sub, (text, _) in parts.items():
                out += [f"### prefdata {name} {sub}", "", *_command(f"prefdata {name} {sub}", text, command.commands[sub])]
    return "\n".join(out)


def _command(usage: str, text: str, command: Any) -> list[str]:
    words, _, examples = text.partition("\nExamples:\n")
    if not examples:
        words, _, examples = text.partition("\nExample:\n")
    out = [words.strip(), ""]
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    if lines:
        out += ["```text", *lines, "```", ""]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    if arguments:
        out += [f"`{usage} {' '.join(_metavar(a) for a in arguments)}`", ""]
        out += [f"* `{a.name.upper()}`: {a.help or ''}" for a in arguments if getattr(a, "help", None)] + [""]
    out += ["| option | default | what it is |", "|---|---|---|"]
    for p in (p for p in command.params if p.param_type_name == "option" and p.name != "help"):
        flags = ", ".join([*p.opts, *p.secondary_opts])
        default = p.default if isinstance(p.default, str | int | float) and not isinstance(p.default, bool) else ""
        out.append(f"| `{flags}` | {f'`{default}`' if default != '' else ''} | {_cell(p.help or '')} |")
    return [*out, ""]


def _metavar(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    name = f"{name}..." if argument.nargs == -1 and "..." not in name else name
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def api_page() -> str:
    """Every public name."""
    out = [
        "# Python API",
        "",
        "The commands as functions. Options have the names of the command line, with underscores; they are checked by the same models,",
        "and an unknown one is an error. Generated from the code.",
        "",
    ]
    for name in sorted(prefdata.__all__):
        found = getattr(prefdata, name)
        if not callable(found):
            continue
        kind = "class" if inspect.isclass(found) else "function"
        signature = f"{name}{inspect.signature(found)}" if kind == "function" else name
        out += [f"## {name}", "", "```text", signature.replace("'", ""), "```", "", *docstring(inspect.getdoc(found) or ""), ""]
    out += [
        "## Option models",
        "",
        "Each command's options are fields of one pydantic model, which a recipe's steps are checked by, too:",
        "",
    ]
    out += ["| step | model |", "|---|---|", *[f"| `{n}` | `{c.options.replace(':', '.')}` |" for n, c in STEPS.items()], ""]
    return "\n".join(out)


def docstring(text: str) -> list[str]:
    """A docstring as Markdown, its indented examples as code."""
    out: list[str] = []
    code = False
    for line in text.splitlines():
        is_code = line.startswith("    ") or (code and not line.strip())
        if is_code and not code:
            out.append("```text")
        elif code and not is_code:
            while out[-1] == "":
                out.pop()
            out += ["```", ""]
        out.append(line.removeprefix("    ") if is_code else line)
        code = is_code
    if code:
        while out[-1] == "":
            out.pop()
        out.append("```")
    return out
