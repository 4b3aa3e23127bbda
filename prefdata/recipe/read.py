"""A recipe's YAML to its steps, every problem told with its line before anything runs.

    name: hh-dpo
    about: HH-RLHF to a DPO model
    vars: {data: hh/*.jsonl.gz, model: ./base}
    seed: 0
    steps:
      - convert: {data: "${data}", from: hh-rlhf, out: pairs.parquet}
      - validate: {data: pairs.parquet, fail_on: error}
      - train dpo: {data: pairs.parquet, model: "${model}", out: dpo}
        name: first round

A step is a command of the command line with its inputs (`data`), its output (`out`) and exactly its options.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from yaml.nodes import MappingNode, Node

from prefdata.errors import UsageError
from prefdata.io.write import file_format
from prefdata.options import Options
from prefdata.recipe.commands import COMMANDS, Command
from prefdata.recipe.places import placed
from prefdata.recipe.variables import filled, overridden
from prefdata.schema.records import explain
from prefdata.shipped import names, path_of
from prefdata.yaml_files import bytes_of, checked, compose, line_of, no_key, parse, plain

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$", max_length=80)]
OWN = ("data", "out")


class Head(BaseModel):
    """The keys of a recipe; what stands in its steps depends on their commands."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description="What it is called; also the output folder, unless --out says another.")
    about: str = Field("", description="What it makes, in a line.")
    vars: dict[Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")], Any] = Field(
        default_factory=dict, description="Values that steps name as ${name} and the command line can set as name=value."
    )
    seed: int | None = Field(None, ge=0, le=2**32 - 1, description="Seed of every step that has one and does not set it.")
    steps: list[dict[str, Any]] = Field(min_length=1, description="Commands, one after the other.")


def shipped() -> list[dict[str, Any]]:
    """The recipes that ship with prefdata: name, what each makes, its variables and its commands."""
    out = []
    for name in names("recipes"):
        path = path_of("recipes", name)
        head = parse(Head, bytes_of(path, "recipes"), str(path))
        steps = [next(k for k in s if k != "name") for s in head.steps]
        out.append({"name": name, "about": head.about, "vars": head.vars, "steps": steps})
    return out


@dataclass(frozen=True)
class Step:
    """One command. `data` and `out` are paths as they are opened; `written` is the output as the recipe has it."""

    name: str
    what: str
    command: Command = field(repr=False)
    data: list[str]
    out: str | None
    written: str | None
    options: Options
    reads: list[str]
    """Options' files and folders, which its result depends on like on `data`."""
    raw: dict[str, Any]
    """The options as the recipe says them, variables filled in."""


@dataclass(frozen=True)
class Recipe:
    path: str
    name: str
    about: str
    out: str
    steps: list[Step]


def read(name: str, given: Sequence[str] = (), out: str | None = None) -> Recipe:
    """A shipped recipe by its name, or a user's file. Raises UsageError with every problem and its line."""
    file = path_of("recipes", name)
    path = str(file)
    root = compose(bytes_of(file, "recipes"), path)
    head = checked(Head, plain(root, path), root, path)
    said = overridden(head.vars, given, path)
    reader = _Reader(path, head, {**head.vars, **said}, said, out or head.name)
    steps = next(v for k, v in root.value if k.value == "steps")
    for raw, node in zip(head.steps, steps.value, strict=True):
        reader.step(raw, node)
    if reader.wrong:
        raise UsageError("\n".join(reader.wrong))
    return Recipe(path, head.name, head.about, reader.out, reader.steps)


