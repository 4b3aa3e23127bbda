"""A tour of bad input: each is one clear error with its exit code, or counted rejects; never a traceback, never a silent change."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import prefdata
from prefdata.errors import InputError, UsageError
from prefdata.io.columns import Column, Layout
from prefdata.io.open import opened
from prefdata.io.plan import plan
from prefdata.io.read import read_shard

GOOD = {"prompt": "Q", "chosen": "A", "rejected": "B"}


def line(**change: Any) -> bytes:
    return json.dumps({**GOOD, **change}).encode() + b"\n"


def convert(path: Path, **options: Any) -> Any:
    return prefdata.convert(str(path), str(path.parent / "out.parquet"), from_="trl", **options)


def rejects(result: Any) -> list[dict[str, Any]]:
    with open(result.rejects, encoding="utf-8") as f:
        return [json.loads(row) for row in f]


ROWS: dict[str, tuple[bytes, str, str | None]] = {
    "cut line": (b'{"prompt": "Q", "chosen": "A\n', "bad-json", None),
    "not json": (b"hello\n", "bad-json", None),
    "single quotes": (b"{'prompt': 'Q'}\n", "bad-json", None),
    "trailing comma": (b'{"prompt": "Q",}\n', "bad-json", None),
    "missing column": (b'{"prompt": "Q", "chosen": "A"}\n', "missing-field", "rejected"),
    "null column": (line(chosen=None), "missing-field", "chosen"),
    "number for text": (line(chosen=7), "wrong-type", "chosen"),
    "bool for text": (line(chosen=True), "wrong-type", "chosen"),
    "list for text": (line(chosen=["A"]), "wrong-type", "chosen"),
    "object for text": (line(chosen={"a": 1}), "wrong-type", "chosen"),
    "duplicate key": (b'{"prompt": "Q", "chosen": "A", "chosen": "C", "rejected": "B"}\n', "duplicate-key", None),
    "NaN": (b'{"prompt": "Q", "chosen": "A", "rejected": "B", "margin": NaN}\n', "not-finite", None),
    "lone surrogate": (b'{"prompt": "Q", "chosen": "\\ud800", "rejected": "B"}\n', "lone-surrogate", None),
    "invalid utf-8": (b'{"prompt": "Q", "chosen": "\xff", "rejected": "B"}\n', "bad-utf8", None),
    "control character": (b'{"prompt": "Q", "chosen": "\x01", "rejected": "B"}\n', "bad-json", None),
    "array row": (b'["Q", "A", "B"]\n', "not-an-object", None),
    "null row": (b"null\n", "not-an-object", None),
    "number row": (b"1\n", "not-an-object", None),
    "two objects": (line()[:-1] + line(), "bad-json", None),
    "null behind an object": (line()[:-1] + b" null\n", "bad-json", None),
    "deep list": (b'{"prompt": "Q", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "bad-json", None),
    "deep object": (b'{"prompt": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}\n", "bad-json", None),
    "blank answer": (line(chosen=" "), "PD105", "chosen"),
    "identical answers": (line(chosen="B"), "PD201", "record"),
    "huge number": (b'{"prompt": "Q", "chosen": "A", "rejected": "B", "margin": ' + b"9" * 5000 + b"}\n", "bad-json", None),
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("behind", [0, 300])
def test_bad_row(name: str, behind: int, tmp_path: Path) -> None:
    """One bad row among good ones is one reject with its line, and the good ones are kept, wherever it stands."""
    bad, code, field = ROWS[name]
    path = tmp_path / "in.jsonl"
    path.write_bytes(line() * behind + bad + line() * 2)
    result = convert(path)
    assert result.counts == {"read": behind + 3, "kept": behind + 2, "dropped": {}, "rejected": {code: 1}}
    assert result.exit_code == 1
    (row,) = rejects(result)
    assert (row["line"], row["code"], row.get("field")) == (behind + 1, code, field)
    if code == "bad-utf8":
        assert "raw_base64" in row
    elif len(bad) < 1000:
        assert row["raw"] == bad.decode().rstrip("\n")


def test_fine_oddities(tmp_path: Path) -> None:
    """A BOM, CRLF, blank lines, no newline at the end, key order, unknown columns: all fine; unknown columns are named."""
    path = tmp_path / "in.jsonl"
    rows = [b"\xef\xbb\xbf" + line().replace(b"\n", b"\r\n"), b"\r\n", b"  \n", b'{"rejected":"B","chosen":"A","prompt":"Q","z":{"a":[1]}}']
    path.write_bytes(b"".join(rows))
    result = convert(path)
    assert result.counts == {"read": 2, "kept": 2, "dropped": {}, "rejected": {}}
    assert result.inputs[0]["ignored_columns"] == ["z"]


def test_types_that_change_late(tmp_path: Path) -> None:
    """Neither a late type nor a late column changes what a column is: line 5,000 is rejected, the others are not."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(line(margin=1) * 4999 + line(margin="x") + line(margin=2.5, late="y") * 10)
    result = convert(path)
    assert result.counts["rejected"] == {"wrong-type": 1}
    assert rejects(result)[0]["line"] == 5000
    assert pl.read_parquet(result.out)["margin"].to_list() == [1.0] * 4999 + [2.5] * 10


