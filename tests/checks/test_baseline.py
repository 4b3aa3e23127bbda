"""The ratchet: known findings pass, new ones fail, and known ones only become fewer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import prefdata
from prefdata.checks import baseline
from prefdata.errors import UsageError
from tests.checks.build import GOOD, A, B, pair, write


def bad(n: int) -> dict[str, object]:
    return pair(f"Paris is number {n}.", f"Paris is number {n}", prompt="Where?")


def test_ratchet(tmp_path: Path) -> None:
    path, known = tmp_path / "in.jsonl", str(tmp_path / "known.json")
    write(path, [GOOD, bad(1), bad(2)])
    options = {"fail_on": "warning", "baseline": known}
    with pytest.raises(UsageError, match="no such baseline; --update-baseline all writes the first one"):
        prefdata.validate(str(path), **options)
    first = prefdata.validate(str(path), update_baseline="all", **options)
    assert (first.exit_code, first.findings, first.counts) == (0, [], {"PD203": 2})

    write(path, [bad(2), pair(A, B, prompt="R"), GOOD, bad(1)])  # lines move, nothing else
    result = prefdata.validate(str(path), **options)
    assert (result.exit_code, result.findings) == (0, [])
    assert result.baseline == {"path": known, "known": {"PD203": 2}, "new": {}, "gone": {}, "updated": False}

    write(path, [bad(2), bad(3)])  # as many as before, but another one
    result = prefdata.validate(str(path), **options)
    assert (result.exit_code, [f.line for f in result.findings], result.failing) == (1, [2], 1)
    assert (result.baseline["new"], result.baseline["gone"]) == ({"PD203": 1}, {"PD203": 1})

    prefdata.validate(str(path), update_baseline="down", **options)  # takes bad(1) out and does not take bad(3) in
    write(path, [bad(1), bad(2)])
    result = prefdata.validate(str(path), **options)
    assert (result.exit_code, [f.line for f in result.findings]) == (1, [1])


def test_the_same_finding_twice_is_two_findings(tmp_path: Path) -> None:
    path, known = tmp_path / "in.jsonl", str(tmp_path / "known.json")
    write(path, [bad(1)])
    prefdata.validate(str(path), baseline=known, update_baseline="all", select=["PD203"])
    write(path, [bad(1), bad(1)])
    result = prefdata.validate(str(path), baseline=known, select=["PD203"], fail_on="warning")
    assert (result.exit_code, result.baseline["new"]) == (1, {"PD203": 1})


def test_rules_that_do_not_run_keep_their_part(tmp_path: Path) -> None:
    path, known = tmp_path / "in.jsonl", str(tmp_path / "known.json")
    write(path, [GOOD, GOOD, bad(1)])
    prefdata.validate(str(path), baseline=known, update_baseline="all")
    before = json.loads(Path(known).read_text())
    prefdata.validate(str(path), baseline=known, update_baseline="all", select=["PD203"])
    assert json.loads(Path(known).read_text()) == before
    assert {c: r["count"] for c, r in before["rules"].items()} == {"PD106": 1, "PD203": 1}


def test_above_the_limit_numbers_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "MOST", 3)
    path, known = tmp_path / "in.jsonl", str(tmp_path / "known.json")
    write(path, [bad(i) for i in range(5)])
    prefdata.validate(str(path), baseline=known, update_baseline="all")
    assert json.loads(Path(known).read_text())["rules"] == {"PD203": {"count": 5, "findings": None}}
    write(path, [bad(i) for i in range(1, 6)])
    assert prefdata.validate(str(path), baseline=known, fail_on="warning").exit_code == 0
    write(path, [bad(i) for i in range(7)])
    result = prefdata.validate(str(path), baseline=known, fail_on="warning")
    assert (result.exit_code, result.baseline["new"], len(result.findings)) == (1, {"PD203": 2}, 2)


def test_any_file_is_no_baseline(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", [GOOD])
    for content in ("", "[]", "{}", '{"rules": {"PD1": 3}}', '{"rules": {"PD1": {"count": "x", "findings": {}}}}'):
        (tmp_path / "known.json").write_text(content)
        with pytest.raises(UsageError, match="is no baseline"):
            prefdata.validate(path, baseline=str(tmp_path / "known.json"))
