"""Grader files: everything that is wrong is told at once, with line and field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prefdata.errors import UsageError
from prefdata.graders.run import load_grader
from tests.graders.rows import row, scores

YAML = """\
type: multi
name: both
graders:
  right:
    type: string_check
    input: "{{ sample.output_text }}"
    reference: "{{ item.answer }}"
    operation: ilike
  short:
    type: regex
    pattern: ^.{1,20}$
calculate_output: 0.8 * right + 0.2 * short
"""


def told(path: Path, text: str) -> list[str]:
    path.write_text(text)
    with pytest.raises(UsageError) as e:
        load_grader(path)
    return [line.replace(str(path), path.name) for line in str(e.value).split("\n")]


def test_yaml_and_json_are_the_same(tmp_path: Path) -> None:
    import yaml

    (tmp_path / "g.yaml").write_text(YAML)
    (tmp_path / "g.json").write_text(json.dumps(yaml.safe_load(YAML), indent="\t"))
    one, other = load_grader(tmp_path / "g.yaml"), load_grader(str(tmp_path / "g.json"))
    assert one == other
    assert (one.name, one.annotator, list(one.parts), one.asks) == ("both", "grader:both", ["right", "short"], ())
    assert scores(tmp_path / "g.yaml", row("It is Paris.", answer="paris")) == [1.0]


def test_all_problems_at_once(tmp_path: Path) -> None:
    wrong = YAML.replace("ilike", "ILIKE").replace("{{ item.answer }}", "{{ record.answer }}").replace("pattern:", "patern:")
    wrong = wrong.replace("0.8 * right + 0.2 * short", "0.8 * right + 0.2 * long")
    assert told(tmp_path / "g.yaml", wrong) == [
        "g.yaml: line 7: graders.right: reference: {{ record.answer }}: "
        "variables begin with 'item.' (the record) or 'sample.' (the answer)",
        "g.yaml: line 8: graders.right: operation: Input should be 'eq', 'ne', 'like' or 'ilike'",
        "g.yaml: line 10: graders.short: pattern: Field required",
        "g.yaml: line 11: graders.short: there is no key 'patern'; did you mean 'pattern'?",
        "g.yaml: line 12: calculate_output: 'long' is no grader of 'graders' (right, short)",
    ]


def test_json_has_lines(tmp_path: Path) -> None:
    lines = [
        '{"type": "string_check",',
        '\t"input": "{{ sample.output_text }}",',
        '\t"reference": "\\ud83d\\ude00",',
        '\t"operation": "equals"}',
    ]
    text = "\n".join(lines)
    assert told(tmp_path / "g.json", text) == ["g.json: line 4: operation: Input should be 'eq', 'ne', 'like' or 'ilike'"]
    (tmp_path / "g.json").write_text(text.replace("equals", "eq"))
    assert scores(tmp_path / "g.json", row("😀"), row("x")) == [1.0, 0.0]


ASKS = '"model": "m", "input": [{"role": "user", "content": '
IMAGE = '{"type": "score_model", ' + ASKS + '{"type": "input_image", "image_url": "x"}}]}'
LABELS = '{"type": "label_model", "labels": ["a", "b"], "passing_labels": ["c"], ' + ASKS + '"x"}]}'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"type": "string_check",', "not valid JSON"),
        ('{"type": "multi", "type": "regex"}', "'type' occurs twice"),
        ("[]", "a grader is one JSON object"),
        ("{}", "type: None is no grader; there are string_check, text_similarity, score_model"),
        ('{"type": "string-check"}', "did you mean 'string_check'"),
        ('{"type": "multi", "graders": {}, "calculate_output": "1"}', "graders: Dictionary should have at least 1 item"),
        ('{"type": "multi", "graders": {"min": {"type": "regex", "pattern": "a"}}, "calculate_output": "1"}', "is none of min, max"),
        ('{"type": "multi", "graders": {"a-b": {"type": "regex", "pattern": "a"}}, "calculate_output": "1"}', "letters, digits and _"),
        (IMAGE, "text only"),
        ('{"type": "score_model", "model": "m", "range": [1, 0], "input": [{"role": "user", "content": "x"}]}', "lowest to the highest"),
        (LABELS, r"\['c'\] are no labels"),
    ],
)  # fmt: skip
def test_refused(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "g.json").write_text(text)
    with pytest.raises(UsageError, match=why):
        load_grader(tmp_path / "g.json")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_grader(tmp_path / "none.json")


def test_listed() -> None:
    """`prefdata list graders` and the page name every type; the page every metric and reason, too."""
    from typing import get_args

    from prefdata.graders.graded import REASONS
    from prefdata.graders.specs import TYPES, Metric

    page = (Path(__file__).parents[2] / "docs" / "graders.md").read_text()
    for name in (*TYPES, *get_args(Metric), *REASONS):
        assert f"`{name}`" in page, name