def test_tool_calls_that_appear_late(tmp_path: Path) -> None:
    """Tool calls are never dropped in silence: a row that has them where the file's first rows do not is rejected, or kept with --tools."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turn = [{"role": "assistant", "content": "A"}]
    plain = {"prompt": [{"role": "user", "content": "Q"}], "chosen": turn, "rejected": [{"role": "assistant", "content": "B"}], "extra": 1}
    tooled = {**plain, "chosen": [{"role": "assistant", "content": "", "tool_calls": [call]}]}
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in [plain] * 250 + [tooled]))
    result = convert(path)
    assert result.counts["rejected"] == {"wrong-type": 1}
    assert "--tools" in rejects(result)[0]["reason"]
    kept = convert(path, tools=True)
    assert kept.counts["kept"] == 251
    assert pl.read_parquet(kept.out)["chosen"][-1][0]["tool_calls"][0]["function"]["name"] == "f"


FILES: dict[str, tuple[Callable[[Path], None], type[Exception], str]] = {
    "empty": (lambda p: p.write_bytes(b"") and None, InputError, "is empty"),
    "only white space": (lambda p: p.write_bytes(b" \n\n") and None, InputError, "is empty"),
    "lfs pointer": (
        lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n") and None,
        InputError,
        "git lfs pull",
    ),
    "utf-16": (lambda p: p.write_bytes('{"a": 1}\n'.encode("utf-16")) and None, InputError, "UTF-16"),
    "directory": (lambda p: p.mkdir(), UsageError, "is a directory"),
    "missing": (lambda p: None, InputError, "no such file"),
    "cut gzip": (lambda p: p.write_bytes(gzip.compress(line() * 9000)[:-20]) and None, InputError, "cut off"),
    "broken gzip": (lambda p: p.write_bytes(b"\x1f\x8b\x08\x00garbage garbage") and None, InputError, "gzip"),
    "cut parquet": (lambda p: p.write_bytes(b"PAR1 and nothing") and None, InputError, "parquet"),
    "cut array": (lambda p: p.write_bytes(b'[{"prompt": "Q", "chosen": "A", "rejected": "B"}, {"pro') and None, InputError, "broken here"),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_file(name: str, tmp_path: Path) -> None:
    """A file that cannot be read at all is one error that says what to do; an earlier output stays as it was."""
    make, error, words = FILES[name]
    path = tmp_path / "in.data"
    make(path)
    (tmp_path / "out.parquet").write_bytes(b"before")
    with pytest.raises(error, match=words):
        convert(path)
    assert (tmp_path / "out.parquet").read_bytes() == b"before"
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "in.data") == ["out.parquet"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(line())
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read"):
        convert(path)


def test_unwritable_output(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(line())
    with pytest.raises(InputError, match="cannot be written"):
        prefdata.convert(str(path), str(tmp_path / "no" / "folder" / "out.parquet"), from_="trl")


def test_gzip_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefdata.io import plan

    monkeypatch.setattr(plan, "BOMB_BYTES", 1 << 22)
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress(line() + b'{"prompt": "' + b"a" * (1 << 26)))
    with pytest.raises(InputError, match="bomb"):
        convert(path)


def test_line_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line beyond the limit is rejected without being held whole; the rows around it are kept."""
    from prefdata.io import json_lines, plan, read

    monkeypatch.setattr(plan, "MAX_LINE", 1 << 20)
    monkeypatch.setattr(read, "MAX_LINE", 1 << 20)
    monkeypatch.setattr(json_lines, "MAX_LINE", 1 << 20)
    monster = b'{"prompt": "' + b"a" * (30 << 20) + b'", "chosen": "A", "rejected": "B"}\n'
    for name, pack in (("in.jsonl", bytes), ("in.jsonl.gz", lambda b: gzip.compress(b, 1))):
        path = tmp_path / name
        path.write_bytes(pack(line() + monster + line()))
        result = convert(path, force=True)
        assert result.counts == {"read": 3, "kept": 2, "dropped": {}, "rejected": {"line-too-long": 1}}


