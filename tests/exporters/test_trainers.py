"""The trainers' targets: rows written by hand, refusals, the commands and settings beside the data."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from prefdata.exporters.options import ExportOptions
from prefdata.exporters.run import ExportResult
from prefdata.exporters.run import export as run
from prefdata.exporters.targets import load
from prefdata.schema.ids import turns_key_of
from tests.checks.build import binary, listwise, pair, turn, write

TALK = [turn("system", "S"), turn("user", "Q"), turn("assistant", "a"), turn("user", "R")]
CALLS = [{"id": None, "type": "function", "function": {"name": "f", "arguments": "{}"}}]
WITH_TOOL = [
    turn("user", "Q"),
    {"role": "assistant", "content": "", "tool_calls": CALLS},
    {"role": "tool", "content": "1"},
]
GOOD, BAD = [turn("assistant", "good")], [turn("assistant", "bad")]
KEY = turns_key_of(pl.Series([TALK]))[0][:32]
CHATML = (
    "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n<|im_start|>user\nR<|im_end|>\n"
)
RANKED = [{"rank": 0, "completion": GOOD}, {"rank": 1, "completion": BAD}]
REWARDS = {"reward_A": 1.0, "reward_B": 0.0, "reward_difference": 1.0}
ROWS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "llama-factory",
        "sharegpt",
        {
            "conversations": [
                {"from": "system", "value": "S"},
                {"from": "human", "value": "Q"},
                {"from": "gpt", "value": "a"},
                {"from": "human", "value": "R"},
            ],
            "chosen": {"from": "gpt", "value": "good"},
            "rejected": {"from": "gpt", "value": "bad"},
        },
    ),
    (
        "llama-factory",
        "alpaca",
        {"instruction": "R", "input": "", "chosen": "good", "rejected": "bad", "system": "S", "history": [["Q", "a"]]},
    ),
    ("llama-factory", "kto", {"messages": TALK + GOOD, "label": True}),
    ("openrlhf", "preference", {"chosen": TALK + GOOD, "rejected": TALK + BAD}),
    ("openrlhf", "reward", {"chosen": TALK + GOOD, "rejected": TALK + BAD, "margin": 1.5}),
    ("axolotl", "dpo", {"messages": TALK, "chosen": "good", "rejected": "bad"}),
    (
        "axolotl",
        "chatml",
        {"prompt": CHATML + "<|im_start|>assistant\n", "chosen": "good<|im_end|>", "rejected": "bad<|im_end|>"},
    ),
    ("axolotl", "kto", {"completion": TALK + GOOD, "label": True}),
    ("nemo-rl", "ranked", {"context": TALK, "completions": RANKED}),
    ("torchtune", "preference", {"chosen": TALK + GOOD, "rejected": TALK + BAD}),
    (
        "halos",
        "pairwise",
        {"type": "pairwise_feedback", "prompt_id": KEY, "prompt": TALK, "output_A": GOOD, "output_B": BAD, "label": 1, **REWARDS},
    ),
    (
        "halos",
        "binary",
        {"type": "binary_feedback", "prompt_id": KEY, "prompt": TALK, "output": GOOD, "label": 1, "reward": 1.0},
    ),
    ("ms-swift", "preference", {"messages": TALK + GOOD, "rejected_response": "bad"}),
    ("ms-swift", "reward", {"messages": TALK + GOOD, "rejected_response": "bad", "margin": 1.5}),
    ("ms-swift", "kto", {"messages": TALK + GOOD, "label": True}),
]


def read(folder: Path, split: str = "train") -> list[Any]:
    if (array := folder / f"{split}.json").exists():
        return list(json.loads(array.read_text(encoding="utf-8")))
    return [json.loads(line) for line in (folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


def export(data: str | list[str], out: str, **options: Any) -> ExportResult:
    return run(data, out, ExportOptions(**options))


def exported(tmp_path: Path, rows: list[Any], to: str, form: str | None = None, **options: Any) -> tuple[Path, Any]:
    out = tmp_path / "out"
    result = export(write(tmp_path / "in.jsonl", rows), str(out), to=to, form=form, **options)
    return out, result


@pytest.mark.parametrize(("to", "form", "row"), ROWS, ids=[f"{to}-{form}" for to, form, _ in ROWS])
def test_a_row_by_hand(tmp_path: Path, to: str, form: str, row: dict[str, Any]) -> None:
    record = (
        pair(GOOD, BAD, TALK, margin=1.5, p_chosen=None) if load(to).forms[form].kind == "pair" else binary(GOOD, prompt=TALK, score=0.5)
    )
    out, result = exported(tmp_path, [record], to, form)
    assert result.exit_code == 0
    assert read(out) == [row]


def test_records_without_system_history_or_margin(tmp_path: Path) -> None:
    rows = [pair("good", "bad", margin=None), pair("good", "bad", prompt="R", margin=2.0)]
    out, _ = exported(tmp_path, rows, "llama-factory", "alpaca")
    assert [(r["system"], r["history"]) for r in read(out)] == [("", []), ("", [])]
    for to in ("openrlhf", "ms-swift"):
        out, result = exported(tmp_path, rows, to, "reward")
        assert ([r["margin"] for r in read(out)], result.lost) == ([0.0, 2.0], {})
    for to in ("openrlhf", "ms-swift"):
        out, _ = exported(tmp_path, [pair("good", "bad")], to, "reward")
        assert [r["margin"] for r in read(out)] == [0.0]


@pytest.mark.parametrize("to", ["llama-factory", "openrlhf", "axolotl", "nemo-rl", "torchtune", "halos", "ms-swift"])
def test_what_no_trainer_takes(tmp_path: Path, to: str) -> None:
    """Tool turns (which could also make a prompt of even length), ties, answers of several turns."""
    several = [turn("assistant", "x"), turn("user", "y"), turn("assistant", "z")]
    rows = [
        pair("good", "bad", WITH_TOOL, p_chosen=None),
        pair("good", "bad", p_chosen=0.5),
        pair(several, "bad", p_chosen=None),
        pair("good", "bad", "R", p_chosen=0.8),
    ]
    _, result = exported(tmp_path, rows, to)
    dropped = {"tool-calls": 1, "tie": 1} | ({} if to == "torchtune" else {"answer-turns": 1})
    assert (result.counts["dropped"], result.lost) == (dropped, {"soft-label": 1})


def test_answers_that_axolotl_would_cut_are_left_out(tmp_path: Path) -> None:
    good = "A long and good answer."
    rows = [pair(good, "a"), pair("assistant", good), pair(good, "You are a helpful assistant."), pair(good, " bad"), pair("x\n", good)]
    keep = [pair(good, "Yes."), pair("No", "5"), pair("(a+b)*", "[[dummy]]")]
    out, result = exported(tmp_path, [*rows, *keep], "axolotl", "dpo")
    assert result.counts["dropped"] == {"edge-space": 2, "short-answer": 3}
    assert [r["chosen"] for r in read(out)] == [good, "No", "(a+b)*"]
    assert "--form chatml" in "\n".join(result.lines())
    _, result = exported(tmp_path, [*rows, *keep], "axolotl", "chatml")
    assert result.counts["kept"] == 8


def test_axolotl_reward_has_the_key_system_on_every_row(tmp_path: Path) -> None:
    system = [turn("system", "S"), turn("user", "Q")]
    out, result = exported(tmp_path, [pair("good", "bad", system), pair("good", "bad"), pair("good", "bad", TALK)], "axolotl", "reward")
    rest = {"input": "Q", "chosen": "good", "rejected": "bad"}
    assert read(out) == [{"system": "S", **rest}, {"system": "", **rest}]
    assert result.counts["dropped"] == {"multi-turn": 1}


def test_verl_rows(tmp_path: Path) -> None:
    out, _ = exported(tmp_path, [pair("good", "bad"), pair("good", "bad", TALK)], "verl", "reward")
    data = pl.read_parquet(out / "data" / "train-00000-of-00001.parquet")
    assert data.to_dicts() == [{"prompt": "Q", "chosen": "\ngood", "rejected": "\nbad"}]
    record = listwise("x", "y", prompt=TALK, source="forum", split="dev")
    out, _ = exported(tmp_path, [record, listwise("x", source=None, split=None)], "verl")
    rows = [pl.read_parquet(f).to_dicts()[0] for f in sorted((out / "data").glob("*.parquet"))]
    info = {"split": "dev", "index": int(record["id"][:13], 16), "id": record["id"]}
    common = {"ability": "preference", "reward_model": {"style": "model", "ground_truth": ""}}
    assert rows[0] == {"data_source": "forum", "prompt": TALK, **common, "extra_info": info}
    assert (rows[1]["data_source"], rows[1]["extra_info"]["split"]) == ("prefdata", "train")


def test_inputs_of_different_columns_give_rows_of_one_shape(tmp_path: Path) -> None:
    """One file has no margin, another tool turns: every row still has the same keys, and Parquet files one schema."""
    plain = write(tmp_path / "a.jsonl", [pair("good", "bad")])
    tools = write(tmp_path / "b.jsonl", [pair("good", "bad", WITH_TOOL, margin=1.0)])
    export([plain, tools], str(tmp_path / "trl"), to="trl", form="reward")
    first, second = read(tmp_path / "trl")
    assert (first["margin"], second["margin"]) == (0.0, 1.0)
    assert [set(m) for m in first["prompt"]] == [set(m) for m in second["prompt"][:1]]
    export([plain, tools], str(tmp_path / "hub"), to="hub")
    assert pl.read_parquet(tmp_path / "hub" / "data" / "*.parquet").height == 2


NASTY = 'it\'s a $(rm) "x"; #1'
PAIRS = [pair("good one", "bad one", prompt=f"Q{i}", p_chosen=None) for i in range(8)]


def words_of(folder: Path) -> list[str]:
    return shlex.split((folder / "train.sh").read_text(), comments=True)


@pytest.mark.parametrize("to", ["openrlhf", "nemo-rl", "torchtune", "halos", "ms-swift"])
def test_the_shell_gets_paths_and_models_as_one_word(tmp_path: Path, to: str) -> None:
    out = tmp_path / NASTY
    export(write(tmp_path / "in.jsonl", PAIRS), str(out), to=to, split="test=0.5", model=f"org/{NASTY}")
    text = " ".join(words_of(out))
    files = {p: str(out / p) for p in ("train.jsonl", "test.jsonl")}
    if to == "halos":
        assert f"train_datasets=[{json.dumps(str(out / 'train.json'))}]" in words_of(out)
        assert f"test_datasets=[{json.dumps(str(out / 'test.json'))}]" in words_of(out)
    elif to == "nemo-rl":
        data = yaml.safe_load((out / "data.yaml").read_text())["data"]
        assert [data[s]["data_path"] for s in ("train", "validation")] == list(files.values())
    elif to == "torchtune":
        assert f"dataset.data_files={files['train.jsonl']}" in words_of(out)
        assert yaml.safe_load((out / "dataset.yaml").read_text())["dataset"]["data_files"] == files["train.jsonl"]
    else:
        assert set(files.values()) <= set(words_of(out))
    assert to == "torchtune" or f"org/{NASTY}" in text


def test_llama_factory_registers_each_split_with_all_columns_and_tags(tmp_path: Path) -> None:
    out, _ = exported(tmp_path, PAIRS, "llama-factory", split={"test": 0.5}, name="mine", model="m")
    info = json.loads((out / "dataset_info.json").read_text())
    assert {k: v["file_name"] for k, v in info.items()} == {"mine": "train.jsonl", "mine_test": "test.jsonl"}
    assert info["mine"]["tags"].keys() == {
        *("role_tag", "content_tag", "user_tag", "assistant_tag", "observation_tag", "function_tag", "system_tag")
    }
    assert set(info["mine"]["columns"].values()) == set(read(out)[0])
    settings = yaml.safe_load((out / "train.yaml").read_text())
    assert (settings["dataset"], settings["eval_dataset"], settings["dataset_dir"]) == ("mine", "mine_test", str(out))
    for form in ("alpaca", "kto"):
        rows: list[Any] = [binary("good")] if form == "kto" else PAIRS
        out, _ = exported(tmp_path, rows, "llama-factory", form)
        info = json.loads((out / "dataset_info.json").read_text())["prefdata"]
        assert set(info["columns"].values()) == set(read(out)[0])
        assert yaml.safe_load((out / "train.yaml").read_text())["stage"] == ("kto" if form == "kto" else "dpo")


def test_axolotl_settings(tmp_path: Path) -> None:
    out, _ = exported(tmp_path, PAIRS, "axolotl", split={"validation": 0.5}, model="m")
    settings = yaml.safe_load((out / "train.yaml").read_text())
    entry = {"ds_type": "json", "split": "train", "type": "chat_template.default"}
    fields = {f"field_{c}": c for c in ("messages", "chosen", "rejected")}
    assert settings["datasets"] == [{"path": str(out / "train.jsonl"), **entry, **fields}]
    assert settings["test_datasets"] == [{"path": str(out / "validation.jsonl"), **entry, **fields}]
    assert (settings["rl"], settings["base_model"]) == ("dpo", "m")


def test_openrlhf_names_the_split_and_refuses_paths_that_it_would_split(tmp_path: Path) -> None:
    out, result = exported(tmp_path, PAIRS, "openrlhf", split={"test": 0.5})
    words = words_of(out)
    assert words[words.index("--eval.split") + 1] == "train"
    assert result.warnings == []
    result = export(str(tmp_path / "in.jsonl"), str(tmp_path / "a,b"), to="openrlhf")
    assert result.exit_code == 1
    assert "splits a path at commas" in result.warnings[0]


def test_verl_paths_in_hydra_grammar(tmp_path: Path) -> None:
    out = tmp_path / "it's"
    export(write(tmp_path / "in.jsonl", [listwise("x", "y")]), str(out), to="verl")
    path = str(out / "data" / "train-00000-of-00001.parquet").replace("'", "\\'")
    assert f"data.train_files=['{path}']" in words_of(out)
    export(write(tmp_path / "in.jsonl", PAIRS), str(out), to="verl")
    compile((out / "read.py").read_text(), "read.py", "exec")


@pytest.mark.parametrize("to", ["llama-factory", "openrlhf", "axolotl", "nemo-rl", "torchtune", "verl", "halos", "ms-swift"])
def test_a_folder_without_rows_is_complete(tmp_path: Path, to: str) -> None:
    _, result = exported(tmp_path, [pair("good", "bad", WITH_TOOL)], to)
    assert result.counts["kept"] == 0
