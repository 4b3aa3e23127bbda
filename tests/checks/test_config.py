"""Settings in pyproject.toml and prefdata.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

import prefdata
from prefdata.checks.config import configured, find, load
from prefdata.checks.options import ValidateOptions
from prefdata.checks.run import validate
from prefdata.errors import UsageError
from tests.checks.build import GOOD, A, pair, write

SETTINGS = """
fail-on = "warning"
ignore = ["PD206", "PD5"]
[TABLE.per-path-ignores]
"data/old/*" = ["PD2"]
[TABLE.rules.PD203]
severity = "error"
"""


def settings(path: Path, text: str = SETTINGS) -> str:
    table = "tool.prefdata.validate" if path.name == "pyproject.toml" else "validate"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[{table}]\n" + text.replace("TABLE", table))
    return str(path)


@pytest.mark.parametrize("name", ["pyproject.toml", "prefdata.toml"])
def test_settings_count_and_the_command_line_wins(name: str, tmp_path: Path) -> None:
    path = settings(tmp_path / name)
    rows = [pair("Paris is it.", "Paris"), pair(A, margin=0.0, prompt="R")]
    old, new = tmp_path / "data" / "old" / "a.jsonl", tmp_path / "data" / "b.jsonl"
    old.parent.mkdir(parents=True)
    files = [write(old, rows[:1]), write(new, rows)]
    result = validate(files, configured(ValidateOptions(), path))
    assert (result.counts, result.exit_code) == ({"PD106": 1, "PD203": 1}, 1)
    assert next((f.file, f.code, f.severity) for f in result.findings) == (files[1], "PD106", "warning")
    assert result.severities["PD203"] == "error"
    result = validate(files, configured(ValidateOptions(fail_on="never", ignore=["PD106", "PD5"]), path))
    assert (result.counts, result.exit_code) == ({"PD203": 1, "PD206": 1}, 0)


def test_the_nearest_file_counts(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find(str(tmp_path / "a" / "b")) in (None, find(str(tmp_path)))
    outer = settings(tmp_path / "pyproject.toml")
    (tmp_path / "a" / "pyproject.toml").write_text("[project]\nname = 'x'\n")  # has no settings of ours
    assert find(str(tmp_path / "a" / "b")) == outer
    inner = settings(tmp_path / "a" / "prefdata.toml")
    assert find(str(tmp_path / "a" / "b")) == inner


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fail_onn = 'error'", "no setting 'fail_onn'; did you mean 'fail-on'"),
        ("fail-on = 'all'", "fail_on: Input should be 'error', 'warning', 'info' or 'never'"),
        ("fail-on = ", "not valid TOML"),
        ("[validate.rules.PD203]\nx = 1", "PD203 has no limit 'x'; it has: min_bytes, severity"),
        ("[validate.rules.PD999]\nx = 1", "there is no rule 'PD999'"),
        ("[validate.rules.PD203]\nseverity = 'bad'", "PD203.severity must be error, warning or info"),
    ],
)
def test_wrong_settings(text: str, message: str, tmp_path: Path) -> None:
    path = settings(tmp_path / "prefdata.toml", text)
    with pytest.raises(UsageError, match=message):
        validate(write(tmp_path / "in.jsonl", [GOOD]), configured(ValidateOptions(), path))


def test_settings_that_are_no_table(tmp_path: Path) -> None:
    (tmp_path / "prefdata.toml").write_text("validate = 3\n")
    with pytest.raises(UsageError, match="validate must be a table"):
        load(str(tmp_path / "prefdata.toml"))


def test_limits_are_written_as_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", [GOOD])
    assert prefdata.validate(path, limits={"PD203": {"severity": "info"}}).severities["PD203"] == "info"
    assert ValidateOptions.model_validate({"set": "PD1.a=2, PD1.b=x"}).limits == {"PD1": {"a": "2", "b": "x"}}
    with pytest.raises(UsageError, match="expected CODE"):
        prefdata.validate(path, limits="PD203")
