"""YAML files as models: judges, constitutions, recipes. Every problem is told with its line, wrong keys with the nearest right one."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from prefdata.errors import UsageError
from prefdata.schema.records import explain
from prefdata.shipped import path_of

M = TypeVar("M", bound=BaseModel)
MOST_BYTES = 1 << 20
MOST_NODES = 20_000
"""Keys, values and items, those behind an alias counted each time: a few lines of nested aliases can stand for billions."""
DEEPEST = 20


def read(model: type[M], what: str, name: str) -> M:
    """A shipped file by its name, or a user's by its path. Raises UsageError with every problem."""
    path = path_of(what, name)
    return parse(model, bytes_of(path, what), str(path))


def bytes_of(path: Path, what: str) -> bytes:
    """Raises UsageError when it cannot be read or is too large for one of `what`."""
    try:
        with path.open("rb") as f:
            data = f.read(MOST_BYTES + 1)
    except OSError as e:
        raise UsageError(f"{path}: cannot be read ({e.strerror or e})") from None
    if len(data) > MOST_BYTES:
        raise UsageError(f"{path}: is larger than 1 MiB; is it one of the {what}?")
    return data


def parse(model: type[M], data: bytes, path: str) -> M:
    """The model of a YAML text. Raises UsageError."""
    root = compose(data, path)
    return checked(model, plain(root, path), root, path)


def compose(data: bytes, path: str) -> MappingNode:
    """The nodes of a YAML text, which know their lines. Raises UsageError."""
    try:
        root = yaml.compose(data.decode("utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as e:
        raise UsageError(f"{path}: is not UTF-8 (byte {e.start})") from None
    except yaml.YAMLError as e:
        raise UsageError(f"{path}: is not valid YAML: {_words(e)}") from None
    except RecursionError:
        raise UsageError(f"{path}: is nested too deeply") from None
    if not isinstance(root, MappingNode):
        raise UsageError(f"{path}: has to be keys with values, as 'name: ...'")
    _limit(root, path)
    _once(root, path)
    return root


def checked(model: type[M], values: Any, node: Node, path: str) -> M:
    """The model of values that stand at a node. Raises UsageError with the line of every problem."""
    try:
        return model.model_validate(values)
    except ValidationError as e:
        raise UsageError("\n".join(_problems(model, e, node, path))) from None


def _words(e: yaml.YAMLError) -> str:
    mark = getattr(e, "problem_mark", None)
    problem = getattr(e, "problem", None) or "it holds characters that YAML does not allow"
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else str(problem)


def _limit(root: Node, path: str) -> None:
    left = MOST_NODES
    stack = [(root, 1)]
    while stack:
        node, depth = stack.pop()
        left -= 1
        if left < 0 or depth > DEEPEST:
            raise UsageError(f"{path}: line {node.start_mark.line + 1}: too many or too deeply nested values (aliases count each time)")
        if isinstance(node, MappingNode):
            stack += [(n, depth + 1) for pair in node.value for n in pair]
        elif isinstance(node, SequenceNode):
            stack += [(n, depth + 1) for n in node.value]


def _once(node: Node, path: str) -> None:
    """YAML itself lets the last of two equal keys win."""
    if isinstance(node, MappingNode):
        seen: dict[Any, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, ScalarNode):
                raise UsageError(f"{path}: line {line}: a key is one word")
            if key.value in seen:
                raise UsageError(f"{path}: line {line}: {key.value!r} stands here for the second time, after line {seen[key.value]}")
            seen[key.value] = line
            _once(value, path)
    elif isinstance(node, SequenceNode):
        for item in node.value:
            _once(item, path)


def plain(root: Node, path: str) -> Any:
    """The values of the nodes, by the safe constructor: plain types only."""
    maker = yaml.SafeLoader("")
    try:
        return maker.construct_document(root)
    except (yaml.YAMLError, ValueError, OverflowError) as e:
        raise UsageError(f"{path}: is not valid YAML: {_words(e) if isinstance(e, yaml.YAMLError) else e}") from None
    finally:
        maker.dispose()


def _problems(model: type[BaseModel], e: ValidationError, root: Node, path: str) -> list[str]:
    out = []
    for error, (where, why) in zip(e.errors(include_url=False, include_input=False, include_context=False), explain(e), strict=True):
        loc = error["loc"]
        line = line_of(root, loc)
        if error["type"] == "extra_forbidden":
            fields = _model_at(model, loc[:-1]).model_fields
            out.append(f"{path}: line {line}: {no_key(str(loc[-1]), [f.alias or n for n, f in fields.items()])}")
        else:
            out.append(f"{path}: line {line}: {where + ': ' if loc else ''}{why.removeprefix('Value error, ')}")
    return out


def no_key(name: str, names: Sequence[str]) -> str:
    """What to say of a key that does not exist."""
    near = get_close_matches(name, names, n=1)
    return f"there is no key {name!r}; " + (f"did you mean {near[0]!r}?" if near else f"it may have: {', '.join(names)}")


def line_of(node: Node, loc: Sequence[int | str]) -> int:
    """The line of a value, or of the nearest thing around it that exists."""
    line = node.start_mark.line + 1
    for part in loc:
        if isinstance(node, MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
        elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = (node.value[part], node.value[part])
        else:
            found = None
        if found is None:
            return line
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def _model_at(model: type[BaseModel], loc: Sequence[int | str]) -> type[BaseModel]:
    """The model that a place in the file is checked by."""
    for part in loc:
        field = model.model_fields.get(str(part)) if isinstance(part, str) else None
        model = next(_models(field.annotation), model) if field else model
    return model


def _models(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
