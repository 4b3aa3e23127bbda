"""Folders as inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

import prefdata
from prefdata.errors import UsageError
from tests.checks.build import GOOD, A, B, pair, write


def test_all_data_files_of_a_folder(tmp_path: Path) -> None:
    inner = tmp_path / "data" / "b"
    inner.mkdir(parents=True)
    write(tmp_path / "data" / "a.jsonl", [GOOD])
    write(inner / "c.jsonl", [pair(A, A)])
    write(inner / ".hidden.jsonl", ["broken"])
    (tmp_path / "data" / "README.md").write_text("# x")
    prefdata.convert(write(tmp_path / "raw.jsonl", [pair(A, B, prompt="S"), "{"]), str(inner / "d.parquet"), from_="prefdata-pair")
    result = prefdata.validate(str(tmp_path / "data"))
    assert [Path(f["path"]).name for f in result.files] == ["a.jsonl", "c.jsonl", "d.parquet"]
    assert (result.counts, result.findings[0].file) == ({"PD201": 1}, str(inner / "c.jsonl"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="has no data files"):
        prefdata.validate(str(tmp_path / "empty"))
