"""validate --target and --tokenizer: a file against its reader, and records as a trainer's tokenizer sees them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import prefdata
from prefdata.checks.reports.explain import explain
from prefdata.checks.rules import RULES
from prefdata.errors import UsageError
from tests.checks.build import GOOD, pair, turn, write
from tests.tokens.chat_templates import CHATML, save, words


def azure(n: int, **change: object) -> str:
    row = {
        "input": {"messages": [turn("user", f"Q{n}")]},
        "preferred_output": [turn("assistant", "Yes.")],
        "non_preferred_output": [turn("assistant", "No.")],
    }
    return json.dumps({**row, **change})


def test_target(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    rows = [azure(i) for i in range(12)]
    rows[4] = azure(4, preferred_output=[])
    path.write_bytes(b"\xef\xbb\xbf" + "".join(r + "\n" for r in rows).encode())
    result = prefdata.validate(str(path), target="azure-dpo")
    assert (result.rows, result.exit_code) == (12, 1)
    assert [(f.line, f.field) for f in result.findings] == [(5, "preferred_output")]
    assert set(result.counts) <= {c for c, r in RULES.items() if r.needs == "--target"}
    code = result.findings[0].code
    assert prefdata.validate(str(path), target="azure-dpo", ignore=[code]).exit_code == 0
    known = str(tmp_path / "known.json")
    prefdata.validate(str(path), target="azure-dpo", baseline=known, update_baseline="all")
    assert prefdata.validate(str(path), target="azure-dpo", baseline=known).exit_code == 0
    assert prefdata.validate(str(path), target="openai-dpo").counts["PD803"] == 1  # the mark
    with pytest.raises(UsageError, match="did you mean azure-dpo"):
        prefdata.validate(str(path), target="azure")
    with pytest.raises(UsageError, match="not stdin"):
        prefdata.validate("-", target="azure-dpo")
    assert "runs only with --target" in explain(code)


def test_what_export_writes_passes(real: Callable[[str], Path], tmp_path: Path) -> None:
    prefdata.convert(str(real("llmbar/Adversarial_Neighbor.dataset.json")), str(tmp_path / "in.parquet"))
    for name in ("azure-dpo", "openai-dpo", "align-anything", "llama-factory", "trl"):
        folder = tmp_path / name
        done = prefdata.export(str(tmp_path / "in.parquet"), str(folder), to=name)
        files = [str(folder / f["path"]) for f in done.files if f["rows"]]
        result = prefdata.validate(files, target=name, fail_on="info")
        assert (result.counts, result.exit_code, result.rows) == ({}, 0, 134)


def test_tokenizer(tmp_path: Path) -> None:
    """With one token per word a prompt of 30 words fills 16 tokens, one word does not."""
    folder = save(tmp_path / "tok", words("a Q Yes. No."), CHATML)
    rows = [GOOD, pair(prompt=" ".join("a" * 30))]
    path = write(tmp_path / "in.jsonl", rows)
    result = prefdata.validate(path, tokenizer=str(folder), max_length=24, select=["PD6"])
    assert {(f.code, f.line) for f in result.findings} >= {("PD604", 2)}
    assert all(f.line == 2 or f.code not in ("PD601", "PD602", "PD604") for f in result.findings)
    assert result.seen is not None
    assert result.seen.rows == 2
    done = prefdata.export(path, str(tmp_path / "out"), to="trl", tokenizer=str(folder), max_length=24)
    assert done.seen is not None
    assert done.seen.findings["PD604"] == 1
    assert "Seen by the trainer" in (tmp_path / "out" / "README.md").read_text()
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["seen"]["rows"] == 2
