"""No report is fooled by names and texts from the data."""

from __future__ import annotations

import re

import orjson
import pytest
from markdown_it import MarkdownIt

from prefdata.checks import reports
from tests.checks.results import hostile
from tests.checks.test_reports import valid_junit
from tests.checks.test_sarif import valid_sarif


@pytest.mark.parametrize("form", reports.FORMATS)
def test_nothing_from_the_data_steers_or_hides(form: str) -> None:
    text = reports.render(hostile(), form)
    assert {c for c in text if not c.isprintable()} <= {"\n", "\u2060" if form == "markdown" else "\n"}
    text.encode()  # no half of a surrogate pair
    for line in {"json": [text], "sarif": [text], "jsonl": text.splitlines()}.get(form, []):
        orjson.loads(line)
    if form not in ("json", "jsonl"):
        assert len(text) < 120_000


def test_hostile_text_adds_no_lines_and_no_commands() -> None:
    result = hostile()
    assert len(reports.render(result, "text").splitlines()) == len(result.findings) + 1 + len(result.counts) + 1
    assert len(reports.render(result, "jsonl").splitlines()) == len(result.findings)
    lines = reports.render(result, "github").splitlines()
    assert [line.split(" ")[0] for line in lines[:7]] == ["::error"] * 6 + ["::warning"]
    plain = [*lines[7:], *reports.render(result, "text").splitlines()]
    assert [line for line in plain if line.lstrip().startswith("::") or "##[" in line] == []


def test_hostile_text_in_sarif() -> None:
    run = valid_sarif(reports.render(hostile(), "sarif"))
    for result in run["results"]:
        assert not re.search(r"\]\(|\{\d", result["message"]["text"]), "a link or a placeholder"


def test_hostile_text_in_junit() -> None:
    root = valid_junit(reports.render(hostile(), "junit"))
    assert {e.tag for e in root.iter()} == {"testsuites", "testsuite", "testcase", "failure", "system-out"}
    assert "]]> <script>" in str(root.findtext(".//failure"))


def test_hostile_text_in_markdown() -> None:
    page = reports.render(hostile(), "markdown")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(page)
    columns: list[int] = []
    for token in tokens:
        assert token.type != "html_block"
        if token.type == "tr_open":
            columns.append(0)
        columns[-1:] = [columns[-1] + (token.type in ("td_open", "th_open"))] if columns else []
        for inner in token.children or []:
            assert inner.type in ("text", "html_inline"), inner
            assert inner.type != "html_inline" or inner.content in ("<code>", "</code>"), inner
    assert columns == [5] * 3 + [3] * 8
    assert len(rows) == 3 + 1 + 8 + 1
    assert not re.search(r"(?:@|&#64;|(?<!&)#|&#35;)\w|www\.|://", page), "@ and # call nobody, and addresses are no links"
