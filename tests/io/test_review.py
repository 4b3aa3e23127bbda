"""Readers at their edges: what stands behind an array, bare carriage returns, open quotes, numbers that JSON does not have, odd columns."""

from __future__ import annotations

import decimal
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import prefdata
from prefdata.errors import InputError, UsageError

ROW = {"prompt": "Q", "chosen": "A", "rejected": "B"}


def convert(path: Path, **options: Any) -> Any:
    return prefdata.convert(str(path), str(path.parent / "out.jsonl"), **{"from_": "trl", "force": True, **options})


def kept(path: Path) -> list[tuple[str, str]]:
    rows = prefdata.read(str(path.parent / "out.jsonl")).to_dicts()
    return [(r["chosen"][0]["content"], r["rejected"][0]["content"]) for r in rows]


@pytest.mark.parametrize("behind", ["[{}]", "{}", "x"])
def test_nothing_may_stand_behind_an_array(behind: str, tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    path.write_text(json.dumps([ROW]) + "\n" + behind)
    with pytest.raises(InputError, match="more data behind the end of the array"):
        convert(path)


TABLE: dict[str, Any] = {"from_": "table", "prompt": "q", "chosen": "a", "rejected": "b"}


@pytest.mark.parametrize(
    ("text", "pairs", "lines"),
    [
        ("q\ta\tb\nhi?\tyes\tno\rtail of b\nok\tx\ty\n", [("x", "y")], [2]),
        ("q,a,b\nhi?,yes,no\rtail\nok,x,y\n", [("x", "y")], [2]),
        ('q,a,b\r\nhi,"x\r\ny",z\r\nhi2,"p\rq",z\r\n', [("x\r\ny", "z"), ("p\rq", "z")], []),
        ('q,a,b\n"x"y,"foo\np,good,bad\n",z\nok,1,2\n', [], [2, 3]),
        ('q,a,b\n"x"y,b,c\nok,1,2\n', [("1", "2")], [2]),
        ('q,a,b\n"x"y,a"b,"foo\np,good,bad\n",z\nok,1,2\n', [], [2, 3]),
        ('q,a,b\n"x"y,' + "a" * (2 << 20) + ',"foo\np,good,bad\n",z\nok,1,2\n', [], [2, 3]),
        ('q\ta\tb\n5" long\tyes\tno\rtail\nok\tx\ty\n', [("x", "y")], [2]),
        ("q,a,b\r\nhi,yes,no\r\r\nok,x,y\r\n", [("x", "y")], [2]),
        ("q,a,b\nok,x,y\nhi,yes,no\r", [("x", "y")], [3]),
    ],
)
def test_csv_never_invents_a_cell(text: str, pairs: list[tuple[str, str]], lines: list[int], tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(text.encode())
    result = convert(path, **TABLE)
    assert (kept(path) if pairs else []) == pairs
    lost = Path(result.rejects).read_text().splitlines() if result.rejects else []
    assert [json.loads(r)["line"] for r in lost] == lines


@pytest.mark.parametrize("at", [7, 8, 299])
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("field", ["margin", "x"])
def test_numbers_that_json_does_not_have(at: int, number: str, field: str, tmp_path: Path) -> None:
    """The same reject wherever the row stands, and whether or not the field is used."""
    path = tmp_path / "in.jsonl"
    good = json.dumps({**ROW, "margin": 1.0, "x": 1.5})
    bad = json.dumps({**ROW, "margin": 1.0, "x": 1.5, field: "@"}).replace('"@"', number)
    path.write_text("".join((bad if i == at else good) + "\n" for i in range(300)))
    result = convert(path)
    assert result.counts["rejected"] == {"not-finite": 1}
    assert json.loads(Path(result.rejects).read_text())["line"] == at + 1


def test_objects_are_lines(tmp_path: Path) -> None:
    """Three rows on three lines, but not one row a line: each line is judged by itself."""
    path = tmp_path / "in.jsonl"
    text = json.dumps(ROW)
    path.write_text(text[:-1] + "\n}\n" + text + text + "\n")
    assert convert(path).counts == {"read": 3, "kept": 0, "dropped": {}, "rejected": {"bad-json": 3}}


def test_columns_that_are_not_used_may_be_anything(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    odd = {
        "big": pa.array([decimal.Decimal(1)], pa.decimal256(60, 2)),
        "raw": pa.array([b"\xff"], pa.binary()),
        "when": pa.array([1], pa.timestamp("ns")),
    }
    pq.write_table(pa.table({**{k: [v] for k, v in ROW.items()}, **odd}), path)
    result = convert(path, from_="auto")
    assert (result.counts["kept"], result.inputs[0]["ignored_columns"]) == (1, ["big", "raw", "when"])


def test_rows_without_any_of_the_columns(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"x": ["a", "b"]}), path)
    assert convert(path).counts == {"read": 2, "kept": 0, "dropped": {}, "rejected": {"missing-field": 2}}


def test_no_panic_on_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "in.parquet"
    big = pa.array([[decimal.Decimal(1)]], pa.list_(pa.decimal256(60, 2)))
    pq.write_table(pa.table({**{k: [v] for k, v in ROW.items()}, "big": big}), path)
    assert convert(path).counts["kept"] == 1
    assert "panicked" not in capfd.readouterr().err


def test_a_column_that_occurs_twice(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["x", "x"]), path)
    with pytest.raises(InputError, match="'x' occurs twice"):
        convert(path)


def test_csv_cells_are_no_turns(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("messages,label\nhello,true\n")
    result = convert(path, from_="sharegpt-kto")
    assert result.counts["rejected"] == {"wrong-type": 1}
    assert "no CSV cell is" in Path(result.rejects).read_text()


def test_integers_beyond_64_bits(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    turn = [{"role": "assistant", "content": "A"}]
    row = {"input": {"messages": [{"role": "user", "content": "Q"}]}, "preferred_output": turn, "n": 10**30}
    path.write_text(json.dumps({**row, "non_preferred_output": [{"role": "assistant", "content": "B"}]}) + "\n")
    assert convert(path, from_="openai-dpo").counts["kept"] == 1


def test_odd_maps(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(ROW) + "\n")
    (tmp_path / "map.yaml").write_bytes(b"prompt: \xff\n")
    with pytest.raises(UsageError, match="not valid YAML"):
        convert(path, from_="table", map=str(tmp_path / "map.yaml"))


def test_numbers_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    rows = {"input": ["a", "b"], "output_1": ["x", "y"], "output_2": ["z", "w"]}
    pq.write_table(pa.table({**rows, "label": pa.array([2**63 + 5, 1], pa.uint64())}), path)
    result = convert(path, from_="llmbar")
    assert (result.counts["kept"], result.counts["rejected"]) == (1, {"wrong-type": 1})


def test_bytes_in_a_source_that_reads_json(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"x": pa.array([b"\xff"], pa.binary())}), path)
    with pytest.raises(InputError):
        convert(path, from_="oasst")


@pytest.mark.parametrize("depth", [20, 31, 63, 64, 300, 900])
@pytest.mark.parametrize("opens", ["[", '{"a":'])
def test_deep_values_in_fields_that_are_not_used(depth: int, opens: str, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    deep = json.dumps({**ROW, "x": "@"}).replace('"@"', opens * depth + "1" + ("]" if opens == "[" else "}") * depth)
    path.write_text((json.dumps(ROW) + "\n") * 3 + (deep + "\n") * 3)
    assert convert(path).counts == {"read": 6, "kept": 6, "dropped": {}, "rejected": {}}
