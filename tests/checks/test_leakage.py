"""Leakage: which rows are one group, which side is flagged, and real files that share rows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prefdata
from prefdata.checks.leakage import group_name, overlap
from tests.checks.build import binary, listwise, pair, write

Real = Callable[[str], Path]


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("train_prefs", "train"),
        ("train-00001-of-00005.parquet", "train"),
        ("eval/train.jsonl", "train"),
        ("train/0001.parquet", "train"),
        ("harmless_base_test_part.jsonl.gz", "test"),
        ("val.jsonl", "validation"),
        ("DEV", "validation"),
        ("held_out.csv", "held-out"),
        ("latest_contest.jsonl", "latest_contest.jsonl"),
        ("dump-2024.jsonl", "dump-2024.jsonl"),
        ("data-00000-of-00002.jsonl", "data.jsonl"),
        ("mix.part-7.jsonl", "mix.jsonl"),
        ("b/00017.parquet", "b/.parquet"),
    ],
)
def test_groups_by_name(name: str, group: str) -> None:
    assert group_name(name) == group


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=30))
def test_overlap_is_what_two_loops_find(rows: list[tuple[int, int]]) -> None:
    expected = []
    for i, (key, rank) in enumerate(rows):
        lower = [(r, j) for j, (k, r) in enumerate(rows) if k == key and r < rank]
        if lower:
            expected.append((i, min(lower)[1]))
    keys, ranks = np.array([k for k, _ in rows], dtype=np.uint64), np.array([r for _, r in rows], dtype=np.int64)
    if rows:
        found = overlap(keys, ranks)
        assert list(zip(*(a.tolist() for a in found), strict=True)) == expected


def leaks(paths: list[str], code: str = "PD501") -> list[tuple[str, int, str]]:
    found = prefdata.validate(paths, select=[code], extend_select=[code], show=1000).findings
    return [(Path(f.file).name, f.line, f.message.rpartition("; see ")[2]) for f in found]


def test_rows_of_train_are_never_flagged(tmp_path: Path) -> None:
    """Neither the order of the files nor their size matters when names say which one is for training."""
    test = write(tmp_path / "a_test.jsonl", [pair(prompt=f"Question {i}?") for i in range(5)])
    train = write(tmp_path / "train.jsonl", [pair("Yes!", prompt="Question 3?")])
    assert leaks([test, train]) == [("a_test.jsonl", 4, f"{train} line 1")]


def test_the_larger_file_keeps_its_rows(tmp_path: Path) -> None:
    small = write(tmp_path / "a.jsonl", [pair("Yes!", prompt="Question 3?")])
    large = write(tmp_path / "b.jsonl", [pair(prompt=f"Question {i}?") for i in range(5)])
    assert leaks([small, large]) == [("a.jsonl", 1, f"{large} line 4")]


def test_parts_of_one_split_are_one_group(tmp_path: Path) -> None:
    parts = [write(tmp_path / f"rows-0000{i}-of-00002.jsonl", [pair(prompt="Question?")]) for i in range(2)]
    assert leaks(parts) == leaks(parts, "PD503") == []
    rows = [pair(prompt="Question?", split=s) for s in ("train_sft", "train_prefs", None, "test")]
    file = write(tmp_path / "train.jsonl", rows)
    assert leaks([file]) == [("train.jsonl", 4, "line 1")]


def test_one_file_has_nothing_to_compare(tmp_path: Path) -> None:
    rows = [pair(prompt="Question?"), pair("Yes!", prompt="Question?")]
    assert leaks([write(tmp_path / "in.jsonl", rows)]) == []
    assert leaks([write(tmp_path / "one.jsonl", [{**r, "split": "train"} for r in rows])]) == []


def test_kinds_mix(tmp_path: Path) -> None:
    """Prompts leak from labelled completions to pairs as well, and long answers do."""
    text = "A sentence that is long enough to be no chance. " * 3
    paths = [
        write(tmp_path / "train.jsonl", [binary(text, prompt="Question?")]),
        write(tmp_path / "test.jsonl", [pair(text, prompt="question")]),
        write(tmp_path / "dev.jsonl", [listwise("a", text, prompt="Another?", scores=[1.0, 2.0])]),
    ]
    train = f"{paths[0]} line 1"
    assert leaks(paths, "PD502") == [("test.jsonl", 1, train)]
    assert leaks(paths, "PD504") == [("test.jsonl", 1, train), ("dev.jsonl", 1, train)]


def test_real_questions_in_two_files(real: Real, tmp_path: Path) -> None:
    """Persona questions by behaviour, every other behaviour in another file: what leaks is what two sets share."""
    with gzip.open(real("model_written_evals/persona.jsonl.gz"), "rt", encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    number = {b: n for n, b in enumerate(dict.fromkeys(r["behavior"] for r in rows))}
    sides = [[r for r in rows if number[r["behavior"]] % 2 == side] for side in (0, 1)]
    asked = [{r["question"] for r in side} for side in sides]
    expected = sum(r["question"] in asked[0] for r in sides[1])
    paths = [write(tmp_path / name, side) for name, side in zip(("train.jsonl", "test.jsonl"), sides, strict=True)]
    result = prefdata.validate(paths, select=["PD501"], dimension="matching")
    assert result.counts == {"PD501": expected}
    assert expected == 553


def test_real_answers_to_the_same_prompts(real: Real) -> None:
    """Three models answer the prompts of XSTest: rows of the two smaller files are flagged, and two records are the same."""
    paths = [str(real(f"xstest/xstest_v2_completions_{m}.csv")) for m in ("gpt4", "llama2new", "mistralguard")]
    result = prefdata.validate(paths, select=["PD5"], ignore=["PD504"])
    assert result.counts == {"PD501": 806, "PD503": 2}


def test_real_trees_in_two_layouts(real: Real) -> None:
    """The same 151 lists from trees and from flat messages."""
    paths = [str(real(f"oasst_trees/{name}.jsonl.gz")) for name in ("en_trees_part", "en_messages_flat")]
    result = prefdata.validate(paths, select=["PD5"], ignore=["PD504"])
    assert result.counts == {"PD501": 151, "PD503": 151}
