"""Promises that are easy to break: no file is overwritten, no option is ignored, nothing late goes unseen, two runs do not mix."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import prefdata
from prefdata.errors import UsageError
from tests.conftest import Convert

ROW = {"prompt": "Q", "chosen": "A", "rejected": "B"}
TABLE: dict[str, Any] = {"from_": "table", "prompt": "q", "first": "a", "second": "b", "preferred": "w"}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_no_file_of_a_run_is_written_over_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "raw.jsonl", [ROW])
    (tmp_path / "link.jsonl").symlink_to("raw.jsonl")
    before = (tmp_path / "raw.jsonl").read_bytes()
    for inp, out, more in [
        ("raw.jsonl", "./raw.jsonl", {}),
        ("link.jsonl", "raw.jsonl", {}),
        ("raw.jsonl", "o.jsonl", {"rejects": "raw.jsonl"}),
        ("raw.jsonl", "o.jsonl", {"rejects": "./o.jsonl"}),
        ("raw.jsonl", "o.jsonl", {"rejects": "o.jsonl.manifest.json"}),
    ]:
        with pytest.raises(UsageError, match="is both"):
            prefdata.convert(inp, out, **more)
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        prefdata.convert("raw.jsonl", "folder.jsonl")
    assert (tmp_path / "raw.jsonl").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["folder.jsonl", "link.jsonl", "raw.jsonl"]


def test_another_file_of_the_rejects_name_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine = write(tmp_path / "mine.jsonl", [{"x": 1}])
    prefdata.convert(str(write(tmp_path / "in.jsonl", [ROW])), str(tmp_path / "o.jsonl"), rejects=str(mine))
    assert mine.read_text() == '{"x": 1}\n'


def test_two_runs_do_not_mix(tmp_path: Path) -> None:
    """While one run holds an output, another one that would write it stops."""
    source = write(tmp_path / "in.jsonl", [ROW])
    held = os.open(tmp_path / ".o.parquet.tmp", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(UsageError, match="another prefdata is writing"):
        prefdata.convert(str(source), str(tmp_path / "o.parquet"))
    os.close(held)
    assert prefdata.convert(str(source), str(tmp_path / "o.parquet")).counts["kept"] == 1


def test_an_edited_map_or_output_is_not_up_to_date(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"q": "Q", "a": "yes", "b": "no", "w": 1}])
    card, out = tmp_path / "map.yaml", tmp_path / "o.jsonl"
    text = "prompt: q\nfirst: a\nsecond: b\npreferred: w\nfirst_is: [1]\nsecond_is: [2]\n"
    card.write_text(text)
    prefdata.convert(str(source), str(out), from_="table", map=str(card))
    assert prefdata.convert(str(source), str(out), from_="table", map=str(card)).up_to_date
    card.write_text(text.replace("[1]", "[3]").replace("[2]", "[1]"))
    assert not prefdata.convert(str(source), str(out), from_="table", map=str(card)).up_to_date
    assert prefdata.read(str(out))["chosen"][0][0]["content"] == "no"
    out.write_text(out.read_text().replace("yes", "sey"))
    assert not prefdata.convert(str(source), str(out), from_="table", map=str(card)).up_to_date


def test_a_map_for_another_source_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [ROW])
    with pytest.raises(UsageError, match="--chosen, --rejected: only --from table maps columns"):
        prefdata.convert(str(source), str(tmp_path / "o.jsonl"), chosen="rejected", rejected="chosen")


@pytest.mark.parametrize("late", [{"p_chosen": 0.5}, {"tools": "[1]"}, {"weight": 2.0}])
def test_a_field_that_appears_late_is_not_lost(late: dict[str, Any], tmp_path: Path) -> None:
    """A soft tie in row 240 of a file that had no p_chosen before is rejected, not turned into a direction; validate looks at it too."""
    own = {"id": "0" * 32, "source": "s", "prompt": [{"role": "user", "content": "Q"}]}
    answers = {c: [{"role": "assistant", "content": c}] for c in ("chosen", "rejected")}
    rows = [{**own, **answers, **(late if i == 240 else {})} for i in range(250)]
    source = write(tmp_path / "in.jsonl", rows)
    result = prefdata.convert(str(source), str(tmp_path / "o.jsonl"))
    assert result.counts["rejected"] == {"late-field": 1}
    assert "move such a row to the top" in Path(result.rejects or "").read_text()
    rows[240] |= {"p_chosen": 7.0}
    assert prefdata.validate(str(write(source, rows)), select=["PD101"]).counts == {"PD101": 1}
    assert prefdata.read(str(source))["p_chosen"].drop_nulls().to_list() == [7.0]


def test_tool_files_validate_in_every_format(tmp_path: Path) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    plain = {"prompt": [{"role": "user", "content": "Q"}], **{c: [{"role": "assistant", "content": c}] for c in ("chosen", "rejected")}}
    tooled = {**plain, "chosen": [{"role": "assistant", "content": "", "tool_calls": [call]}]}
    source = write(tmp_path / "in.jsonl", [plain] * 240 + [tooled])
    for out in ("o.jsonl", "o.parquet"):
        assert prefdata.convert(str(source), str(tmp_path / out), from_="trl", tools=True).counts["kept"] == 241
        assert set(prefdata.validate(str(tmp_path / out), select=["PD0", "PD1"]).counts) == {"PD106"}
        back = prefdata.convert(str(tmp_path / out), str(tmp_path / f"again-{out}"))
        assert back.counts["kept"] == 241
        assert prefdata.read(str(tmp_path / f"again-{out}"))["chosen"][240][0]["tool_calls"][0]["id"] == "c"


def test_pipes_and_closed_stdin(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [ROW])
    code = f"{sys.executable} -c 'from prefdata.cli.main import main; main()' convert"
    shell = ["bash", "-c", f"{code} <(cat in.jsonl) -o out.parquet --from trl -q"]
    assert subprocess.run(shell, cwd=tmp_path).returncode == 0
    assert pl.read_parquet(tmp_path / "out.parquet").height == 1
    closed = subprocess.run(["bash", "-c", f"{code} - -o x.parquet <&-"], cwd=tmp_path, capture_output=True, text=True)
    assert closed.returncode == 3
    assert "Traceback" not in closed.stderr


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [{**ROW, "chosen": "x" * 500 + str(i)} for i in range(20_000)])
    code = f"{sys.executable} -c 'from prefdata.cli.main import main; main()' convert in.jsonl -o - --from trl | head -1 | wc -l"
    done = subprocess.run(["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "1"
    assert "error" not in done.stderr
    assert "Traceback" not in done.stderr


def candidate(text: str, **fields: float | None) -> dict[str, Any]:
    return {"id": "0" * 32, "messages": [{"role": "assistant", "content": text}], "model": None, "score": None, "rank": None, **fields}


def test_scores_and_ranks_are_never_compared(run: Convert) -> None:
    base = {"id": "0" * 32, "prompt": [{"role": "user", "content": "Q"}], "source": "s"}
    mixed = {**base, "completions": [candidate("best", score=-5.0, rank=1.0), candidate("worst", rank=2.0)]}
    records, _ = run([mixed], to="pair")
    assert records["chosen"][0][0]["content"] == "best", "every candidate has a rank, so ranks decide"
    unlike = {**base, "completions": [candidate("a", score=1.0), candidate("b", rank=2.0)]}
    assert run([unlike], to="pair")[1].counts["dropped"] == {"undecided": 1}


def test_grouping_keeps_tools_and_splits_apart(run: Convert) -> None:
    def row(text: str, label: bool, **more: str) -> dict[str, Any]:
        prompt = [{"role": "user", "content": "Q"}]
        return {
            "id": "0" * 32,
            "prompt": prompt,
            "completion": [{"role": "assistant", "content": text}],
            "label": label,
            "source": "s",
            **more,
        }

    rows = [row("x", True, tools="[1]", split="train"), row("y", False, tools="[2]", split="test")]
    assert run(rows, to="listwise")[0].select("tools", "split").rows() == [("[1]", "train"), ("[2]", "test")]
    assert run(rows, to="pair")[1].counts["dropped"] == {"no-counterpart": 2}
    torn = [row("x", True), row("y", False), row("x", False), row("z", True)]
    records, result = run(torn, to="pair")
    assert result.counts["dropped"] == {"both-labels": 2}
    assert (records["chosen"][0][0]["content"], records["rejected"][0][0]["content"]) == ("z", "y")
    lists, _ = run(torn, to="listwise")
    assert [(c["messages"][0]["content"], c["score"]) for c in lists["completions"][0]] == [("x", 0.5), ("y", 0.0), ("z", 1.0)]
