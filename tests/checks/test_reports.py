"""Every report says the same and is valid in its format."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import get_args

import pytest
from lxml import etree

from prefdata.checks import reports
from prefdata.checks.reports import github, markdown, place, sarif, verdict
from prefdata.checks.reports.explain import explain
from prefdata.checks.result import Finding, ValidateResult
from prefdata.checks.rules import RULES
from prefdata.errors import InputError, UsageError
from tests.checks.results import mixed, result_of, some


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ValidateResult:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    return mixed()


EXPECTED = {("PD006", "a.jsonl", 1)} | {(c, f, n) for f in ("a.jsonl", "b.parquet") for c, n in (("PD201", 2), ("PD204", 3), ("PD201", 4))}


def test_every_format_has_the_same_findings(checked: ValidateResult) -> None:
    made = {name: reports.render(checked, name) for name in reports.FORMATS}
    found = {}
    found["text"] = {(c, f, int(n)) for f, n, c in re.findall(r"^(.+?):(\d+): (PD\d+) ", made["text"], re.MULTILINE)}
    found["json"] = {(f["code"], f["file"], f["line"]) for f in json.loads(made["json"])["findings"]}
    found["jsonl"] = {(f["code"], f["file"], f["line"]) for f in map(json.loads, made["jsonl"].splitlines())}
    found["github"] = set()
    for line in made["github"].splitlines():
        if told := re.fullmatch(r"::(?:error|warning|notice) file=(.+?),(?:line=(\d+),)?title=(PD\d+) .*?::(?:row (\d+): )?.*", line):
            found["github"].add((told[3], told[1], int(told[2] or told[4])))
    found["sarif"] = set()
    for r in json.loads(made["sarif"])["runs"][0]["results"]:
        where = r["locations"][0]["physicalLocation"]
        line = where["region"]["startLine"] if "region" in where else r["properties"]["row"]
        found["sarif"].add((r["ruleId"], where["artifactLocation"]["uri"], line))
    found["junit"] = set()
    for test in ET.fromstring(made["junit"]).iter("testcase"):
        words = "\n".join(str(child.text) for child in test)
        found["junit"] |= {(str(test.get("name"))[:5], f, int(n)) for f, n in re.findall(r"^(\S+?):(\d+): ", words, re.MULTILINE)}
    cells = re.findall(r"^\| <code>(.+?):(\d+)</code> \| (PD\d+) \|", made["markdown"], re.MULTILINE)
    found["markdown"] = {(c, f, int(n)) for f, n, c in cells}
    assert found == dict.fromkeys(reports.FORMATS, EXPECTED)


def test_text(checked: ValidateResult) -> None:
    assert reports.render(replace(checked, findings=checked.findings[:2]), "text") == (
        "a.jsonl:1: PD006 info: the file begins with a byte-order mark\n"
        f"a.jsonl:2: PD201 error: {RULES['PD201'].message} [record]\n"
        "\n"
        f"PD006 byte-order-mark: 1 (info). {RULES['PD006'].fix}\n"
        f"PD201 identical: 4 (error; 1 listed). {RULES['PD201'].fix}\n"
        f"PD204 marker-in-answer: 2 (warning; 0 listed). {RULES['PD204'].fix}\n"
        "8 pair rows in 2 files: 7 findings (4 error, 2 warning, 1 info); 4 at or above error: failed\n"
    )


def test_verdicts() -> None:
    found = [*some("PD201", 2), *some("PD204", 1)]
    words = "3 findings (2 error, 1 warning); "
    assert verdict.words(result_of(*found)) == words + "2 at or above error: failed"
    assert verdict.words(result_of(*found, max_errors=2)) == words + "2 at or above error (2 allowed): passed"
    assert verdict.words(result_of(*found, fail_on="never")) == words + "passed, as --fail-on is never"
    assert verdict.words(result_of(*some("PD204", 1))) == "1 finding (1 warning); none at or above error: passed"
    assert verdict.words(result_of()) == "no findings"
    told = {"known": {"PD201": 5}, "new": {"PD201": 1}, "gone": {"PD204": 2}, "updated": False}
    new = result_of(*some("PD201", 1), counts={"PD201": 6}, baseline=told)
    assert verdict.words(new) == (
        "1 new finding (1 error); 1 at or above error: failed; baseline: 5 known, 2 gone (--update-baseline down forgets them)"
    )
    none = result_of(counts={"PD201": 5}, baseline={**told, "new": {}, "gone": {}})
    assert verdict.words(none) == "no new findings; baseline: 5 known, 0 gone"
    for form in reports.FORMATS:
        assert "PD201 identical: 5" not in reports.render(none, form), "known findings are not told again"
    assert ET.fromstring(reports.render(replace(none, files=new.files), "junit")).get("failures") == "0"


def test_the_most_severe_come_first_and_every_rule_has_its_turn() -> None:
    mixed = [*some("PD204", 3), *some("PD201", 3), *some("PD101", 2), *some("PD006", 1)]
    codes = [f.code for f in verdict.ranked(mixed)]
    assert codes == ["PD201", "PD101", "PD201", "PD101", "PD201", "PD204", "PD204", "PD204", "PD006"]


# GitHub's workflow commands


def test_github_annotates_within_githubs_limits() -> None:
    many = [*some("PD204", 30), *some("PD201", 30), *some("PD101", 4)]
    lines = github.report(result_of(*many, counts={"PD204": 500, "PD201": 30, "PD101": 4})).splitlines()
    assert Counter(line.split(" ")[0] for line in lines if line.startswith("::")) == {"::error": 10, "::warning": 10}
    assert sum("title=PD101 " in line for line in lines) == 4, "a rule with few findings is not crowded out"
    assert lines[20:] == [
        "9 pair rows in 1 file: 534 findings (34 error, 500 warning); 34 at or above error: failed",
        "514 findings are no annotations (GitHub shows 10 of each severity per step):",
        "  PD201 identical: 24 more",
        "  PD204 marker-in-answer: 490 more",
    ]


def test_github_commands_are_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    found = Finding("a b/50%,x:y.jsonl", 3, "PD201", "error", "100% the\nsame: a, b", "chosen")
    line = github.report(result_of(found)).splitlines()[0]
    fix = RULES["PD201"].fix
    assert line == f"::error file=a b/50%25%2Cx%3Ay.jsonl,line=3,title=PD201 identical::100%25 the\\nsame: a, b [chosen]%0AFix: {fix}."
    row = Finding("b.parquet", 7, "PD204", "warning", "m", None, "0", "row")
    whole = Finding("stdin", 0, "PD006", "info", "m")
    lines = github.report(result_of(row, whole)).splitlines()
    assert lines[0].startswith("::warning file=b.parquet,title=PD204 marker-in-answer::row 7: m%0A")
    assert lines[1].startswith("::notice title=PD006 byte-order-mark::m%0A")


def test_paths_are_those_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    inside, outside = Finding("a b.jsonl", 1, "PD201", "error", "m"), Finding("/elsewhere/c.jsonl", 1, "PD201", "error", "m")
    result = result_of(
        inside, replace_file(inside, str(tmp_path / "sub" / "a b.jsonl")), outside, replace_file(inside, "hub:org/name#train")
    )
    assert re.findall("file=(.+?),line", github.report(result)) == ["sub/a b.jsonl", "sub/a b.jsonl", "/elsewhere/c.jsonl"]
    uris = [r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in sarif.log(result)["runs"][0]["results"]]
    assert uris == ["sub/a%20b.jsonl", "sub/a%20b.jsonl", "file:///elsewhere/c.jsonl", "hub%3Aorg/name%23train"]


def test_links_are_shown_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "elsewhere.jsonl").write_text("")
    (tmp_path / "real" / "link.jsonl").symlink_to(tmp_path / "elsewhere.jsonl")
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path / "real")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "real"))
    assert place.path("link.jsonl") == "link.jsonl"
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "alias"))
    (tmp_path / "real" / "a.jsonl").write_text("")
    assert place.path("a.jsonl") == "a.jsonl"


def replace_file(finding: Finding, file: str) -> Finding:
    return finding._replace(file=file)


def test_step_summary(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n")
    assert github.append_summary(str(path), "page\n")
    assert path.read_text() == "before\npage\n"
    path.write_bytes(b"x" * (1024 * 1024 - 4))
    assert not github.append_summary(str(path), "page\n"), "one byte over GitHub's limit"
    assert path.stat().st_size == 1024 * 1024 - 4
    with pytest.raises(InputError, match="GITHUB_STEP_SUMMARY"):
        github.append_summary(str(tmp_path / "no" / "s.md"), "page\n")


# JUnit


def valid_junit(text: str) -> ET.Element:
    tree = etree.fromstring(text.encode())
    for name in ("Any-JUnit.xsd", "PyTest-JUnit.xsd"):
        schema = etree.XMLSchema(etree.fromstring((resources.files("pyEDAA.Reports.Resources") / name).read_bytes()))
        assert schema.validate(tree), schema.error_log
    root = ET.fromstring(text)
    for suite in (root, *root.findall("testsuite")):
        for name, inside in (("tests", ".//testcase"), ("failures", ".//failure"), ("errors", ".//error"), ("skipped", ".//skipped")):
            assert int(str(suite.get(name))) == len(suite.findall(inside))
    return root


def test_junit(checked: ValidateResult) -> None:
    root = valid_junit(reports.render(checked, "junit"))
    tests = {(t.get("classname"), str(t.get("name"))[:5]): [child.tag for child in t] for t in root.iter("testcase")}
    each = {"PD201": ["failure"], "PD204": ["system-out"]}
    assert tests == {(f, c): tags for f in ("a.jsonl", "b.parquet") for c, tags in {"PD006": [], **each}.items()} | {
        ("a.jsonl", "PD006"): ["system-out"]
    }
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.attrib == {"message": f"2 findings: {RULES['PD201'].message}", "type": "error"}
    assert failure.text == (
        f"a.jsonl:2: {RULES['PD201'].message} [record]\na.jsonl:4: {RULES['PD201'].message} [record]\nFix: {RULES['PD201'].fix}."
    )
    strict = valid_junit(reports.render(replace(checked, fail_on="warning"), "junit"))
    assert strict.get("failures") == "4"
    assert valid_junit(reports.render(replace(checked, fail_on="never"), "junit")).get("failures") == "0"


def test_junit_does_not_say_passed_where_it_is_not_known() -> None:
    """Counts are those of all files: with a rule's list cut off, a file without listed findings may still have some."""
    found = [*some("PD201", 2), Finding("b.jsonl", 1, "PD204", "warning", "m")]
    root = valid_junit(reports.render(result_of(*found, counts={"PD201": 7, "PD204": 1}), "junit"))
    tests = {(t.get("classname"), str(t.get("name"))[:5]): [child.tag for child in t] for t in root.iter("testcase")}
    assert tests["a.jsonl", "PD201"] == ["failure"]
    assert tests["b.jsonl", "PD201"] == ["skipped"]
    assert tests["a.jsonl", "PD204"] == []
    assert str(root.findtext(".//failure")).splitlines()[2] == "5 more findings of this rule, in any of the files, are not listed"


