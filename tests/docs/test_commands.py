"""Commands in the pages, shown or run, have names and options that exist."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import typer

from prefdata.cli.main import COMMANDS, build

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
BLOCK = re.compile(r"^ *```(?:sh|text|console|yaml)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^ {4}\S.*\n)+", re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)", re.DOTALL)
CALL = re.compile(r"(?:^|[\s;|&(])(?:\S*/)?(?:prefdata|-m prefdata\.cli\.main) (?=[a-z-])(.*)")
OTHERS = {"--eval", "--fsdp_cpu_ram_efficient_loading"}
"""Options of trainers and launchers that sentences name."""
END = {"|", "||", "&&", ";", "&", ">", ">>", "2>", "<", ")", "#"}


@cache
def options() -> dict[str, set[str]]:
    """By command, as `eval rm`, the names of its options; of groups none."""
    out: dict[str, set[str]] = {}
    for name in COMMANDS:
        command = typer.main.get_command(build([name])).commands[name]  # type: ignore[attr-defined]
        found = {f"{name} {sub}": c for sub, c in getattr(command, "commands", {}).items()} or {name: command}
        for called, c in found.items():
            out[called] = {"--help"} | {o for p in c.params if p.param_type_name == "option" for o in [*p.opts, *p.secondary_opts]}
    return out


def calls(text: str) -> list[list[str]]:
    """The words behind `prefdata` of every line of a block, and behind every `&&`; lines that end in a backslash go on."""
    out = []
    for line in text.replace("\\\n", " ").replace("&&", "\n").splitlines():
        for found in CALL.findall(line):
            lexer = shlex.shlex(found, posix=True, punctuation_chars=";|&<>()")
            lexer.whitespace_split, lexer.commenters = True, "#"
            words = []
            try:
                for word in lexer:
                    if word in END:
                        break
                    words.append(word)
            except ValueError:  # a quote that a line of prose does not close
                words = found.split()
            out.append(words)
    return out


def wrong(words: list[str]) -> str | None:
    """What is wrong with a call, in words."""
    if words[0] in ("--help", "--version"):
        return None
    name = " ".join(words[:2]) if " ".join(words[:2]) in options() else words[0]
    if name not in options():
        groups = {c.split()[0] for c in options() if " " in c}
        short = len(words) == 1 or words[1].startswith(("-", "…", "|"))  # `prefdata train` as the name of all of it
        return None if words[0] in groups and short else f"no command: prefdata {' '.join(words)}"
    given = [w.split("=")[0] for w in words if re.match(r"--?[a-z]", w)]
    unknown = [o for o in given if o not in options()[name]]
    return f"prefdata {name} has no {', '.join(unknown)}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_in_blocks(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = [c for block in [*BLOCK.findall(text), *INDENTED.findall(BLOCK.sub("", text))] for c in calls(block) if c]
    assert not [w for c in found if (w := wrong(c))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_in_sentences(page: Path) -> None:
    """`prefdata eval rm --by subset` within a line, and options named alone, which some command has."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    if "benchmark" in str(page):
        return  # the scripts there have options of their own
    every = OTHERS | {"--version"} | {o for names in options().values() for o in names}
    said: list[str] = []
    for code in INLINE.findall(text):
        code = " ".join(code.split())
        if code.startswith("prefdata "):
            said += [w for c in calls(code) if c and (w := wrong(c))]
        elif re.match(r"--[a-z]", code):
            said += [f"no command has {o}" for o in re.findall(r"--[a-z][\w-]*", code) if o not in every]
    assert not said


def test_what_is_found() -> None:
    """The reader of commands sees what it should."""
    text = "$ prefdata eval rm a.parquet --by x | cat --n\nHF=1 bin/prefdata export a \\\n  --to trl && prefdata run x.yaml > y\n"
    assert [c[0] for c in calls(text)] == ["eval", "export", "run"]
    assert wrong(["eval", "rm", "a", "--by=x"]) is None
    assert wrong(["eval", "rm", "a", "--buy", "x"]) == "prefdata eval rm has no --buy"
    assert wrong(["evall", "a"]) == "no command: prefdata evall a"
    assert wrong(["eval", "ppo", "a"]) == "no command: prefdata eval ppo a"