class _Reader:
    """Takes step after step, and notes what is wrong."""

    def __init__(self, path: str, head: Head, variables: dict[str, Any], said: dict[str, Any], out: str) -> None:
        self.path, self.head, self.variables, self.said, self.out = path, head, variables, said, out
        self.base = str(Path(path).parent)
        self.steps: list[Step] = []
        self.wrong: list[str] = []

    def bad(self, node: Node, words: str) -> None:
        self.wrong.append(f"{self.path}: line {node.start_mark.line + 1}: {words}")

    def step(self, raw: dict[str, Any], node: MappingNode) -> None:
        words = [k for k in raw if k != "name"]
        if len(words) != 1 or words[0] not in COMMANDS:
            return self.bad(node, _which(words))
        what = words[0]
        inside = next(v for k, v in node.value if k.value == what)
        if not isinstance(inside, MappingNode):
            return self.bad(inside, f"{what}: has to be keys with values, as 'data: FILE'")
        name = str(raw.get("name") or self._free(what))
        if name in (s.name for s in self.steps):
            self.bad(node, f"a step is already called {name!r}")
        values = self._filled(raw[what], inside)
        if values is not None:
            made = self._made(name, what, COMMANDS[what], *values, inside)
            if made is not None:
                self.steps.append(made)
        return None

    def _free(self, what: str) -> str:
        taken = sum(s.what == what for s in self.steps)
        return what if not taken else f"{what} {taken + 1}"

    def _filled(self, raw: dict[str, Any], node: MappingNode) -> tuple[dict[str, Any], set[str]] | None:
        """The values with their variables, and the keys whose relative paths are meant from the working folder."""
        out, here, before = {}, set(), len(self.wrong)
        for key, at in node.value:
            try:
                given = filled(raw[key.value], self.variables, self.said)
            except KeyError as e:
                near = get_close_matches(e.args[0], list(self.variables), n=1)
                has = f"did you mean {near[0]!r}?" if near else f"vars has {', '.join(self.variables) or 'none'}"
                self.bad(at, f"there is no variable {e.args[0]!r}; {has}")
                continue
            except ValueError as e:
                self.bad(at, f"{key.value}: {e}")
                continue
            out[key.value] = given.value
            if given.here:
                here.add(key.value)
        return (out, here) if len(self.wrong) == before else None

    def _made(self, name: str, what: str, command: Command, values: dict[str, Any], here: set[str], node: MappingNode) -> Step | None:
        model, before = command.model(), len(self.wrong)
        names = {key.replace("-", "_"): key for key in values}
        fields = {alias: n for n, f in model.model_fields.items() for alias in {n, f.alias or n}}
        public = [*OWN, *(f.alias or n for n, f in model.model_fields.items())]
        for key in names:
            if key not in fields and key not in OWN:
                self.bad(_at(node, names[key]), f"{what}: {no_key(names[key], public)}")
        data, out = self._own(what, command, {k: values[names[k]] for k in OWN if k in names}, here, node)
        given = {fields[k]: values[raw] for k, raw in names.items() if k in fields}
        if self.head.seed is not None and "seed" in model.model_fields:
            given.setdefault("seed", self.head.seed)
        raw_options = dict(given)
        reads: list[str] = []
        for key in (k for k in given if k in command.paths):
            base = "" if key in here else self.base
            given[key] = placed(given[key], outputs=self._outputs(), out=self.out, base=base, must=False)
            reads += [
                p.removeprefix("rm:").removeprefix("hf:")
                for p in _texts(given[key])
                if p not in _texts(raw_options[key]) or os.path.exists(p)
            ]
        try:
            options = model.model_validate(given)
        except ValidationError as e:
            at = {v: k for k, v in fields.items() if k in names}
            for error, (where, why) in zip(e.errors(), explain(e), strict=True):
                line = line_of(node, [names.get(at.get(str(error["loc"][0]), ""), ""), *error["loc"][1:]] if error["loc"] else [])
                self.wrong.append(f"{self.path}: line {line}: {what}: {where}: {why.removeprefix('Value error, ')}")
            return None
        if len(self.wrong) > before:
            return None
        return Step(name, what, command, data, None if out is None else os.path.join(self.out, out), out, options, reads, raw_options)

    def _outputs(self) -> list[str]:
        return [s.written for s in self.steps if s.written is not None]

    def _own(self, what: str, command: Command, own: dict[str, Any], here: set[str], node: MappingNode) -> tuple[list[str], str | None]:
        """`data` and `out`."""
        data, out = own.get("data"), own.get("out")
        names = [data] if isinstance(data, str) else data
        if not names or not isinstance(names, list) or not all(isinstance(n, str) and n for n in names):
            self.bad(_at(node, "data"), f"{what}: data: name a file of an earlier step or beside the recipe, or a list of files")
            names = []
        if "-" in names or out == "-":
            self.bad(node, f"{what}: steps hand files to each other; stdin and stdout (-) are for the command line")
        if out is None and not command.optional:
            self.bad(node, f"{what}: out: name what it writes")
        elif out is not None and (not isinstance(out, str) or not _inside(out)):
            self.bad(_at(node, "out"), f"{what}: out: a path inside of the output folder, without '..'")
            out = None
        elif out is not None and os.path.normpath(out) in map(os.path.normpath, self._outputs()):
            self.bad(_at(node, "out"), f"{what}: out: an earlier step already writes {out}")
        elif out is not None and command.writes == "file":
            try:
                file_format(out)
            except UsageError as e:
                self.bad(_at(node, "out"), f"{what}: out: {e}")
        base = "" if "data" in here else self.base
        placed_ = placed(names, outputs=self._outputs(), out=self.out, base=base, must=True)
        return placed_, None if out is None else str(out)


def _which(words: list[str]) -> str:
    if len(words) > 1:
        return f"a step is one command (and 'name'), this has {', '.join(map(repr, words))}"
    if not words:
        return f"a step names a command: {', '.join(COMMANDS)}"
    near = get_close_matches(words[0], list(COMMANDS), n=1)
    return f"there is no command {words[0]!r}; " + (f"did you mean {near[0]!r}?" if near else f"there are {', '.join(COMMANDS)}")


def _at(node: MappingNode, key: str) -> Node:
    return next((k for k, _ in node.value if k.value == key), node)


def _inside(out: str) -> bool:
    clean = os.path.normpath(out)
    return bool(out) and not os.path.isabs(clean) and clean != "." and not clean.startswith("..")


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [v for v in value if isinstance(v, str)] if isinstance(value, list) else []