# Markdown


def test_markdown_keeps_within_a_comment() -> None:
    page = markdown.report(result_of(*[f._replace(message="|" * 500) for f in some("PD201", 2000)]))
    assert len(page) <= 65_536
    listed = page.count("<code>a.jsonl:")
    assert page.endswith(f"\n\n{2000 - listed:,} findings are not listed here.\n")
    assert listed > 20
    assert "not listed" not in markdown.report(result_of(*some("PD201", 3)))


# The command line


def test_formats_of_the_command_line_are_the_table() -> None:
    from prefdata.cli.validate_ import Format

    assert list(get_args(Format)) == list(reports.FORMATS)
    assert set(reports.ENDINGS.values()) == set(reports.FORMATS) - {"github"}


@pytest.mark.parametrize(("form", "listed"), [("text", 10), ("markdown", 10), ("json", 12), ("sarif", 12)])
def test_formats_list_what_suits_them(form: str, listed: int) -> None:
    assert reports.render(result_of(*some("PD201", 12)), form).count("a.jsonl") - (form == "sarif") - (form == "json") == listed
    assert reports.render(result_of(*some("PD201", 12)), form, show=2).count("a.jsonl") - (form == "sarif") - (form == "json") == 2


def test_format_of_a_file() -> None:
    assert [reports.format_of(n) for n in ("a.sarif", "A.SARIF.JSON", "a.json", "x/j.xml")] == ["sarif", "sarif", "json", "junit"]
    with pytest.raises(UsageError, match=r"ends in \.sarif\.json, \.sarif"):
        reports.format_of("report")


def test_explain() -> None:
    words = explain("PD203")
    rule = RULES["PD203"]
    assert words.startswith("PD203 prefix-answer (warning, on)\n")
    assert all(part in words for part in (rule.message, rule.reason, rule.bad, rule.good, rule.fix, "pair"))
    assert all(f"{name}={value}" in words for name, value in rule.limits.items())
    assert explain("prefix-answer") == words
    group = explain("PD2")
    assert group.startswith("PD2: Does a pair say what it seems to say?\n")
    assert all(code in group for code in RULES if code.startswith("PD2"))
    assert "PD301" not in group
    with pytest.raises(UsageError, match="did you mean PD203"):
        explain("PD203x")


def test_every_rule_can_be_explained() -> None:
    for rule in RULES.values():
        words = explain(rule.code)
        assert f"({rule.severity}, {'on' if rule.on else 'off'})" in words
        assert ("--extend-select" in words) == (not rule.on)
        assert ("--set" in words) == bool(rule.limits)
