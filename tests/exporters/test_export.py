"""What every target shares: the account, splits by prompt, the folder, the card, and files that others load."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prefdata
from prefdata.errors import InputError, UsageError
from prefdata.exporters.options import ExportOptions
from prefdata.exporters.splits import splits_of
from prefdata.exporters.targets import TARGETS, load
from tests.checks.build import A, B, binary, listwise, pair, turn, write

SYSTEM = [turn("system", "Be brief."), turn("user", "Q")]
TALK = [turn("user", "Q"), turn("assistant", "a"), turn("user", "R")]


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_what_cannot_be_said_is_counted(tmp_path: Path) -> None:
    rows = [
        pair(prompt=SYSTEM, p_chosen=None, margin=None),
        pair(prompt=TALK, p_chosen=None, margin=2.0),
        pair(A, B, p_chosen=0.5, margin=None),
        pair(A, B, prompt="S", p_chosen=0.8, margin=1.0),
        pair([*A, turn("user", "u"), *B], B, p_chosen=None, margin=None),
        pair(A, A),
        '{"id": 1',
    ]
    path = write(tmp_path / "in.jsonl", rows)
    result = prefdata.export(path, str(tmp_path / "out"), to="trl", form="standard")
    dropped = {"answer-turns": 1, "multi-turn": 1, "system-prompt": 1, "tie": 1}
    assert result.counts == {"read": 7, "kept": 1, "dropped": dropped, "rejected": {"PD201": 1, "bad-json": 1}}
    assert (result.lost, result.exit_code) == ({"margin": 1, "soft-label": 1}, 1)
    assert lines(tmp_path / "out" / "train.jsonl") == [{"prompt": "S", "chosen": "\nA", "rejected": "\nB"}]
    assert [(r["line"], r["code"]) for r in lines(tmp_path / "out" / "rejects.jsonl")] == [(6, "PD201"), (7, "bad-json")]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["counts"], manifest["lost"], manifest["target"]) == (result.counts, result.lost, "trl")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "left out, 1: tie, neither answer is preferred" in card
    merged = prefdata.export(path, str(tmp_path / "merged"), to="trl", form="standard", system="merge", soft="skip")
    assert merged.counts["dropped"] == {"answer-turns": 1, "multi-turn": 1, "soft-label": 1, "tie": 1}
    assert lines(tmp_path / "merged" / "train.jsonl")[0]["prompt"] == "Be brief.\n\nQ"


def test_a_label_that_appears_late_is_not_overlooked(tmp_path: Path) -> None:
    """The first rows have no p_chosen, so no column is made for it: a tie behind them must not become a preference."""
    rows = [pair(A, B, prompt=f"Q{i}") for i in range(300)]
    rows[250] = pair(A, B, prompt="tie", p_chosen=0.5)
    result = prefdata.export(write(tmp_path / "in.jsonl", rows), str(tmp_path / "out"), to="trl")
    assert result.counts == {"read": 300, "kept": 299, "dropped": {}, "rejected": {"late-field": 1}}
    assert [(r["line"], r["field"]) for r in lines(tmp_path / "out" / "rejects.jsonl")] == [(251, "p_chosen")]


def test_margins_of_a_reward_model_stand_in_every_row(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", [pair(A, B, margin=2.5), pair(A, B, prompt="R", margin=None)])
    result = prefdata.export(path, str(tmp_path / "out"), to="trl", form="reward")
    assert [r["margin"] for r in lines(tmp_path / "out" / "train.jsonl")] == [2.5, 0.0]
    assert result.lost == {}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1), st.integers(0, 5), st.floats(0.01, 0.4))
def test_a_prompt_is_in_one_split(prompts: list[str], seed: int, share: float) -> None:
    import polars as pl

    df = pl.DataFrame({"prompt": [[turn("user", p)] for p in prompts for _ in (0, 1)]})
    options = ExportOptions(to="trl", split={"test": share, "validation": share}, seed=seed)
    splits = splits_of(df, options)
    assert set(splits) <= {"train", "test", "validation"}
    assert splits.gather_every(2).equals(splits.gather_every(2, offset=1))
    assert splits_of(df.reverse(), options).reverse().equals(splits)


def test_shares_are_kept(tmp_path: Path) -> None:
    """Of 4,000 prompts 400 are expected in test with a standard deviation of 19, so five of them are 95."""
    path = write(tmp_path / "in.jsonl", [pair(A, B, prompt=f"Q{i}") for i in range(4000)])
    result = prefdata.export(path, str(tmp_path / "out"), to="jsonl", split={"test": 0.1})
    n = {f["split"]: f["rows"] for f in result.files}
    assert abs(n["test"] - 400) < 95
    assert n["train"] == 4000 - n["test"]
    with pytest.raises(UsageError, match="leave nothing for train"):
        prefdata.export(path, str(tmp_path / "o"), to="jsonl", split={"a": 0.5, "b": 0.5})


def test_stated_splits_cannot_leave_the_folder(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", [pair(A, B, split="../../x"), pair(A, B, prompt="R", split="test")])
    prefdata.export(path, str(tmp_path / "out"), to="jsonl")
    names = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert names == {"in.jsonl", "out/.._.._x.jsonl", "out/test.jsonl", "out/README.md", "out/manifest.json"}


def test_the_hub_layout_loads(tmp_path: Path) -> None:
    rows = [pair(A, B, prompt=[turn("user", f"Q{i}")], margin=float(i)) for i in range(300)]
    path = write(tmp_path / "in.jsonl", rows)
    prefdata.export(path, str(tmp_path / "out"), to="hub", split={"test": 0.2})
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "test"}
    assert sorted((r["margin"], r["prompt"][0]["content"]) for s in loaded.values() for r in s) == [(float(i), f"Q{i}") for i in range(300)]


def test_the_card_says_who_and_how(tmp_path: Path) -> None:
    said = {"annotator": "w<1>", "kind": "human", "completions": ["chosen", "rejected"], "outcome": "first"}
    rows = [pair("longer", "no", annotations=[said], source="hh-rlhf"), pair("a", "bcd", prompt="R", annotations=None, source=None)]
    prefdata.export(write(tmp_path / "in.jsonl", rows), str(tmp_path / "out"), to="trl")
    card = (tmp_path / "out" / "README.md").read_text()
    for line in (
        "| hh-rlhf | MIT | 1 |",
        "| not stated | unknown | 1 |",
        "* w&lt;1> (human): 1 statements",
        "longer one in 50.0% of 2 pairs",
    ):
        assert line in card


def test_entries_are_merged(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", [pair(A, B)])
    info = tmp_path / "LF" / "dataset_info.json"
    info.parent.mkdir()
    info.write_text('{"mine": {"file_name": "x.json"}, "prefdata": {"file_name": "old.json"}}')
    prefdata.export(path, str(tmp_path / "out"), to="llama-factory", register=str(info))
    found = json.loads(info.read_text())
    assert found["mine"] == {"file_name": "x.json"}
    assert set(found) == {"mine", "prefdata"}
    assert (info.parent / found["prefdata"]["file_name"]).resolve().exists()
    assert found["prefdata"]["ranking"] is True
    info.write_text("[]")
    with pytest.raises(UsageError, match="must hold one JSON object"):
        prefdata.export(path, str(tmp_path / "new"), to="llama-factory", register=str(info))
    assert not (tmp_path / "new").exists()
    with pytest.raises(UsageError, match="looks up no data sets"):
        prefdata.export(path, str(tmp_path / "new"), to="trl", register=str(info))


def test_cells_that_look_like_formulas(tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@A1", "\tx", 'a "b", c\nd', "plain"]
    path = write(tmp_path / "in.jsonl", [pair(t, "no", prompt=f"Q{i}") for i, t in enumerate(texts)])
    prefdata.export(path, str(tmp_path / "out"), to="csv")
    with open(tmp_path / "out" / "train.csv", newline="") as f:
        found = [r["chosen"] for r in csv.DictReader(f)]
    assert found == ["'=1+1", "'+1", "'-1", "'@A1", "'\tx", 'a "b", c\nd', "plain"]


def test_folders(tmp_path: Path) -> None:
    path, out = write(tmp_path / "in.jsonl", [pair(A, B)]), tmp_path / "out"
    prefdata.export(path, str(out), to="jsonl")
    prefdata.export(path, str(out), to="csv")  # an export is replaced as a whole
    assert not (out / "train.jsonl").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="did not write"):
        prefdata.export(path, str(mine), to="jsonl")
    assert (mine / "thesis.tex").exists()
    with pytest.raises(UsageError, match="is a file"):
        prefdata.export(path, path, to="jsonl")
    with pytest.raises(UsageError, match="unknown target 'trll': did you mean trl"):
        prefdata.export(path, str(out), to="trll")
    with pytest.raises(UsageError, match="no form 'x'"):
        prefdata.export(path, str(out), to="trl", form="x")
    with pytest.raises(UsageError, match="does not take binary records"):
        prefdata.export(write(tmp_path / "b.jsonl", [binary()]), str(out), to="trl", form="preference")
    with pytest.raises(UsageError, match="different kinds"):
        prefdata.export([path, write(tmp_path / "l.jsonl", [listwise("a", "b")])], str(out), to="jsonl")
    (tmp_path / "locked").mkdir(mode=0o500)
    if os.geteuid():
        with pytest.raises(InputError, match="cannot be written"):
            prefdata.export(path, str(tmp_path / "locked" / "out"), to="jsonl")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_sigkill(tmp_path: Path) -> None:
    """Eight kills spread over the run: the folder is the old one or the complete new one."""
    path = write(tmp_path / "in.jsonl", [pair("x" * 500, "y" * 500, prompt=f"Q{i}") for i in range(30_000)])
    small = write(tmp_path / "small.jsonl", [pair(A, B)])
    out = tmp_path / "out"
    command = [sys.executable, "-c", "from prefdata.cli.main import main; main()", "export", path, "-o", str(out), "--to", "trl", "-q"]
    started = time.monotonic()
    subprocess.run(command, check=True)
    whole = time.monotonic() - started
    killed = 0
    for i in range(8):
        prefdata.export(small, str(out), to="trl")
        process = subprocess.Popen(command)
        try:
            process.wait(whole * (0.1 + 0.1 * i))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        rows = len(lines(out / "train.jsonl"))
        assert rows == json.loads((out / "manifest.json").read_text())["counts"]["kept"]
        assert rows in (1, 30_000)
    assert killed
    prefdata.export(path, str(out), to="trl")


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_writes_real_rows(name: str, real: Callable[[str], Path], tmp_path: Path) -> None:
    """Each form takes the real records of its kind; every row is written or counted, and the card and the manifest are there."""
    sources = {
        "pair": ("hh_rlhf_harmless/harmless_base_test_part.jsonl.gz", {}),
        "binary": ("xstest/xstest_v2_completions_gpt4.csv", {}),
        "listwise": ("oasst_trees/en_trees_part.jsonl.gz", {}),
    }
    for form, f in load(name).forms.items():
        file, options = sources[f.kind]
        path = str(tmp_path / f"{f.kind}.parquet")
        prefdata.convert(str(real(file)), path, **options)
        result = prefdata.export(path, str(tmp_path / form), to=name, form=form, split={"test": 0.1})
        c = result.counts
        assert c["read"] == c["kept"] + sum(c["dropped"].values())
        assert c["kept"] == sum(p["rows"] for p in result.files) > 0
        assert {"README.md", "manifest.json"} <= {p.name for p in (tmp_path / form).iterdir()}
        assert set(c["dropped"]) <= {*load(name).reasons, "system-prompt", "multi-turn", "answer-turns", "tie"}


def test_the_card_counts_rows_of_files_that_name_no_source(tmp_path: Path) -> None:
    prefdata.export(write(tmp_path / "in.jsonl", [pair("A", "B", prompt=str(i)) for i in range(5)]), str(tmp_path / "out"), to="trl")
    assert "| not stated | unknown | 5 |" in (tmp_path / "out" / "README.md").read_text()
