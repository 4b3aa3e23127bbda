"""math_answer, regex, json_schema, rank_position."""

from __future__ import annotations

import time
from typing import Any

import pytest

from prefdata.errors import UsageError
from prefdata.graders.run import load_grader
from tests.graders.rows import codes, graded, row, scores

MATH = {"type": "math_answer", "reference": "{{ item.answer }}"}


def test_math() -> None:
    """(answer, reference) and whether they are equal."""
    cases = [
        ("So we get \\boxed{\\frac{1}{2}}.", "0.5", 1),
        ("\\boxed{7}, or was it 8?", "7", 1),
        ("3 and 4 make 7. The answer is 7.", "#### 7", 1),
        ("... 72 clips.\n#### 72", "Natalia sold 48/2 = 24.\n#### 72", 1),
        ("$x^2 + 2x + 1$", "(x+1)^2", 1),
        ("$2\\sqrt{2}$", "$\\sqrt{8}$", 1),
        ("2\\sqrt{2}", "\\sqrt{8}", 1),
        ("The set is $\\{2, 1\\}$", "\\{1, 2\\}", 1),
        ("$(1, 2)$", "(1, 2)", 1),
        ("2", "(1, 2)", 0),
        ("$(2, 1)$", "(1, 2)", 0),
        ("It costs 1,234 dollars.", "1234", 1),
        ("50%", "0.5", 1),
        ("x = 3", "3", 1),
        ("\\$3", "$3", 1),
        ("The answer is 41.", "42", 0),
        ("0.333", "1/3", 0),
        ("$\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}$", "5", 0),
        ("$[1, 2)$", "5", 0),
        ("$x < 3$", "3", 0),
    ]
    found = graded(MATH, *(row(a, answer=b) for a, b, _ in cases))
    assert [(a, b, g.score, g.why) for (a, b, _), g in zip(cases, found, strict=True)] == [(a, b, c, None) for a, b, c in cases]


def test_math_without_an_answer() -> None:
    rows = [row("I do not know.", answer="3"), row("3", answer="Monday"), row("3", answer=""), row("3")]
    assert codes(MATH, *rows) == ["no-answer", "bad-reference", "empty-reference", "invalid-variable"]
    assert scores({**MATH, "invalid_grade": 0}, *rows) == [0.0, None, None, None]
    boxed = {**MATH, "boxed": True}
    assert scores(boxed, row("3", answer="3"), row("\\boxed{3}", answer="3")) == [None, 1.0]


def test_numbers_too_large_to_compare_are_told() -> None:
    """10^10^10 has ten thousand million digits: a time-out, which is not the same as a wrong answer."""
    began = time.monotonic()
    found = codes({**MATH, "timeout": 1.5}, row("$10^{10^{10}}$", answer="3"), row("3", answer="3"))
    assert found[0] in ("time-out", "out-of-memory", "raised")
    assert found[1] == ""
    assert time.monotonic() - began < 30


def test_regex() -> None:
    assert scores({"type": "regex", "pattern": "^\\s*yes\\b", "flags": "i"}, row("Yes, it is"), row("yesterday"), row("")) == [
        1.0,
        0.0,
        0.0,
    ]
    assert scores({"type": "regex", "pattern": "\\d+", "match": "fullmatch"}, row("12"), row("12a")) == [1.0, 0.0]
    last = {"type": "regex", "pattern": "(?i)answer: (?P<a>\\w+)", "group": "a", "reference": "{{ item.a }}"}
    assert scores(last, row("Answer: B. No: answer: C", a="C"), row("answer: B", a="C"), row("B", a="B")) == [1.0, 0.0, None]


def test_a_pattern_that_never_ends() -> None:
    """(a+)+$ needs 2^40 steps; the rows around it are graded."""
    spec = {"type": "regex", "pattern": "^(a+)+$", "timeout": 0.5}
    assert codes(spec, row("aaa"), row("a" * 40 + "b"), row("b")) == ["", "time-out", ""]


def test_json_schema() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"], "additionalProperties": False}
    spec = {"type": "json_schema", "schema": schema}
    answers = ['{"n": 1}', '{"n": 0}', '{"n": "1"}', "{}", '{"n": 1, "m": 2}', '{"n": NaN}', "n: 1", "[" * 100_000]
    assert scores(spec, *map(row, answers)) == [1.0, 0, 0, 0, 0, 0, 0, 0]
    assert scores({"type": "json_schema", "schema": {"type": "null"}}, row("null"), row("nul")) == [1.0, 0.0]


def test_a_schema_leads_nowhere() -> None:
    """A reference to another document is not fetched: the row fails."""
    found = graded({"type": "json_schema", "schema": {"$ref": "http://127.0.0.1:9/schema.json"}}, row("{}"))
    assert found[0].why is not None
    assert found[0].why.startswith("raised: ")
    assert "Unresolvable" in found[0].why or "Unretrievable" in found[0].why


def test_rank_position() -> None:
    spec: dict[str, Any] = {"type": "rank_position", "reference": "{{ item.gene }}"}
    rows = [row(a, gene="BRCA1") for a in ('["BRCA1", "TP53"]', '["TP53", "brca1", "BRCA1"]', '["A","B","C"," BRCA1"]', '["TP53"]')]
    assert scores(spec, *rows) == [1.0, 1 / 2, 1 / 4, 0.0]
    assert scores({**spec, "case_sensitive": True}, *rows) == [1.0, 1 / 3, 1 / 4, 0.0]
    assert codes(spec, row("BRCA1", gene="BRCA1"), row("[]", gene="BRCA1"), row('["A"]', gene=" ")) == [
        "no-answer",
        "no-answer",
        "empty-reference",
    ]
    lines = {**spec, "format": "lines"}
    assert scores(lines, row("1. TP53\n2. BRCA1\n", gene="brca1"), row("- TP53\n\n- X\n* BRCA1", gene="BRCA1"), row("", gene="A")) == [
        1 / 2,
        1 / 3,
        None,
    ]
    inner = {**spec, "input": "{{ sample.output_json.genes }}"}
    assert scores(inner, row('{"genes": [7, "BRCA1"]}', gene="BRCA1"), row('{"genes": [7, "BRCA1"]}', gene="7")) == [1 / 2, 1.0]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"type": "regex", "pattern": "("}, "pattern: is no regular expression"),
        ({"type": "regex", "pattern": "a", "group": 1, "reference": "x"}, "has 0 groups"),
        ({"type": "regex", "pattern": "a", "group": 0}, "'group' and 'reference' go together"),
        ({"type": "json_schema", "schema": {"type": "objekt"}}, "schema.type: 'objekt' is not valid"),
        ({"type": "math_answer"}, "reference: Field required"),
        ({"type": "rank_position", "reference": "{{ item.x", "frmat": "json"}, "without '}}'"),
    ],
)
def test_refused(spec: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        load_grader(spec)
