"""openai-dpo and azure-dpo: hand-written rows, the keys of every real row, limits, and the script that starts a job."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefdata.exporters.files import BOM
from prefdata.exporters.options import ExportOptions
from prefdata.exporters.run import ExportResult, export
from prefdata.exporters.targets.openai_dpo import _several_turns, refuse, rows
from prefdata.readers import inspect
from prefdata.schema.dtypes import TOOL_TURNS, TURNS
from tests.conftest import Convert
from tests.strategies import pairs

SETS = (
    "pku_layout_derived/pku_saferlhf_layout.jsonl",
    "hh_rlhf_harmless/harmless_base_test_part.jsonl.gz",
    "tulu1_human_eval/annotations_part.csv.gz",
    "oasst_trees/en_trees_part.jsonl.gz",
    "llmbar/Adversarial_Neighbor.dataset.json",
)
KEYS = ["input", "preferred_output", "non_preferred_output"]
SEARCH = {"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {}}}}


def exported(df: pl.DataFrame, folder: Path, to: str, out: str = "out", **options: Any) -> tuple[Path, ExportResult]:
    df.write_parquet(folder / "records.parquet")
    return folder / out, export(str(folder / "records.parquet"), str(folder / out), ExportOptions(to=to, **options))


def lines(path: Path, mark: bool) -> list[dict[str, Any]]:
    """The rows of a file, read as strictly as one can: the mark or none, no blank line, one object in a line."""
    data = path.read_bytes()
    assert data.startswith(BOM) == mark
    assert data.endswith(b"\n") and b"\n\n" not in data and b"\r" not in data
    return [orjson.loads(line) for line in data.removeprefix(BOM).splitlines()]


def turn(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, "name": None, "tool_calls": None, "tool_call_id": None, **more}


def call(id_: str | None, arguments: str) -> list[dict[str, Any]]:
    return [{"id": id_, "type": "function", "function": {"name": "search", "arguments": arguments}}]


def frame(*records: tuple[list[Any], list[Any], list[Any]], tools: list[str | None] | None = None) -> pl.DataFrame:
    """Records with tool fields, without ids: what the functions of a form are given."""
    columns = {"prompt": TOOL_TURNS, "chosen": TOOL_TURNS, "rejected": TOOL_TURNS}
    data: dict[str, Any] = dict(zip(columns, map(list, zip(*records, strict=True)), strict=True))
    df = pl.DataFrame(data, schema=columns)
    return df if tools is None else df.with_columns(pl.Series("tools", tools, pl.String))


OPTIONS = ExportOptions(to="azure-dpo")
A, B = [turn("assistant", "a")], [turn("assistant", "b")]


@pytest.mark.parametrize("to", ["openai-dpo", "azure-dpo"])
@pytest.mark.parametrize("name", SETS)
def test_every_real_row(real: Callable[[str], Path], run: Convert, tmp_path: Path, name: str, to: str) -> None:
    df, _ = run(real(name), to="pair")
    out, result = exported(df, tmp_path, to)
    want = [r for r in df.to_dicts() if r.get("p_chosen") != 0.5]
    got = lines(out / "train.jsonl", to == "azure-dpo")
    assert len(got) == len(want) == result.counts["kept"]
    for row, record in zip(got, want, strict=True):
        assert row == {
            "input": {"messages": record["prompt"]},
            "preferred_output": record["chosen"],
            "non_preferred_output": record["rejected"],
        }
        assert list(row) == KEYS
    turns = sum(sum(m["role"] == "user" for m in r["prompt"]) > 1 for r in want)
    found = inspect(str(out / "train.jsonl"), to)
    assert found.rows == len(want)
    assert dict(found.counts) == ({"PD842": turns} if turns and to == "openai-dpo" else {})
    assert len(result.notes) == bool(turns and to == "openai-dpo")
    assert all(f"{turns:,} rows have earlier turns" in w for w in result.notes)


def test_rows_by_hand_with_tools() -> None:
    df = frame(
        (
            [
                turn("user", "Hi", name="Ann"),
                turn("assistant", "", tool_calls=call("c1", '{"q": null}')),
                turn("tool", "3", tool_call_id="c1"),
            ],
            [turn("assistant", "three")],
            [turn("assistant", "", tool_calls=call("c2", "{}"))],
        ),
        ([turn("system", "S"), turn("user", "Q")], A, B),
        ([turn("user", "R")], A, B),
        tools=[json.dumps([SEARCH], indent=1), "[ ]", None],
    )
    got = [json.loads(line) for line in rows(df, OPTIONS)["_json"]]
    assert got[0] == {
        "input": {
            "messages": [
                {"role": "user", "content": "Hi", "name": "Ann"},
                {"role": "assistant", "tool_calls": call("c1", '{"q": null}')},
                {"role": "tool", "content": "3", "tool_call_id": "c1"},
            ],
            "tools": [SEARCH],
        },
        "preferred_output": [{"role": "assistant", "content": "three"}],
        "non_preferred_output": [{"role": "assistant", "tool_calls": call("c2", "{}")}],
    }
    assert got[1]["input"] == {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}]}
    assert got[2]["input"] == {"messages": [{"role": "user", "content": "R"}]}
    assert not any("\n" in line for line in rows(df, OPTIONS)["_json"])


TRAPS = st.sampled_from([',"name":null', ',"content":""', '"id":null,', ',"tool_calls":[]', ',"', "\\", '"', ",", "}", "x", "\u2028", "é"])
TEXTS = st.lists(TRAPS, min_size=1, max_size=8).map(lambda parts: "x" + "".join(parts))


@given(TEXTS, TEXTS, TEXTS, TEXTS)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_keys_without_values_go_and_texts_that_look_like_them_stay(a: str, b: str, c: str, d: str) -> None:
    asked = [turn("user", a, name=b), turn("assistant", "", tool_calls=call("id", c)), turn("tool", d, tool_call_id=a)]
    (line,) = rows(frame((asked, [turn("assistant", b)], [turn("assistant", c + "!")])), OPTIONS)["_json"]
    row = json.loads(line)
    assert row["input"]["messages"] == [
        {"role": "user", "content": a, "name": b},
        {"role": "assistant", "tool_calls": call("id", c)},
        {"role": "tool", "content": d, "tool_call_id": a},
    ]
    assert row["preferred_output"] == [{"role": "assistant", "content": b}]
    assert row["non_preferred_output"] == [{"role": "assistant", "content": c + "!"}]


@given(st.lists(pairs(), min_size=1, max_size=4))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_valid_pair(records: list[dict[str, Any]]) -> None:
    columns = ("prompt", "chosen", "rejected")
    df = pl.DataFrame({c: [r[c] for r in records] for c in columns}, schema=dict.fromkeys(columns, TURNS))
    for line, r in zip(rows(df, OPTIONS)["_json"], records, strict=True):
        assert "\n" not in line
        assert json.loads(line) == {
            "input": {"messages": r["prompt"]},
            "preferred_output": r["chosen"],
            "non_preferred_output": r["rejected"],
        }


ASK = [turn("user", "q")]
TOO_LONG = "x" * 1_048_577


@pytest.mark.parametrize(
    ("record", "tools", "code"),
    [
        ((ASK, A, B), None, None),
        (([turn("user", "é" * 1_048_576)], A, B), None, None),
        (([turn("user", TOO_LONG)], A, B), None, "long-text"),
        ((ASK, [turn("assistant", TOO_LONG)], B), None, "long-text"),
        ((ASK, A, [turn("assistant", TOO_LONG)]), None, "long-text"),
        ((ASK * 2048, A, B), None, None),
        ((ASK * 2049, A, B), None, "many-messages"),
        ((ASK, A, B), json.dumps([SEARCH] * 128), None),
        ((ASK, A, B), json.dumps([SEARCH] * 129), "many-tools"),
        ((ASK, A, B), json.dumps(SEARCH), "tools-shape"),
        ((ASK, A, B), json.dumps([{"name": "search"}]), "tools-shape"),
        ((ASK, A, B), '[{"type": "function", "type": "function"}]', "tools-shape"),
        ((ASK, A, B), "[]", None),
        ((ASK, [turn("assistant", "", tool_calls=call("c", "{}"))], B), None, None),
        ((ASK, [turn("assistant", "", tool_calls=call(None, "{}"))], B), None, "tool-id"),
        (([*ASK, turn("assistant", "", tool_calls=call("c", "{}")), turn("tool", "3")], A, B), None, "tool-id"),
    ],
)
def test_limits(record: Any, tools: str | None, code: str | None) -> None:
    df = frame(record, (ASK, B, A), tools=[tools, None])
    assert df.select(refuse(df, OPTIONS)).to_series().to_list() == [code, None]


def _pairs(run: Convert, **rows_of_split: int) -> pl.DataFrame:
    splits = [name for name, n in rows_of_split.items() for _ in range(n)]
    df, _ = run([{"prompt": f"question {i}", "chosen": "yes", "rejected": "no"} for i in range(len(splits))])
    return df.with_columns(pl.Series("split", splits))


def test_held_out_splits_share_the_validation_file(run: Convert, tmp_path: Path) -> None:
    out, result = exported(_pairs(run, train=12, test=6, validation=5), tmp_path, "azure-dpo")
    assert len(lines(out / "train.jsonl", True)) == 12
    assert len(lines(out / "validation.jsonl", True)) == 11
    assert sorted(p.name for p in out.iterdir()) == ["README.md", "manifest.json", "train.jsonl", "train.sh", "validation.jsonl"]
    assert result.exit_code == 0 and result.counts["kept"] == 23


@pytest.mark.parametrize("to", ["openai-dpo", "azure-dpo"])
def test_few_rows_are_said(run: Convert, tmp_path: Path, to: str) -> None:
    out, result = exported(_pairs(run, train=9), tmp_path, to)
    assert result.warnings == ["train.jsonl has 9 rows: a job needs at least 10"]
    assert result.exit_code == 1
    assert dict(inspect(str(out / "train.jsonl"), to).counts) == {"PD811": 1}
    assert exported(_pairs(run, train=10), tmp_path, to)[1].exit_code == 0


def test_earlier_turns_are_counted(tmp_path: Path) -> None:
    """A text that quotes the key is none."""
    quoted = '{"role":"user","content":""}' * 3
    plain = {"prompt": [{"role": "user", "content": quoted}], "chosen": [{"role": "assistant", "content": "a"}]}
    several = {**plain, "prompt": [{"role": r, "content": "x"} for r in ("user", "assistant", "user")]}
    df = pl.DataFrame([{**r, "rejected": [{"role": "assistant", "content": "b"}]} for r in (plain, several, plain)])
    path = tmp_path / "train.jsonl"
    path.write_text("".join(line + "\n" for line in rows(df, OPTIONS)["_json"]))
    assert _several_turns(str(path)) == 1


@pytest.mark.parametrize(
    ("to", "variable", "method"),
    [
        ("openai-dpo", "OPENAI_API_KEY", {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.1, "n_epochs": 1}}}),
        ("azure-dpo", "AZURE_OPENAI_API_KEY", {"type": "dpo", "dpo": {"beta": 0.1, "l2_multiplier": 0.1}}),
    ],
)
def test_the_script_reads_the_key_from_the_environment(
    run: Convert, tmp_path: Path, to: str, variable: str, method: dict[str, Any]
) -> None:
    out, _ = exported(_pairs(run, train=12, test=10), tmp_path, to, model="gpt-4.1-mini-2025-04-14")
    script = (out / "train.sh").read_text()
    assert subprocess.run(["sh", "-n", str(out / "train.sh")], check=False).returncode == 0
    done = subprocess.run(["sh", str(out / "train.sh")], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert done.returncode != 0 and f"{variable}: the key of the service" in done.stderr
    assert json.loads(next(line for line in script.splitlines() if line.startswith("METHOD=")).split("=", 1)[1].strip("'")) == method
    assert "upload train.jsonl" in script and "upload validation.jsonl" in script and "gpt-4.1-mini-2025-04-14" in script
    assert f'"${variable}" | curl' in script, "the key goes through a pipe, not into the list of arguments"
