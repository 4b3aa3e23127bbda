"""Grader files: read, checked as a whole, and made ready. Every problem is told, with its line."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from yaml.error import Mark
from yaml.nodes import MappingNode, Node, ScalarNode

from prefdata.errors import UsageError
from prefdata.graders import formula
from prefdata.graders.specs import TYPES, Asks, Function, JsonSchema, MathAnswer, Multi, Spec, TextSimilarity
from prefdata.io import strict_json
from prefdata.yaml_files import bytes_of, checked, compose, line_of, plain

LIBRARIES: dict[type[Spec], tuple[str, ...]] = {
    TextSimilarity: ("nltk", "rouge_score"),
    MathAnswer: ("math_verify", "antlr4"),
    JsonSchema: ("jsonschema",),
}


_NOWHERE = MappingNode("tag:yaml.org,2002:map", [], Mark("", 0, 0, 0, "", 0))


@dataclass(frozen=True)
class Grader:
    """A checked grader: one part, or the parts of a multi grader by their names."""

    name: str
    parts: dict[str, Spec]
    multi: Multi | None
    formula: formula.Formula | None
    given: dict[str, Any]
    """The grader as it was written, for manifests."""
    code: dict[str, tuple[str, str]]
    """Of parts that are functions: the path of the file, and its SHA-256."""

    @property
    def asks(self) -> tuple[str, ...]:
        """The parts that ask a model."""
        return tuple(name for name, spec in self.parts.items() if isinstance(spec, Asks))

    @property
    def models(self) -> tuple[str, ...]:
        """The models that they name."""
        return tuple(dict.fromkeys(spec.model for spec in self.parts.values() if isinstance(spec, Asks)))

    @property
    def annotator(self) -> str:
        """Who its scores are by."""
        return f"grader:{self.name}"

    def described(self) -> dict[str, Any]:
        """What decides its scores."""
        return {"name": self.name, "grader": self.given, "code": {n: sha for n, (_, sha) in self.code.items()}}


def load_grader(path_or_spec: str | Path | Mapping[str, Any], *, allow_code: bool = False) -> Grader:
    """A grader from its file (JSON or YAML), from `file.py:function`, or from the object itself.

    `allow_code`: functions may run (never without: a grader file may come from anywhere). Raises UsageError with every problem, by line and
    field.
    """
    if isinstance(path_or_spec, Mapping):
        given = dict(path_or_spec)
        try:
            return _loaded(given, None, "grader", Path(), "grader", allow_code)
        except UsageError as e:
            raise UsageError(re.sub(r"(?m)^grader: line \d+: ", "grader: ", str(e))) from None
    path, _, name = str(path_or_spec).rpartition(":")
    if path.endswith(".py"):
        given = {"type": "function", "function": f"{Path(path).name}:{name}"}
        return _loaded(given, None, path, Path(path).parent, name, allow_code)
    file = Path(path_or_spec)
    if file.suffix == ".py":
        raise UsageError(f"{file}: which function of it? --grader {file}:grade --allow-code")
    data = bytes_of(file, "graders")
    if file.suffix.lower() in (".yaml", ".yml"):
        node: Node | None = compose(data, str(file))
        assert node is not None
        given = plain(node, str(file))
    else:
        try:
            given = strict_json.loads(data)
        except strict_json.BadJson as e:
            raise UsageError(f"{file}: {e.reason}; a grader is a JSON object, or YAML in a file that ends with .yaml") from None
        if not isinstance(given, dict):
            raise UsageError(f'{file}: a grader is one JSON object, as {{"type": "string_check", ...}}')
        try:
            node = compose(data.replace(b"\t", b" "), str(file))  # JSON is YAML but for tabs; this is for line numbers only
        except UsageError:
            node = None
    return _loaded(given, node, str(file), file.parent, file.stem, allow_code)


def _loaded(given: dict[str, Any], node: Node | None, path: str, folder: Path, name: str, allow_code: bool) -> Grader:
    node = node or _NOWHERE
    wrong: list[str] = []
    spec = _spec(given, node, path, wrong)
    multi = spec if isinstance(spec, Multi) else None
    parts: dict[str, Spec] = {}
    parsed = None
    if multi is not None:
        inner = _below(node, "graders")
        for key, value in multi.graders.items():
            where = f"{path}: line {line_of(inner, (key,))}"
            if not formula.NAME.fullmatch(key) or key in formula.FUNCTIONS:
                wrong.append(
                    f"{where}: graders.{key}: a name in a formula has letters, digits and _, and is none of {', '.join(formula.FUNCTIONS)}"
                )
            found = _spec(value, _below(inner, key), path, wrong, f"graders.{key}: ")
            if isinstance(found, Multi):
                wrong.append(f"{where}: graders.{key}: a multi grader has no multi graders in it; write one formula")
            elif found is not None:
                parts[key] = found
        try:
            parsed = formula.parse(multi.calculate_output, multi.graders)
        except ValueError as e:
            wrong.append(f"{path}: line {line_of(node, ('calculate_output',))}: calculate_output: {e}")
    elif spec is not None:
        parts = {spec.name or name: spec}
    code = {}
    for key, part in parts.items():
        prefix = f"graders.{key}: " if multi else ""
        wrong += [f"{path}: {prefix}{w}" for w in _missing(part)]
        if isinstance(part, Function):
            code[key] = _code(part, folder, f"{path}: {prefix}" if node is not _NOWHERE else prefix, allow_code, wrong)
        if isinstance(part, JsonSchema):
            wrong += [f"{path}: {prefix}{w}" for w in _schema(part)]
    if wrong:
        raise UsageError("\n".join(dict.fromkeys(wrong)))
    assert spec is not None
    return Grader(spec.name or name, parts, multi, parsed, given, code)


def _spec(value: Any, node: Node, path: str, wrong: list[str], prefix: str = "") -> Spec | None:
    kind = value.get("type") if isinstance(value, dict) else None
    at = f"{path}: line {line_of(node, ('type',))}: {prefix}"
    if kind == "python":
        wrong.append(
            f"{at}python graders carry code in the grader file, which prefdata does not run; put it into a file and name the function: "
            '{"type": "function", "function": "grade.py:grade"} with --allow-code'
        )
        return None
    if not isinstance(kind, str) or kind not in TYPES:
        near = get_close_matches(str(kind), TYPES, n=1)
        wrong.append(f"{at}type: {kind!r} is no grader; " + (f"did you mean {near[0]!r}?" if near else f"there are {', '.join(TYPES)}"))
        return None
    if kind == "multi" and isinstance(value.get("graders"), list):
        wrong.append(
            f"{path}: line {line_of(node, ('graders',))}: graders: an object of names and graders, not a list: the formula needs the names"
        )
        return None
    try:
        return checked(TYPES[kind], value, node, path)
    except UsageError as e:
        wrong += [re.sub(r"(: line \d+: )", rf"\g<1>{prefix}", line, count=1) for line in str(e).split("\n")]
        return None


def _below(node: Node, key: str) -> Node:
    """The node of a key's value, else the node itself."""
    if isinstance(node, MappingNode):
        return next((v for k, v in node.value if isinstance(k, ScalarNode) and k.value == key), node)
    return node


