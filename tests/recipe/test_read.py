"""What a recipe may say: every mistake is told with its line before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefdata.errors import UsageError
from prefdata.recipe.places import made_by, placed
from prefdata.recipe.read import read
from prefdata.recipe.variables import Given, filled, overridden


def recipe(folder: Path, text: str) -> str:
    path = folder / "r.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


GOOD = """
name: r
vars: {data: raw.jsonl, share: 0.1}
seed: 7
steps:
  - convert: {data: "${data}", from: hh-rlhf, out: a/pairs.parquet, min-margin: 1}
  - export: {data: a/pairs.parquet, to: trl, split: {test: "${share}"}, out: trl}
    name: for trl
  - export: {data: [a/pairs.parquet], to: openai-dpo, out: openai}
"""


def test_a_recipe_becomes_options_and_paths(tmp_path: Path) -> None:
    path = recipe(tmp_path, GOOD)
    found = read(path, ["share=0.25"], str(tmp_path / "out"))
    first, second, third = found.steps
    assert [s.name for s in found.steps] == ["convert", "for trl", "export 2"]
    assert first.data == [str(tmp_path / "raw.jsonl")]
    assert first.options.model_dump()["from_"] == "hh-rlhf"
    assert first.options.model_dump()["seed"] == 7
    assert first.options.model_dump()["min_margin"] == 1.0
    assert second.data == third.data == [str(tmp_path / "out" / "a" / "pairs.parquet")]
    assert second.options.model_dump()["split"] == {"test": 0.25}
    assert second.out == str(tmp_path / "out" / "trl")


def test_paths_of_the_command_line_are_meant_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = recipe(tmp_path, GOOD)
    monkeypatch.chdir(tmp_path.parent)
    assert read(path).steps[0].data == [f"{tmp_path.name}/raw.jsonl"]
    assert read(path, ["data=other.jsonl"]).steps[0].data == ["other.jsonl"]


WRONG = [
    ("steps:\n  - convert: {data: a, out: b.jsonl}", "line 1: name"),
    ("name: r\nsteps: []", "line 2"),
    ("name: r\nsteps:\n  - convrt: {data: a, out: b.jsonl}", "line 3: there is no command 'convrt'; did you mean 'convert'?"),
    ("name: r\nsteps:\n  - convert: {data: a, out: b.jsonl}\n    export: {}", "line 3: a step is one command"),
    ("name: r\nsteps:\n  - convert: {data: a, out: b.jsonl, form: hh}", "line 3: convert: there is no key 'form'; did you mean 'from'?"),
    ("name: r\nsteps:\n  - convert:\n      data: a\n      out: b.jsonl\n      limit: 0", "line 6: convert: limit"),
    ("name: r\nsteps:\n  - convert:\n      data: a\n      out: ../b.jsonl", "line 5: convert: out"),
    ("name: r\nsteps:\n  - convert:\n      data: a\n      out: /b.jsonl", "line 5: convert: out"),
    ("name: r\nsteps:\n  - convert: {out: b.jsonl}", "line 3: convert: data"),
    ("name: r\nsteps:\n  - convert: {data: a}", "line 3: convert: out: name what it writes"),
    ("name: r\nsteps:\n  - convert: {data: '-', out: b.jsonl}", "stdin"),
    ("name: r\nsteps:\n  - convert: {data: '${x}', out: b.jsonl}", "line 3: there is no variable 'x'; vars has none"),
    ("name: r\nvars: {y: [a, b]}\nsteps:\n  - convert: {data: 'f-${y}', out: b.jsonl}", "line 4: data: a list can only"),
    (
        "name: r\nsteps:\n  - convert: {data: a, out: b.jsonl}\n  - convert: {data: a, out: ./b.jsonl}",
        "line 4: convert: out: an earlier step",
    ),
    (
        "name: r\nsteps:\n  - convert: {data: a, out: b.jsonl}\n    name: x\n  - convert: {data: a, out: c.jsonl}\n    name: x",
        "line 5: a step is already called 'x'",
    ),
    ("name: r\nname: s\nsteps: []", "line 2: 'name' stands here for the second time"),
    ("name: ../evil\nsteps:\n  - convert: {data: a, out: b.jsonl}", "line 1: name"),
    ("name: r\nsteps:\n  - convert: 3", "line 3: convert: has to be keys with values"),
]


@pytest.mark.parametrize(("text", "words"), WRONG, ids=range(len(WRONG)))
def test_mistakes_have_their_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError) as e:
        read(recipe(tmp_path, text))
    assert words in str(e.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = "name: r\nsteps:\n  - convert: {data: a, otu: b}\n  - valdate: {}\n  - export: {data: a, out: x, to: trl, nope: 1}"
    with pytest.raises(UsageError) as e:
        read(recipe(tmp_path, text))
    assert [f"line {n}" in str(e.value) for n in (3, 4, 5)] == [True, True, True]


def test_variables() -> None:
    known = {"n": 3, "names": ["a", "b"], "on": True, "none": None}
    assert filled("${n}", known, {}) == Given(3, False)
    assert filled("x-${n}-${on}", known, {"n": 3}) == Given("x-3-true", True)
    with pytest.raises(ValueError, match="give none="):
        filled("${none}", known, {})
    assert filled(["${names}", "c"], known, {}).value == ["a", "b", "c"]
    assert filled({"k": ["${n}"]}, known, {}).value == {"k": [3]}
    made = {
        "model": "m",
        "policy": "hf:${model}",
        "all": "${names}",
        "names": ["a"],
        "loop": "${loop}",
        "lost": "${no}",
        "bare": "${none}",
        **known,
    }
    assert filled("${policy}", made, {}) == Given("hf:m", False)
    assert filled("x ${policy}", made, {"model": "m"}) == Given(
        "x hf:m", True
    )  # a path of the command line, though another variable has it
    assert filled(["${all}"], made, {}).value == ["a", "b"]
    assert (
        filled("${policy}", {**made, "policy": "${model}"}, {"policy": "${model}"}).value == "${model}"
    )  # a value that was given is a value
    with pytest.raises(ValueError, match="loop is made of itself"):
        filled("${loop}", made, {})
    with pytest.raises(KeyError, match="no"):
        filled("${lost}", made, {})
    with pytest.raises(ValueError, match="give none="):
        filled("${bare}", made, {})
    assert overridden(known, ["n=4", "on=no", "names=[x]", "none=a: b: c"], "f") == {"n": 4, "on": False, "names": ["x"], "none": "a: b: c"}
    with pytest.raises(UsageError, match=r"nams=1: there is no variable 'nams'; did you mean 'names'\?"):
        overridden(known, ["nams=1"], "f")
    with pytest.raises(UsageError, match="name=value"):
        overridden(known, ["n"], "f")


@given(st.text(max_size=30))
def test_texts_without_variables_stay(text: str) -> None:
    assert "${" in text or filled(text, {}, {}).value == text


def test_places(tmp_path: Path) -> None:
    outputs = ["pairs.parquet", "a/dpo"]
    for name in ("pairs.parquet", "./pairs.parquet", "pairs.parquet.rejects.jsonl", "a/dpo", "a/dpo/model.safetensors"):
        assert made_by(name, outputs), name
    for name in ("pairs", "a", "a/dpo2", "b/pairs.parquet"):
        assert not made_by(name, outputs), name
    how: dict[str, Any] = {"outputs": outputs, "out": str(tmp_path), "base": str(tmp_path / "base")}
    assert placed("rm:a/dpo", must=False, **how) == f"rm:{tmp_path / 'a' / 'dpo'}"
    assert placed("pairwise", must=False, **how) == "pairwise"
    assert placed("gpt-9", must=False, **how) == "gpt-9"
    assert placed("x.jsonl", must=True, **how) == str(tmp_path / "base" / "x.jsonl")


def test_the_schema_is_current_and_takes_what_is_shipped() -> None:
    """schemas/recipe.json is what editors check by: a validator of its own finds every shipped recipe right, and a wrong key wrong."""
    import json

    import jsonschema
    import yaml

    from prefdata.recipe.schema import recipe_schema
    from prefdata.shipped import folder

    text = recipe_schema()
    assert (Path(__file__).parents[2] / "schemas" / "recipe.json").read_text(encoding="utf-8") == text, "run: make docs"
    validator = jsonschema.Draft202012Validator(json.loads(text))
    for path in sorted(folder("recipes").glob("*.yaml")):
        assert [e.message for e in validator.iter_errors(yaml.safe_load(path.read_text(encoding="utf-8")))] == [], path.name
    wrong = {"name": "x", "steps": [{"convert": {"data": "a", "out": "b.jsonl", "limmit": 3}}]}
    assert not validator.is_valid(wrong)
