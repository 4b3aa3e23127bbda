"""sample is generate, score and select: the same files, nothing done twice, every option of the three."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prefdata.errors import UsageError
from prefdata.llm.options import ClientOptions
from prefdata.sampling.generate import generate
from prefdata.sampling.generate_options import GenerateOptions
from prefdata.sampling.sample import files_of, sample
from prefdata.sampling.sample_options import OF_RUN, SCORE, SELECT, SampleOptions, parts
from prefdata.sampling.score import score
from prefdata.sampling.score_options import ScoreOptions
from prefdata.sampling.select import select
from prefdata.sampling.select_options import SelectOptions
from tests.checks.build import pair, write
from tests.train import tiny

pytest.importorskip("torch")
WORDS = ["yes", "no", "dog", "cat", "it is", "why", "because of the", "fox"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import AutoModelForSequenceClassification

    made = tmp_path_factory.mktemp("models")
    tiny.saved(made / "policy", WORDS, hidden=32)
    words = tiny.tokenizer(WORDS)
    config = tiny.model(vocabulary=len(words), hidden=32, seed=3).config
    config.num_labels = 1
    rm = AutoModelForSequenceClassification.from_config(config)
    rm.save_pretrained(made / "rm")
    words.save_pretrained(made / "rm")
    write(made / "prompts.jsonl", [pair("yes", "no", prompt=f"Q {w} {i}") for i, w in enumerate(WORDS)])
    return made


def options(folder: Path, **more: object) -> object:
    said = {"policy": f"hf:{folder}/policy", "n": 3, "max_tokens": 6, "reward_model": str(folder / "rm"), "truncated": "keep", "seed": 5}
    return SampleOptions.model_validate({**said, **more})


def test_it_writes_what_the_three_commands_write(folder: Path, tmp_path: Path) -> None:
    data = str(folder / "prompts.jsonl")
    found = sample(data, str(tmp_path / "a.jsonl"), options(folder, select="rso", k=2, beta=2.0))
    assert list(found.steps) == ["generate", "score", "select"]
    one, two, three = (str(tmp_path / n) for n in ("g.parquet", "s.parquet", "b.jsonl"))
    generate(data, one, GenerateOptions(policy=f"hf:{folder}/policy", n=3, max_tokens=6, seed=5))
    score(one, two, ScoreOptions(reward_model=str(folder / "rm"), seed=5))
    select(two, three, SelectOptions(method="rso", k=2, beta=2.0, truncated="keep", seed=5))
    assert (tmp_path / "a.jsonl").read_bytes() == Path(three).read_bytes()
    assert [Path(f).read_bytes() for f in files_of(str(tmp_path / "a.jsonl"))] == [Path(one).read_bytes(), Path(two).read_bytes()]


def test_another_rule_costs_no_generation(folder: Path, tmp_path: Path) -> None:
    data, out = str(folder / "prompts.jsonl"), str(tmp_path / "a.jsonl")
    sample(data, out, options(folder))
    again = sample(data, out, options(folder, select="adjacent"))
    assert [s.up_to_date for s in again.steps.values()] == [True, True, False]
    assert [s.up_to_date for s in sample(data, out, options(folder, select="adjacent")).steps.values()] == [True, True, True]


def test_it_stops_where_it_is_told(folder: Path, tmp_path: Path) -> None:
    data, out = str(folder / "prompts.jsonl"), tmp_path / "a.jsonl"
    assert list(sample(data, str(out), options(folder, until="generate")).steps) == ["generate"]
    assert list(sample(data, str(out), options(folder, until="score")).steps) == ["generate", "score"]
    assert not out.exists()
    sample(data, str(out), options(folder))
    assert json.loads(Path(f"{out}.manifest.json").read_text())["command"] == "select"


def test_every_option_of_the_three_is_there() -> None:
    for model, renamed in ((ScoreOptions, SCORE), (SelectOptions, SELECT)):
        for name in model.model_fields:
            assert renamed.get(name, name) in SampleOptions.model_fields, name
    clash = set(ScoreOptions.model_fields) & set(SelectOptions.model_fields)
    assert clash - set(SCORE) - set(SELECT) - {"seed", "limit", "force"} == set()


def test_options_reach_their_command() -> None:
    said = {"policy": "m", "select": "rso", "beta": 2, "implicit_beta": 0.3, "temperature": 0.5, "p_temperature": 3, "seed": 4, "limit": 7}
    how, scorers, rule = parts(SampleOptions.model_validate({**said, "judge": "rubric", "base_url": "http://a/v1", "judge_model": "j"}))
    assert (how.temperature, how.seed, how.limit) == (0.5, 4, 7)
    assert (scorers.beta, scorers.temperature, scorers.seed, scorers.limit) == (0.3, None, 4, None)
    assert (scorers.model, scorers.base_url) == ("j", ["http://a/v1"])
    assert (rule.method, rule.beta, rule.temperature, rule.seed, rule.limit) == ("rso", 2.0, 3.0, 4, None)
    assert set(OF_RUN) <= {*GenerateOptions.model_fields, *ClientOptions.model_fields}


def test_mistakes_are_told_before_anything_is_generated(folder: Path, tmp_path: Path) -> None:
    data = str(folder / "prompts.jsonl")
    with pytest.raises(UsageError, match="score by what"):
        sample(data, str(tmp_path / "a.jsonl"), SampleOptions.model_validate({"policy": f"hf:{folder}/policy"}))
    with pytest.raises(UsageError, match="--min-confidence"):
        sample(data, str(tmp_path / "a.jsonl"), options(folder, min_confidence=0.9))
    with pytest.raises(UsageError, match="nothere: no such folder"):
        sample(data, str(tmp_path / "a.jsonl"), options(folder, reward_model=str(tmp_path / "nothere")))
    with pytest.raises(UsageError, match="the name of an output ends in"):
        sample(data, str(tmp_path / "a.txt"), options(folder))
    with pytest.raises(UsageError, match="several files"):
        sample(data, "-", options(folder))
    assert list(tmp_path.iterdir()) == []