def _missing(spec: Spec) -> list[str]:
    need = LIBRARIES.get(type(spec), ())
    if isinstance(spec, TextSimilarity) and spec.evaluation_metric == "fuzzy_match":
        need = ()
    lack = [m for m in need if find_spec(m) is None]
    return [f"{spec.type} needs {', '.join(lack)}: pip install 'prefdata[graders]'"] if lack else []  # type: ignore[attr-defined]


def _code(spec: Function, folder: Path, where: str, allow_code: bool, wrong: list[str]) -> tuple[str, str]:
    """The file and its hash. That the function is there is seen without running anything."""
    name, _, function = spec.function.rpartition(":")
    path = folder / name
    try:
        data = path.read_bytes()
        tree = ast.parse(data, str(path))
    except OSError as e:
        wrong.append(f"{where}{path}: cannot be read ({e.strerror or e})")
        return "", ""
    except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
        line = f"line {e.lineno}: " if isinstance(e, SyntaxError) and e.lineno else ""
        wrong.append(f"{where}{path}: {line}is not valid Python ({getattr(e, 'msg', None) or e})")
        return "", ""
    names = [n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    names += [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    names += [a.asname or a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names]
    if function not in names:
        near = get_close_matches(function, names, n=1)
        wrong.append(f"{where}{path}: has no function {function!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    if not allow_code:
        wrong.append(f"{where}{path}:{function} is code that runs on this machine; read it, and add --allow-code")
    return str(path.resolve()), hashlib.sha256(data).hexdigest()


def _schema(spec: JsonSchema) -> list[str]:
    if find_spec("jsonschema") is None:
        return []
    from jsonschema import SchemaError, validators

    validator = validators.validator_for(spec.schema_, default=validators.Draft202012Validator)
    try:
        validator.check_schema(spec.schema_)
    except SchemaError as e:
        return [f"schema{''.join(f'.{p}' for p in e.absolute_path)}: {e.message[:200]}"]
    return []
