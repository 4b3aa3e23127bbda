"""What runs in a grader's own process: each job takes what it is set up with and gives a function from an answer's texts to a score.

There, because hostile answers can make these libraries run without end: patterns backtrack, SymPy computes 10^10^10, similarities are
quadratic.
"""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from numbers import Real
from pathlib import Path
from typing import Any

from prefdata.graders.graded import Failed
from prefdata.graders.specs import bits

_WORDS = re.compile(r"[^\W\d_]{2}|\$|\\[(\[]|####|\n")
"""A text of words or with marked formulas, not one bare formula."""
_PERCENT = re.compile(r"(?<!\\)%")
Job = Callable[[dict[str, Any]], Any]


def regex(setup: dict[str, Any]) -> Job:
    """Python's `re`, for patterns that people know."""
    pattern = re.compile(setup["pattern"], bits(setup["flags"]))
    group, whole = setup["group"], setup["match"] == "fullmatch"

    def grade(texts: dict[str, Any]) -> float:
        if group is None:
            return float(bool(pattern.fullmatch(texts["input"]) if whole else pattern.search(texts["input"])))
        found = [pattern.fullmatch(texts["input"])] if whole else deque(pattern.finditer(texts["input"]), 1)
        last = found[0] if found else None
        if last is None or last[group] is None:
            raise Failed("no-answer", "the pattern does not match")
        return float(last[group].strip() == texts["reference"].strip())

    return grade


def json_schema(setup: dict[str, Any]) -> Job:
    """jsonschema; references lead nowhere outside of the schema."""
    import referencing
    from jsonschema import validators

    from prefdata.graders.rows import parsed

    schema = setup["schema"]
    validator = validators.validator_for(schema, default=validators.Draft202012Validator)(schema, registry=referencing.Registry())

    def grade(texts: dict[str, Any]) -> float:
        found = parsed(texts["input"])
        if found is None and texts["input"].strip() != "null":
            return 0.0
        return float(validator.is_valid(found))

    return grade


def math_answer(setup: dict[str, Any]) -> Job:
    """math-verify: extraction (the last \\boxed{}, else the last expression), normalisation, comparison with SymPy.

    Its own time-outs are off: they count as "not equal", and are told as time-outs here.
    """
    import logging

    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    logging.disable()
    latex = LatexExtractionConfig(boxed_match_priority=0)
    answers = [latex] if setup["boxed"] else [latex, ExprExtractionConfig()]

    def read(text: str, by: list[Any]) -> list[Any]:
        found: list[Any] = []
        if not _WORDS.search(re.sub(r"\\[A-Za-z]+", "", text)):  # a bare formula: of "(1, 2)" only the last number would be read
            found = parse(f"${_PERCENT.sub(chr(92) + chr(92) + '%', text)}$", [latex], parsing_timeout=None, raise_on_error=True)
        return found or list(parse(text, by, parsing_timeout=None, raise_on_error=True))

    def grade(texts: dict[str, Any]) -> float:
        wanted = read(texts["reference"].replace("\\$", ""), [latex, ExprExtractionConfig()])
        if not wanted:
            raise Failed("bad-reference", "there is no mathematical expression in it")
        if setup["boxed"] and "\\boxed" not in texts["input"]:
            raise Failed("no-answer", "there is no \\boxed{} in it")
        said = read(texts["input"].replace("\\$", ""), answers)
        if not said:
            raise Failed("no-answer", "there is no mathematical expression in it")
        return float(verify(wanted, said, float_rounding=setup["digits"], timeout_seconds=None, raise_on_error=True))

    read("$\\frac{1}{2}$", answers)  # builds the grammar, which takes longer than an answer may
    return grade


def text_similarity(setup: dict[str, Any]) -> Job:
    from prefdata.graders.similarity import metric

    measure = metric(setup["evaluation_metric"])
    return lambda texts: measure(texts["input"], texts["reference"])


def function(setup: dict[str, Any]) -> Job:
    """The user's. Modules beside its file can be imported."""
    path = Path(setup["path"])
    sys.path.insert(0, str(path.parent))
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    call = getattr(module, setup["name"])
    if not callable(call):
        raise TypeError(f"{setup['name']} is no function")
    return lambda row: call(row["sample"], row["item"])


JOBS: dict[str, Callable[[dict[str, Any]], Job]] = {
    "regex": regex,
    "json_schema": json_schema,
    "math_answer": math_answer,
    "text_similarity": text_similarity,
    "function": function,
}


def score(found: Any) -> float:
    """A job's result as a number. Raises Failed."""
    if not isinstance(found, Real):
        raise Failed("wrong-type", f"it returned {type(found).__name__[:60]}, not a number")
    number = float(found)
    if number != number or number in (float("inf"), float("-inf")):
        raise Failed("not-finite", f"it returned {number}")
    return number
