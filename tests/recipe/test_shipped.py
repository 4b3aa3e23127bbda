"""Every shipped recipe, run at small scale, offline, by the command that people type."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prefdata.cli.main import build
from prefdata.recipe.run import run
from prefdata.shipped import names
from tests.train import tiny

pytest.importorskip("torch")
ROOT = Path(__file__).parents[2]
DATA = ROOT / "examples" / "data"
QUICK = ["batch=8", "learning_rate=1e-3"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small inputs and a tiny model that speaks their language."""
    folder = tmp_path_factory.mktemp("made")
    with gzip.open(DATA / "hh_rlhf_harmless" / "harmless_base_test_part.jsonl.gz", "rt", encoding="utf-8") as f:
        rows = sorted(f, key=len)[:60]
    (folder / "hh.jsonl").write_text("".join(rows[:40]), encoding="utf-8")
    (folder / "hh-test.jsonl").write_text("".join(rows[40:]), encoding="utf-8")
    with open(DATA / "pku_layout_derived" / "pku_saferlhf_layout.jsonl", encoding="utf-8") as f:
        pku = sorted(f, key=len)[100:160]
    (folder / "pku.jsonl").write_text("".join(pku[:40]), encoding="utf-8")
    (folder / "pku-test.jsonl").write_text("".join(pku[40:]), encoding="utf-8")
    texts = [t for line in rows for t in json.loads(line).values()]
    tiny.saved(folder / "model", texts, hidden=32)
    return folder


def ran(recipe: str, out: Path, *given: str) -> dict[str, Any]:
    """The accounts of the steps, by name; a second run has nothing to do."""
    result = run(recipe, given, str(out))
    assert [s.status for s in result.steps] == ["done"] * len(result.steps), [s.lines for s in result.steps if s.status == "failed"]
    again = run(recipe, given, str(out))
    assert {s.status for s in again.steps} == {"up to date"}
    return {s.name: s.result for s in result.steps}


def test_hh_dpo(made: Path, tmp_path: Path) -> None:
    data = [f"data={made}/hh.jsonl", f"held_out={made}/hh-test.jsonl", f"model={made}/model"]
    found = ran("hh-dpo", tmp_path / "out", *data, *QUICK)
    kept = found["convert"]["counts"]["kept"]
    assert kept >= 35
    assert found["train dpo"]["steps"] == -(-kept // 8)
    assert found["eval rm"]["figures"]["pairs"] == found["convert held-out"]["counts"]["kept"]
    assert (tmp_path / "out" / "report" / "report.html").stat().st_size > 10_000


def test_pku_align_anything(made: Path, tmp_path: Path) -> None:
    data = [f"data={made}/pku.jsonl", f"held_out={made}/pku-test.jsonl", f"model={made}/model", "rm_learning_rate=1e-3"]
    found = ran("pku-align-anything", tmp_path / "out", *data, *QUICK)
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {"align-anything", "rm", "rm-report", "dpo"}
    assert found["train rm"]["method"] == "rm"


def test_ultrafeedback_trl(tmp_path: Path) -> None:
    rows = ROOT / "tests" / "golden" / "ultrafeedback" / "rows.jsonl"
    found = ran("ultrafeedback-trl", tmp_path / "out", f"data={rows}", "test=0.5", "min_margin=0")
    assert found["pairs"]["records"]["written"] >= 1


def test_ab_log_azure(tmp_path: Path) -> None:
    with open(tmp_path / "log.csv", "w", newline="", encoding="utf-8") as f:
        out = csv.writer(f)
        out.writerow(["question", "answer_a", "answer_b", "winner"])
        out.writerows([[f"Question {i}?", f"Answer {i}, at length.", f"No, {i}.", ["A", "B", "tie"][i % 3]] for i in range(60)])
    found = ran("ab-log-azure", tmp_path / "out", f"data={tmp_path}/log.csv", "validation=0.25")
    assert found["convert"]["counts"] == {"read": 60, "kept": 40, "dropped": {"tie": 20}, "rejected": {}}
    lines = [json.loads(line) for p in (tmp_path / "out" / "azure").glob("*.jsonl") for line in p.read_text("utf-8-sig").splitlines()]
    assert len(lines) == 40
    assert all(set(line) == {"input", "preferred_output", "non_preferred_output"} for line in lines)


def test_thumbs_kto(made: Path, tmp_path: Path) -> None:
    with open(tmp_path / "log.csv", "w", newline="", encoding="utf-8") as f:
        out = csv.writer(f)
        out.writerow(["question", "answer", "thumbs"])
        out.writerows([[f"what is {i}?", f"it is {i}" if i % 3 else f"no {i}", str(int(i % 3 > 0))] for i in range(48)])
    found = ran("thumbs-kto", tmp_path / "out", f"data={tmp_path}/log.csv", f"model={made}/model", *QUICK)
    assert found["train kto"]["counts"]["kept"] == 48


def test_ci_check(made: Path, tmp_path: Path) -> None:
    ran("ci-check", tmp_path / "out", f"data={made}/pku.jsonl")
    assert {p.name for p in (tmp_path / "out").glob("findings.*")} == {"findings.sarif", "findings.xml", "findings.md"}
    stopped = run("ci-check", [f"data={made}/pku.jsonl", "fail_on=info", "select=[PD704]"], str(tmp_path / "strict"))
    assert [s.status for s in stopped.steps] == ["done", "done", "failed"]


def test_every_recipe_is_run_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [n for n in names("recipes") if f'"{n}"' not in text] == []


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    def call(*argv: str) -> tuple[int, str, str]:
        try:
            build(list(argv))(list(argv), standalone_mode=False)
            code = 0
        except SystemExit as e:
            code = int(e.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    yield call


def test_list_show_copy_check(typed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [line.split()[0] for line in typed("recipe", "list")[1].splitlines()] == names("recipes")
    shown = typed("recipe", "show", "ci-check")[1]
    assert shown == (ROOT / "recipes" / "ci-check.yaml").read_text(encoding="utf-8")
    typed("recipe", "copy", "ci-check")
    assert (tmp_path / "ci-check.yaml").read_text(encoding="utf-8") == shown
