"""Formulas are arithmetic, and nothing else."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefdata.graders.formula import parse, value
from prefdata.graders.graded import Failed

A = {"a": 0.25, "b": 0.5, "c_2": 0.0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", 0.25),
        ("0.5 * a + 0.5 * b", 0.375),
        ("(a + b) / 2", 0.375),
        ("a - b - 1", -1.25),
        ("2 ^ 3 ^ 2", 512.0),
        ("-2 ^ 2", -4.0),
        ("b ^ 2 / a", 1.0),
        ("min(a, b, 1) + max(a, b)", 0.75),
        ("abs(a - b) + floor(2.7) + ceil(1.2)", 4.25),
        ("sqrt(a) + exp(0) + log(1)", 1.5),
        ("log(exp(2))", 2.0),
        ("(100 - abs(a - b)) / 100", 0.9975),
        ("1e3 * c_2\n + 7", 7.0),
    ],
)
def test_values(text: str, expected: float) -> None:
    assert value(parse(text, A), A) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["a / c_2", "log(c_2)", "sqrt(-a)", "(0-a) ^ b", "exp(1e9)", "9^9^9^9", "c_2 ^ -1", "1e308 * 10"])
def test_no_value(text: str) -> None:
    with pytest.raises(Failed, match="formula:"):
        value(parse(text, A), A)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no formula"),
        ("a +", "is no formula"),
        ("a b", "is no formula"),
        ("d", "'d' is no grader"),
        ("a ** 2", "written a \\^ b"),
        ("__import__('os').system('true')", "made of"),
        ("a.real", "made of"),
        ("().__class__", "made of"),
        ("open(a)", "no function 'open'"),
        ("eval(a)", "no function 'eval'"),
        ("min", "'min' is no grader"),
        ("min()", "at least 1"),
        ("sqrt(a, b)", "takes 1 argument$"),
        ("a if b else c_2", "made of"),
        ("a and b", "made of"),
        ("not a", "made of"),
        ("(a, b)", "made of"),
        ("lambda", "is no formula"),
        ("a := 1", "made of"),
        ("a // b", "made of"),
        ("1j", "made of"),
        ("True", "made of"),
        ("a(b)", "no function 'a'"),
        ("min(*a)", "made of"),
        ("9" * 40, "too large"),
        ("(" * 300 + "a" + ")" * 300, "is no formula|nested"),
        ("-" * 1500 + "a", "nested"),
        ("a+" * 999 + "a", "nested"),
        ("a" * 3000, "at most"),
        ("ａ", "made of"),
    ],
)  # fmt: skip
def test_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(text, A)


@given(st.text(alphabet="ab0123456789.+-*/^(), minaxsqrtlogexp", max_size=60))
def test_whatever_is_parsed_has_a_number_or_a_reason(text: str) -> None:
    try:
        formula = parse(text, {"a": 1, "b": 1})
    except ValueError:
        return
    try:
        assert math.isfinite(value(formula, {"a": 0.3, "b": -2.0}))
    except Failed as e:
        assert e.code == "formula"