def test_all_bad_files_are_reported_together(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"")
    with pytest.raises(InputError) as e:
        prefdata.convert([str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")], str(tmp_path / "out.parquet"))
    assert "a.jsonl is empty" in str(e.value)
    assert "b.jsonl: no such file" in str(e.value)


def test_unknown_source_and_columns(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"foo": 1}\n')
    with pytest.raises(UsageError, match="did you mean hh-rlhf"):
        prefdata.convert(str(path), str(tmp_path / "o.parquet"), from_="hh_rlhf")
    with pytest.raises(UsageError, match="no known source has these columns: foo"):
        prefdata.convert(str(path), str(tmp_path / "o.parquet"))
    with pytest.raises(UsageError, match=r"ends in \.parquet"):
        prefdata.convert(str(path), str(tmp_path / "o.txt"), from_="trl")
    with pytest.raises(UsageError, match="did you mean dimension"):
        prefdata.convert(str(path), str(tmp_path / "o.parquet"), dimensions="x")


def test_parquet_types(tmp_path: Path) -> None:
    """Parquet: large and plain strings, dictionaries and null columns read alike; a number column is rejected row by row."""
    path = tmp_path / "in.parquet"
    rows = {"prompt": ["Q", "R"], "chosen": ["A", "B"], "rejected": ["C", "D"]}
    table = pa.table(rows)
    for dtype in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.string_view()):
        if not pa.types.is_string_view(dtype):
            pq.write_table(table.cast(pa.schema([(n, dtype) for n in rows])), path)
        assert convert(path, force=True).counts["kept"] == 2
    pq.write_table(pa.table({**rows, "chosen": [1, 2]}), path)
    result = convert(path, force=True)
    assert result.counts["rejected"] == {"wrong-type": 2}
    assert [r["row"] for r in rejects(result)] == [1, 2]


@pytest.mark.parametrize(
    ("text", "code", "at"),
    [
        ("prompt,chosen,rejected\nQ,A,B\nQ,A\n", "cell-count", 3),
        ('prompt,chosen,rejected\nQ,"A\n\nA",B\nQ,"A"x,B\n', "bad-csv", 5),
        ('prompt,chosen,rejected\nQ,A,B\nQ,"A,B\nQ,A,B\n', "bad-csv", 3),
    ],
)
def test_csv(text: str, code: str, at: int, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text(text)
    result = prefdata.convert(str(path), str(tmp_path / "o.parquet"), from_="table", prompt="prompt", chosen="chosen", rejected="rejected")
    assert result.counts["read"] == 2
    assert result.counts["rejected"] == {code: 1}
    assert rejects(result)[0]["line"] == at


@pytest.mark.parametrize("now", [b'{"prompt": "P"}\n' * 100, b'{"prompt": "Q"}\n' * 99, b'{"prompt": "Q"}\n' * 101, b""])
def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path, now: bytes) -> None:
    """Other contents of the same length, a cut file, a longer one and an empty one: nothing is made of a mixture."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"prompt": "Q"}\n' * 100)
    layout = Layout({"prompt": pl.String()}, ("prompt",), (), ("prompt",))
    columns = {"prompt": Column(pl.String())}
    with opened([str(path)]) as (inp,):
        first, second, *_ = plan(inp, 1000)
        assert read_shard(first, layout, columns).read > 10
        path.write_bytes(now)
        os.utime(path, ns=(0, 0))
        with pytest.raises(InputError, match=r"rows\.jsonl: (the file was changed while it was read; copy it|cannot be read)"):
            read_shard(second, layout, columns)
