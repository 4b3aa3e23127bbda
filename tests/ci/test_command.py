"""`prefdata validate` in a pipeline: what goes to stdout, what to files, and the exit codes."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import unquote

import pytest

from prefdata.checks import reports
from prefdata.checks.rules import RULES
from tests.checks.build import GOOD, pair, write
from tests.ci.commands import data, run


def prefdata(*args: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return run("prefdata", *args, cwd=cwd, **env)


def test_one_run_many_reports(tmp_path: Path) -> None:
    data(tmp_path)
    names = ["r.sarif", "r.xml", "r.md", "r.json", "r.jsonl", "r.txt"]
    done = prefdata("validate", "data/bad.jsonl", "--format", "github", *(f"-o{n}" for n in names), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("::error file=data/bad.jsonl,line=2,title=PD201 identical::")
    for name in names:
        alone = prefdata("validate", "data/bad.jsonl", "--format", reports.format_of(name), cwd=tmp_path).stdout
        assert (tmp_path / name).read_text(encoding="utf-8") == alone
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*names, "data"]), "nothing temporary is left"


def test_a_report_that_goes_to_a_file_is_not_printed_as_well(tmp_path: Path) -> None:
    data(tmp_path)
    done = prefdata("validate", "data/good.jsonl", "--format", "sarif", "-o", "r.sarif", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "1 pair row in 1 file: no findings\n")
    assert json.loads((tmp_path / "r.sarif").read_text())["version"] == "2.1.0"


def test_quiet(tmp_path: Path) -> None:
    data(tmp_path)
    done = prefdata("validate", "data/bad.jsonl", "-q", "-o", "r.json", "--format", "github", cwd=tmp_path, GITHUB_STEP_SUMMARY="s.md")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert (tmp_path / "r.json").exists()
    assert not (tmp_path / "s.md").exists()


def test_reports_do_not_replace_data(tmp_path: Path) -> None:
    """As when a shell expands -o *.jsonl."""
    data(tmp_path)
    before = (tmp_path / "data" / "bad.jsonl").read_bytes()
    done = prefdata("validate", "-o", "data/bad.jsonl", "data/good.jsonl", "./data/bad.jsonl", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: data/bad.jsonl is one of the files that were checked; give the report another name\n"
    assert (tmp_path / "data" / "bad.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ([], 2, "name the files to check"),
        (["data/good.jsonl", "-o", "report"], 2, "the name of a report ends in"),
        (["data/good.jsonl", "-o", "no/r.sarif"], 3, "no/r.sarif: cannot be written"),
        (["--explain", "PD201x"], 2, "did you mean PD201"),
        (["data/good.jsonl", "--format", "xml"], 2, "xml"),
    ],
)
def test_wrong_options(args: list[str], code: int, words: str, tmp_path: Path) -> None:
    data(tmp_path)
    done = prefdata("validate", *args, cwd=tmp_path)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_explain(tmp_path: Path) -> None:
    done = prefdata("validate", "--explain", "PD201", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("PD201 identical (error, on)\n\nFinds: chosen and rejected are identical\n")
    assert RULES["PD201"].reason in done.stdout


def test_listed_findings_by_format(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [pair("same", "same", prompt=str(i)) for i in range(1200)])
    ask = ("validate", "a.jsonl", "--select", "PD201", "--format")
    assert prefdata(*ask, "text", cwd=tmp_path).stdout.count("a.jsonl:") == 10
    assert len(prefdata(*ask, "jsonl", cwd=tmp_path).stdout.splitlines()) == 1000
    assert len(prefdata(*ask, "jsonl", "--show", "3", cwd=tmp_path).stdout.splitlines()) == 3
    found = json.loads(prefdata(*ask, "text", "--json", cwd=tmp_path).stdout)
    assert (len(found["findings"]), found["counts"]) == (1000, {"PD201": 1200})
    assert set(found["findings"][0]) == {"file", "line", "code", "severity", "message", "field", "id", "unit", "name", "fingerprint"}


def test_summary_of_a_step(tmp_path: Path) -> None:
    data(tmp_path)
    for text in ("data/bad.jsonl", "data/good.jsonl"):
        prefdata("validate", text, "--format", "github", cwd=tmp_path, GITHUB_STEP_SUMMARY="s.md")
    page = (tmp_path / "s.md").read_text()
    assert page.startswith("## prefdata validate: failed\n\n2 pair rows in 1 file: 1 finding (1 error); 1 at or above error: failed.\n")
    assert page.endswith("## prefdata validate: passed\n\n1 pair row in 1 file: no findings.\n")
    (tmp_path / "s.md").write_bytes(b"x" * 1024 * 1024)
    done = prefdata("validate", "data/good.jsonl", "--format", "github", cwd=tmp_path, GITHUB_STEP_SUMMARY="s.md")
    assert (done.returncode, done.stderr) == (0, "the summary of this step is full; the result was not added to it\n")
    prefdata("validate", "data/good.jsonl", cwd=tmp_path, GITHUB_STEP_SUMMARY="other.md")
    assert not (tmp_path / "other.md").exists(), "only the format of GitHub writes there"


def test_file_with_a_hostile_name_and_field(tmp_path: Path) -> None:
    name = "::error::<b>\x1b[31m|&%,\u202e.jsonl"
    write(tmp_path / name, [{**pair("same", "same"), "](http://e.vil) ]]>\x1b[0m\n::error::x": 1}])
    done = prefdata("validate", "--format=github", "-or.sarif", "-or.xml", "-or.json", "-or.md", "--", name, cwd=tmp_path)
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].startswith("::error file=%3A%3Aerror%3A%3A<b>\\u001b[31m|&%25%2C\\u202e.jsonl,line=1,title=PD201 identical::")
    assert {line.split("::")[1].split(" ")[0] for line in lines if line.startswith("::")} == {"error", "warning"}
    ET.parse(tmp_path / "r.xml")
    run_ = json.loads((tmp_path / "r.sarif").read_text())["runs"][0]
    assert unquote(run_["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]) == name
    assert "\x1b" not in (tmp_path / "r.md").read_text() + (tmp_path / "r.json").read_text() + (tmp_path / "r.xml").read_text()


def test_stdin(tmp_path: Path) -> None:
    code = f"printf '%s\\n' '{json.dumps(GOOD)}' | prefdata validate - --format github -o r.sarif"
    done = run("sh", "-c", code, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "1 pair row in 1 file: no findings\n")


def test_help_shows_formats_and_ci(tmp_path: Path) -> None:
    words = " ".join(prefdata("validate", "--help", cwd=tmp_path).stdout.split())
    assert all(f"{name}|" in words or f"|{name}" in words for name in reports.FORMATS)
    assert "--format github -o prefdata.sarif" in words


def test_list_rules(tmp_path: Path) -> None:
    lines = prefdata("list", "rules", cwd=tmp_path).stdout.splitlines()
    assert len(lines) == len(RULES)
    for line, rule in zip(lines, RULES.values(), strict=True):
        assert line.split()[:4] == [rule.code, rule.name, rule.severity, "on" if rule.on else "off"]
        assert all(f"{name}={value}" in line for name, value in rule.limits.items())
    told = json.loads(prefdata("list", "rules", "--json", cwd=tmp_path).stdout)
    assert [r["code"] for r in told] == list(RULES)
    assert {"on", "limits", "kinds", "reason", "bad", "good", "fix"} <= set(told[0])
