"""The examples of OpenAI's grader guide and API reference give what is documented there."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefdata.errors import UsageError
from prefdata.graders.run import load_grader, row_of
from tests.graders.rows import codes, graded, row, scores

EQUAL = {
    "type": "string_check",
    "name": "Example string check grader",
    "input": "{{sample.output_text}}",
    "reference": "{{item.label}}",
    "operation": "eq",
}
FIELDS = {
    "type": "multi",
    "graders": {
        "name": {
            "name": "name_grader",
            "type": "text_similarity",
            "input": "{{sample.output_json.name}}",
            "reference": "{{item.name}}",
            "evaluation_metric": "fuzzy_match",
            "pass_threshold": 0.9,
        },
        "email": {
            "name": "email_grader",
            "type": "string_check",
            "input": "{{sample.output_json.email}}",
            "reference": "{{item.email}}",
            "operation": "eq",
        },
    },
    "calculate_output": "(name + email) / 2",
}
TOOLS = {
    "type": "multi",
    "graders": {
        "function_name": {
            "name": "function_name",
            "type": "string_check",
            "input": "get_acceptors",
            "reference": "{{sample.output_tools[0].function.name}}",
            "operation": "eq",
        },
        "arguments": {
            "name": "arguments",
            "type": "string_check",
            "input": '{"smiles": "{{item.smiles}}"}',
            "reference": "{{sample.output_tools[0].function.arguments}}",
            "operation": "eq",
        },
    },
    "calculate_output": "0.5 * function_name + 0.5 * arguments",
}


@pytest.mark.parametrize(
    ("operation", "expected"),
    # Paris = Paris, paris, It is Paris., it is PARIS
    [("eq", [1, 0, 0, 0]), ("ne", [0, 1, 1, 1]), ("like", [1, 0, 1, 0]), ("ilike", [1, 1, 1, 1])],
)
def test_string_check(operation: str, expected: list[float]) -> None:
    """eq and ne mind the case, like: the input contains the reference, ilike: in any case."""
    answers = ["Paris", "paris", "It is Paris.", "it is PARIS"]
    assert scores({**EQUAL, "operation": operation}, *(row(a, label="Paris") for a in answers)) == expected
    assert scores({**EQUAL, "operation": "like"}, row("Par", label="Paris")) == [0]  # not the other way round


def test_fields_of_a_json_answer() -> None:
    """The guide: a wrong email gives 0 to 0.5, a right one 0.5 to 1; the name may have typos."""
    item = {"name": "John Doe", "email": "john.doe@gmail.com"}
    right, typo, wrong, none = graded(
        FIELDS,
        row('{"name": "John Doe", "email": "john.doe@gmail.com"}', **item),
        row('{"name": "Jon Doe", "email": "john.doe@gmail.com"}', **item),
        row('{"name": "John Doe", "email": "john@gmail.com"}', **item),
        row("John Doe, john.doe@gmail.com", **item),
    )
    assert (right.score, wrong.score) == (1.0, 0.5)
    # 7 of 8 letters in order: 2 * 7 / (8 + 7)
    assert typo.score == pytest.approx((14 / 15 + 1) / 2)
    assert dict(typo.parts) == {"name": pytest.approx(14 / 15), "email": 1.0}
    assert none.score is None
    assert none.why is not None
    assert none.why.startswith("sample-parse: sample.output_json.email: the answer is no JSON")


def test_tool_calls() -> None:
    def call(name: str, arguments: str) -> dict[str, object]:
        calls = [{"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}]
        return row_of({"meta": '{"smiles": "CCO"}'}, [{"role": "assistant", "content": "", "tool_calls": calls}])

    rows = [call("get_acceptors", '{"smiles": "CCO"}'), call("get_acceptors", "{}"), call("other", "{}"), row("no call", smiles="CCO")]
    assert scores(TOOLS, *rows) == [1.0, 0.5, 0.0, None]
    assert codes(TOOLS, rows[3]) == ["sample-parse"]


def test_fuzzy_wuzzy(tmp_path: Path) -> None:
    """The guide's Python grader, as a function of a file, and its metric as text_similarity: 17 letters in order, 2 * 17 / (23 + 22)."""
    (tmp_path / "grader.py").write_text(
        "from rapidfuzz import fuzz, utils\n\n"
        "def grade(sample, item) -> float:\n"
        '    return fuzz.WRatio(sample["output_text"], item["reference_answer"], processor=utils.default_process) / 100.0\n'
    )
    one = row("fuzzy wuzzy was a bear", reference_answer="fuzzy wuzzy had no hair")
    assert scores(f"{tmp_path}/grader.py:grade", one, allow_code=True) == [pytest.approx(34 / 45)]
    similar = {
        "type": "text_similarity",
        "name": "Example text similarity grader",
        "input": "{{sample.output_text}}",
        "reference": "{{item.reference_answer}}",
        "evaluation_metric": "fuzzy_match",
    }
    assert scores(similar, one) == [pytest.approx(34 / 45)]


def test_code_in_a_grader_is_refused() -> None:
    python = {"type": "python", "source": "def grade(sample, item):\n    return 1.0", "image_tag": "2025-05-08"}
    with pytest.raises(UsageError, match=r"put it into a file and name the function.*--allow-code"):
        load_grader(python, allow_code=True)


def test_the_broken_example_of_the_reference_is_told() -> None:
    """Its graders are a list, so the formula's names mean nothing, and its last parenthesis is one too many."""
    broken = {
        "type": "multi",
        "name": "example multi grader",
        "graders": [{**EQUAL, "name": "Example string check grader"}],
        "calculate_output": "0.5 * text_similarity_score +  0.5 * string_check_score)",
    }
    with pytest.raises(UsageError, match="not a list: the formula needs the names"):
        load_grader(broken)
    with pytest.raises(UsageError, match=r"calculate_output: is no formula \(unmatched '\)'\)"):
        load_grader({**broken, "graders": {"string_check_score": EQUAL}})


def test_no_multi_in_a_multi_and_no_embeddings() -> None:
    with pytest.raises(UsageError, match=r"graders\.inner: a multi grader has no multi graders in it"):
        load_grader({"type": "multi", "graders": {"inner": FIELDS}, "calculate_output": "inner"})
    with pytest.raises(UsageError, match="cosine compares embeddings"):
        load_grader({**EQUAL, "type": "text_similarity", "evaluation_metric": "cosine"})
