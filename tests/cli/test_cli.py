"""The command line as a user meets it: output, exit codes, pipes, help."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from prefdata.checks.options import ValidateOptions
from prefdata.cli.main import COMMANDS
from prefdata.cli.options import visible
from prefdata.conversion.options import ConvertOptions

ROWS = '{"prompt": "Q", "chosen": "A", "rejected": "B"}\n{"prompt": "R", "chosen": "A", "rejected": "C"}\n'
BAD = ROWS + '{"prompt": "S", "chosen": "A"}\n'


def prefdata(*args: str, stdin: bytes | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    code = "from prefdata.cli.main import main; main()"
    return subprocess.run([sys.executable, "-c", code, *args], input=stdin, capture_output=True, cwd=cwd)


def test_every_command_has_help_with_an_example() -> None:
    top = prefdata("--help").stdout.decode()
    for name in COMMANDS:
        assert name in top
        said = prefdata(name, "--help")
        assert said.returncode == 0
        assert f"prefdata {name} " in said.stdout.decode().replace("\n  ", " ")


def test_help_imports_nothing_heavy() -> None:
    probe = "import sys; sys.argv=['prefdata','--help']\nfrom prefdata.cli.main import main\ntry: main()\nexcept SystemExit: pass\n"
    probe += "print(sorted(m for m in ('polars','pyarrow','pydantic','numpy','datasets','rich') if m in sys.modules), file=sys.stderr)"
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True).stderr.strip() == "[]"


def test_bulk_commands_import_nothing_that_they_do_not_use(tmp_path: Path) -> None:
    """pyarrow imports pandas, where it is installed, for a value of Python and for `to_numpy`: half a second of processor time."""
    rows = tmp_path / "in.jsonl"
    rows.write_text(ROWS * 50)
    probe = "import sys\nfrom prefdata.cli.main import main\ntry: main()\nexcept SystemExit: pass\n"
    probe += "print(sorted(m for m in ('pandas','yaml','datasets','torch') if m in sys.modules))"
    for command in (
        ["convert", str(rows), "-o", "out.parquet", "-q"],
        ["convert", "out.parquet", "-o", "again.jsonl", "-q"],
        ["validate", "out.parquet", "-q"],
        ["validate", "again.jsonl", "-q"],
        ["export", "out.parquet", "-o", "folder", "--to", "trl", "-q"],
    ):
        done = subprocess.run([sys.executable, "-c", probe, *command], capture_output=True, text=True, cwd=tmp_path)
        assert done.stdout == "[]\n", (command, done.stdout, done.stderr)


def test_convert_says_the_account(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(BAD)
    done = prefdata("convert", "in.jsonl", "-o", "out.jsonl", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == b""
    words = done.stderr.decode()
    assert "rows: read 3 = kept 2 + dropped 0 + rejected 1" in words
    assert "rejected 1: missing-field" in words
    again = prefdata("convert", "in.jsonl", "-o", "out.jsonl", cwd=tmp_path)
    assert again.returncode == 1
    assert "up to date, nothing was done" in again.stderr.decode()
    manifest = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())
    assert manifest["counts"] == {"read": 3, "kept": 2, "dropped": {}, "rejected": {"missing-field": 1}}
    (tmp_path / "in.jsonl").write_text(ROWS)
    fresh = prefdata("convert", "in.jsonl", "-o", "out.jsonl", cwd=tmp_path)
    assert fresh.returncode == 0
    assert not (tmp_path / "out.jsonl.rejects.jsonl").exists(), "rejects of an earlier run do not lie about"


def test_json_is_one_object(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(BAD)
    done = prefdata("convert", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "o.parquet"), "--json")
    account = json.loads(done.stdout)
    assert (account["kind"], account["exit_code"], account["counts"]["read"]) == ("pair", 1, 3)
    assert done.stderr == b""
    found = json.loads(prefdata("validate", str(tmp_path / "o.parquet"), "--json").stdout)
    assert (found["rows"], found["exit_code"], found["findings"]) == (2, 0, [])


def test_pipes(tmp_path: Path) -> None:
    done = prefdata("convert", "-", "-o", "-", "--source", "logs", stdin=ROWS.encode(), cwd=tmp_path)
    assert done.returncode == 0
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["source"] for r in records] == ["logs", "logs"]
    checked = prefdata("validate", "-", stdin=done.stdout)
    assert checked.returncode == 0
    assert checked.stdout.decode() == "2 pair rows in 1 file: no findings\n"
    assert list(tmp_path.iterdir()) == []
    bad = prefdata("convert", "-", "-o", "-", stdin=BAD.encode(), cwd=tmp_path)
    assert bad.returncode == 1
    assert [p.name for p in tmp_path.iterdir()] == ["prefdata.rejects.jsonl"]


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["convert", "in.jsonl", "-o", "x.parquet", "--to", "tree"], 2, "tree"),
        (["convert", "in.jsonl", "-o", "x.parquet", "--nope"], 2, "--nope"),
        (["convert", "in.jsonl", "-o", "x.parquet", "--limit", "0"], 2, "--limit"),
        (["convert", "in.jsonl", "-o", "x.parquet", "--weights", "a"], 2, "name=weight"),
        (["convert", "in.jsonl"], 2, "--out"),
        (["convert", "missing.jsonl", "-o", "x.parquet"], 3, "error: missing.jsonl: no such file"),
        (["convert", "in.jsonl", "-o", "in.jsonl"], 2, "both the input in.jsonl and the output"),
        (["convert", "in.jsonl", "-o", "x.parquet", "--from", "trll"], 2, "did you mean"),
        (["validate", "in.jsonl", "--select", "XX"], 2, "no rule begins with 'XX'"),
        (["nope"], 2, "nope"),
    ],
)
def test_mistakes_are_one_message(args: list[str], code: int, words: str, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(ROWS)
    done = prefdata(*args, cwd=tmp_path)
    said = done.stderr.decode()
    assert done.returncode == code, said
    assert words in said
    assert "Traceback" not in said


def test_options_are_the_models_fields() -> None:
    for name, model in (("convert", ConvertOptions), ("validate", ValidateOptions)):
        said = prefdata(name, "--help").stdout.decode()
        for field, info in model.model_fields.items():
            assert (f"--{(info.alias or field).replace('_', '-')}" in said) != bool(info.json_schema_extra)


def test_data_cannot_steer_the_terminal(tmp_path: Path) -> None:
    assert visible("a\x1b[31mred\u202e\r b\n") == "a\\u001b[31mred\\u202e\\u000d b\n"
    row: dict[str, Any] = {"prompt": "Q", "chosen": "A", "rejected": "B", "\x1b]0;owned\x07": 1}
    (tmp_path / "in.jsonl").write_text(json.dumps(row) + "\n")
    done = prefdata("convert", "in.jsonl", "-o", "o.parquet", cwd=tmp_path)
    assert b"\x1b" not in done.stderr
    assert b"\\u001b]0;owned" in done.stderr


def test_list_and_schema() -> None:
    sources = json.loads(prefdata("list", "sources", "--json").stdout)
    assert {"name": "hh-rlhf"}.items() <= sources[[s["name"] for s in sources].index("hh-rlhf")].items()
    assert "PD201" in prefdata("list", "rules").stdout.decode()
    assert json.loads(prefdata("schema", "pair").stdout)["title"] == "Pair"


def test_python_and_command_line_write_the_same(tmp_path: Path) -> None:
    import prefdata as api

    (tmp_path / "in.jsonl").write_text(ROWS)
    prefdata("convert", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "a.parquet"), "--split", "train")
    api.convert(str(tmp_path / "in.jsonl"), str(tmp_path / "b.parquet"), split="train")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert pl.read_parquet(tmp_path / "a.parquet")["split"].to_list() == ["train", "train"]


def test_only_bulk_commands_change_their_process() -> None:
    """The library leaves the garbage collector, the switch interval and the allocators of its host alone."""
    probe = "import gc, os, sys\n{}\nprint(gc.get_threshold()[0], sys.getswitchinterval(), os.environ.get('MIMALLOC_PURGE_DELAY'))"
    said = [
        subprocess.run([sys.executable, "-c", probe.format(code)], capture_output=True, text=True).stdout.split()
        for code in ("", "import prefdata.api", "from prefdata.cli.main import build; build(['list'])")
    ]
    assert said[0] == said[1] == said[2]
    bulk = subprocess.run(
        [sys.executable, "-c", probe.format("from prefdata.cli.main import build; build(['convert'])")], capture_output=True, text=True
    )
    assert all(its != others for its, others in zip(bulk.stdout.split(), said[0], strict=True))
