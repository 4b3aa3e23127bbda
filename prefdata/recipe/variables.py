"""`${name}` in a recipe: a value of `vars`, or what the command line gave for it (`prefdata run FILE name=value`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import yaml

from prefdata.errors import UsageError

NAME = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Given(NamedTuple):
    """A value as steps use it. `here`: a relative path in it is meant from the working folder, not from the recipe's, because the command
    line said it."""

    value: Any
    here: bool


def overridden(known: Mapping[str, Any], given: Sequence[str], path: str) -> dict[str, Any]:
    """What the command line says of the variables, values read as YAML. Raises UsageError with everything that is wrong."""
    out: dict[str, Any] = {}
    wrong = []
    for item in given:
        name, sep, text = item.partition("=")
        if not sep:
            wrong.append(f"{item}: variables are given as name=value")
        elif name not in known:
            near = get_close_matches(name, list(known), n=1)
            has = f"did you mean {near[0]!r}?" if near else f"{path} has {', '.join(known) or 'none'}"
            wrong.append(f"{item}: there is no variable {name!r}; {has}")
        else:
            try:
                out[name] = yaml.safe_load(text) if text else ""
            except yaml.YAMLError:
                out[name] = text
    if wrong:
        raise UsageError("\n".join(wrong))
    return out


def filled(value: Any, variables: Mapping[str, Any], said: Mapping[str, Any], inside: tuple[str, ...] = ()) -> Given:
    """The value with its variables. A text that is nothing but one variable becomes the variable's value, number or list. A
    variable's value in the recipe may name others; `inside` are those that led here.

    Raises KeyError with the name of an unknown variable, ValueError for one without a value (null), for a list in the middle of a text and
    for a variable that is made of itself.
    """
    if isinstance(value, list):
        parts = [filled(v, variables, said, inside) for v in value]
        flat = [
            v
            for p, given in zip(parts, value, strict=True)
            for v in (p.value if isinstance(p.value, list) and isinstance(given, str) else [p.value])
        ]
        return Given(flat, any(p.here for p in parts))
    if isinstance(value, dict):
        parts_of = {k: filled(v, variables, said, inside) for k, v in value.items()}
        return Given({k: p.value for k, p in parts_of.items()}, any(p.here for p in parts_of.values()))
    if not isinstance(value, str):
        return Given(value, False)
    names = NAME.findall(value)
    for name in names:
        if name not in variables:
            raise KeyError(name)
    missing = [n for n in names if variables[n] is None]
    if missing:
        raise ValueError(f"give {', '.join(f'{n}=...' for n in missing)}, as the recipe has no value for it")
    around = [n for n in names if n in inside]
    if around:
        raise ValueError(f"the variable {around[0]} is made of itself")
    own = {n: Given(variables[n], True) if n in said else filled(variables[n], variables, said, (*inside, n)) for n in names}
    here = any(given.here for given in own.values())
    if NAME.fullmatch(value):
        return Given(own[names[0]].value, here)
    if any(isinstance(given.value, list | dict) for given in own.values()):
        raise ValueError("a list can only stand for a whole value")
    return Given(NAME.sub(lambda m: _text(own[m[1]].value), value), here)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
