"""Formulas of multi graders: numbers, the graders' names, + - * / ^ and a few functions. They are parsed and walked, never run as code."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from prefdata.graders.graded import Failed

FUNCTIONS: dict[str, tuple[Callable[..., float], int | None]] = {
    "min": (min, None),
    "max": (max, None),
    "abs": (abs, 1),
    "floor": (math.floor, 1),
    "ceil": (math.ceil, 1),
    "exp": (math.exp, 1),
    "sqrt": (math.sqrt, 1),
    "log": (math.log, 1),
}
"""The documented functions with the number of their arguments (None: one or more). `log` is the natural logarithm."""
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: math.pow,
}
LONGEST, DEEPEST = 2_000, 100
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Formula:
    """A checked formula and the names that it uses."""

    text: str
    tree: ast.expr = field(compare=False)
    names: frozenset[str]


def parse(text: str, names: Mapping[str, object]) -> Formula:
    """The formula over these names. Raises ValueError with what is wrong with it."""
    if len(text) > LONGEST:
        raise ValueError(f"a formula has at most {LONGEST:,} characters")
    if "**" in text:
        raise ValueError("powers are written a ^ b")
    if not text.isascii() or not re.fullmatch(r"[\w\s+\-*/^(),.]*", text):
        raise ValueError("a formula is made of numbers, names, + - * / ^ ( ) and commas")
    try:
        tree = ast.parse(" ".join(text.split()).replace("^", "**"), mode="eval").body
        used = frozenset(_check(tree, names))
    except SyntaxError as e:
        raise ValueError(f"is no formula ({e.msg})") from None
    except (RecursionError, MemoryError):
        raise ValueError("is nested too deeply") from None
    return Formula(text, tree, used)


def _check(node: ast.expr, names: Mapping[str, object], depth: int = 0) -> list[str]:
    """The names below a node. Whatever is not listed here does not exist."""
    if depth > DEEPEST:
        raise ValueError("is nested too deeply")
    below = depth + 1
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        if len(ast.unparse(node)) > 30 or not math.isfinite(node.value):  # type: ignore[arg-type]
            raise ValueError("a number is too large")
        return []
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise ValueError(f"{node.id!r} is no grader of 'graders' ({', '.join(names)})")
        return [node.id]
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _check(node.left, names, below) + _check(node.right, names, below)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        return _check(node.operand, names, below)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        name = node.func.id
        if name not in FUNCTIONS:
            raise ValueError(f"there is no function {name!r}; there are {', '.join(FUNCTIONS)}")
        wanted = FUNCTIONS[name][1]
        if (wanted is None and not node.args) or (wanted is not None and len(node.args) != wanted):
            raise ValueError(f"{name}() takes {wanted or 'at least 1'} argument{'s' if wanted not in (1, None) else ''}")
        return [n for a in node.args for n in _check(a, names, below)]
    raise ValueError("a formula is made of numbers, names, + - * / ^, parentheses and functions")


def value(formula: Formula, scores: Mapping[str, float]) -> float:
    """The value for the scores of the graders. Raises Failed (formula) where it has none."""
    try:
        found = _value(formula.tree, scores)
    except ZeroDivisionError:
        raise Failed("formula", "a division by 0") from None
    except OverflowError:
        raise Failed("formula", "a number is too large") from None
    except ValueError:
        raise Failed("formula", "a root, power or logarithm that is no real number") from None
    if not math.isfinite(found):
        raise Failed("formula", "the value is not finite")
    return found


def _value(node: ast.expr, scores: Mapping[str, float]) -> float:
    if isinstance(node, ast.Constant):
        return float(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.Name):
        return scores[node.id]
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](_value(node.left, scores), _value(node.right, scores))
    if isinstance(node, ast.UnaryOp):
        number = _value(node.operand, scores)
        return -number if isinstance(node.op, ast.USub) else number
    assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    given = [_value(a, scores) for a in node.args]
    function = FUNCTIONS[node.func.id][0]
    return float(function(given) if FUNCTIONS[node.func.id][1] is None else function(*given))
