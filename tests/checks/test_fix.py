"""--fix: a new file without what can be repaired safely; nothing else changes, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prefdata
from prefdata.checks.fix import FIXED, fix
from prefdata.checks.options import ValidateOptions
from prefdata.checks.rules import RULES
from prefdata.errors import UsageError
from tests.checks.build import GOOD, A, B, binary, listwise, pair, write
from tests.strategies import pairs


@pytest.mark.parametrize("form", ["jsonl", "parquet", "jsonl.gz"])
def test_fix(form: str, tmp_path: Path) -> None:
    dirty = pair("a\x00b\u202ec", "caf\ufffd", prompt="Q\u200b?")
    rows = [GOOD, dirty, {**pair(A, B), "id": "f" * 32}, GOOD, '{"id": 1', pair(A, A), pair(chosen="\x07")]
    path, out = write(tmp_path / "in.jsonl", rows), tmp_path / f"out.{form}"
    result = fix(path, str(out))
    assert result.counts == {"read": 7, "kept": 3, "dropped": {"PD106": 1}, "rejected": {"PD105": 1, "PD201": 1, "bad-json": 1}}
    assert (result.fixed, result.exit_code) == ({"PD107": 2, "PD109": 1, "PD114": 1}, 1)
    good = prefdata.read(str(out)).to_dicts()
    assert good[0] == GOOD
    assert [m["content"] for c in ("prompt", "chosen", "rejected") for m in good[1][c]] == ["Q?", "abc", "caf\ufffd"]
    left = prefdata.validate(str(out), select=["PD"])
    assert set(left.counts) <= {"PD107"}  # U+FFFD stays
    lost = [json.loads(line) for line in Path(result.rejects or "").read_text().splitlines()]
    assert [(r["line"], r["code"]) for r in lost] == [(5, "bad-json"), (6, "PD201"), (7, "PD105")]
    again = fix(str(out), str(tmp_path / f"again.{form}"))
    assert again.fixed == {}
    assert prefdata.read(again.out).to_dicts() == good


@pytest.mark.parametrize("row", [binary("a\x00b"), listwise("a\x00b", "c"), pair("a\x00b", margin=0.5, source="s", meta='{"a": 1}')])
def test_kinds(row: dict[str, Any], tmp_path: Path) -> None:
    result = fix(write(tmp_path / "in.jsonl", [row]), str(tmp_path / "out.jsonl"))
    fixed = json.loads((tmp_path / "out.jsonl").read_text())
    assert result.fixed == {"PD107": 1}
    assert "\\u0000" not in json.dumps(fixed)
    assert {k: v for k, v in fixed.items() if k in ("margin", "source", "meta", "label")} == {
        k: v for k, v in row.items() if k in ("margin", "source", "meta", "label")
    }
    assert prefdata.validate(str(tmp_path / "out.jsonl"), select=["PD1"]).counts == {}


@settings(max_examples=25, deadline=None)
@given(st.lists(pairs(), min_size=1, max_size=5))
def test_clean_records_stay_as_they_are(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    folder = tmp_path_factory.mktemp("fix")
    pl.DataFrame(rows, schema_overrides={"margin": pl.Float64, "p_chosen": pl.Float64}).write_parquet(folder / "raw.parquet")
    prefdata.convert(str(folder / "raw.parquet"), str(folder / "in.parquet"), from_="prefdata-pair")
    dirty = prefdata.validate(str(folder / "in.parquet"), select=["PD107", "PD114", "PD106"]).counts
    result = fix(str(folder / "in.parquet"), str(folder / "out.parquet"))
    assert result.counts["read"] == result.counts["kept"] + sum(result.counts["dropped"].values()) + sum(result.counts["rejected"].values())
    if not dirty:
        assert prefdata.read(result.out).equals(prefdata.read(str(folder / "in.parquet")))


def test_marks_that_a_script_needs_stay(tmp_path: Path) -> None:
    hebrew = pair("\u05e9\u05dc\u05d5\u05dd\u200f!", "a\u00adb")
    result = fix(write(tmp_path / "in.jsonl", [hebrew]), str(tmp_path / "out.jsonl"))
    fixed = json.loads((tmp_path / "out.jsonl").read_text())
    assert (fixed["chosen"], fixed["rejected"][0]["content"], result.fixed) == (hebrew["chosen"], "ab", {"PD114": 1})


def test_wrong_use(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", [GOOD])
    with pytest.raises(UsageError, match="is the input"):
        fix(path, path)
    with pytest.raises(UsageError, match="one file at a time"):
        fix([path, path], str(tmp_path / "out.jsonl"))
    with pytest.raises(UsageError, match="not a prefdata file"):
        fix(write(tmp_path / "raw.jsonl", [{"question": "Q", "answer": "A"}]), str(tmp_path / "out.jsonl"))


def test_the_catalogue_says_what_is_fixed() -> None:
    assert {code for code, rule in RULES.items() if rule.safe} == set(FIXED) & set(RULES)


def test_real(real: Callable[[str], Path], tmp_path: Path) -> None:
    """The 76 repetitions of the PKU layout go, everything else stays."""
    prefdata.convert(str(real("pku_layout_derived/pku_saferlhf_layout.jsonl")), str(tmp_path / "in.parquet"), dimension="better")
    result = fix(str(tmp_path / "in.parquet"), str(tmp_path / "out.parquet"), ValidateOptions())
    assert result.counts == {"read": 836, "kept": 760, "dropped": {"PD106": 76}, "rejected": {}}
