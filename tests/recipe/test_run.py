"""Recipes that run: what is done is not done again, a change runs what depends on it, and a kill costs nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from prefdata.errors import UsageError
from prefdata.recipe.content import Contents
from prefdata.recipe.options import RunOptions
from prefdata.recipe.run import run
from tests.checks.build import pair, write
from tests.judges.scripted import Body, scripted

ROOT = Path(__file__).parents[2]
HH = ROOT / "examples" / "data" / "hh_rlhf_harmless" / "harmless_base_test_part.jsonl.gz"
TEXT = """
name: line
vars: {n: 200, share: 0.1, show: 3}
steps:
  - convert: {data: hh.jsonl.gz, limit: "${n}", out: pairs.parquet}
  - validate: {data: pairs.parquet, show: "${show}", out: findings.json}
  - export: {data: pairs.parquet, to: trl, split: {test: "${share}"}, out: trl}
  - convert: {data: pairs.parquet, to: binary, out: binary.jsonl}
  - export: {data: binary.jsonl, to: trl, out: kto}
"""
NAMES = ["convert", "validate", "export", "convert 2", "export 2"]


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    (tmp_path / "hh.jsonl.gz").symlink_to(HH)
    (tmp_path / "line.yaml").write_text(TEXT, encoding="utf-8")
    return str(tmp_path / "line.yaml")


def ran(recipe: str, *given: str, **options: Any) -> list[str]:
    """The names of the steps that ran."""
    out = str(Path(recipe).parent / "out")
    result = run(recipe, given, out, RunOptions.model_validate(options))
    assert all(s.status != "failed" for s in result.steps), result.steps
    return [s.name for s in result.steps if s.status == "done"]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the accounts."""
    skip = ("manifest.json", "recipe.json", ".lock", "README.md", ".journal", "findings.json", "metrics.jsonl", "options.json")
    found = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    return {k: v for k, v in found.items() if not k.endswith(skip) and "/cache/" not in k and "/checkpoint-" not in k}


def test_steps_run_once(recipe: str) -> None:
    assert ran(recipe) == NAMES
    assert ran(recipe) == []
    assert ran(recipe, force=True) == NAMES


def test_a_changed_option_runs_what_depends_on_it(recipe: str) -> None:
    ran(recipe)
    assert ran(recipe, "show=4") == ["validate"]
    assert ran(recipe, "show=4", "share=0.2") == ["export"]
    assert ran(recipe, "show=4", "share=0.2", "n=100") == NAMES
    assert ran(recipe, "show=4", "share=0.2", "n=100") == []


def test_the_same_bytes_stop_a_change(recipe: str) -> None:
    """The first step runs again, but what it writes comes out as before. Threads are no reason to run."""
    ran(recipe)
    text = Path(recipe).read_text()
    Path(recipe).write_text(text.replace('limit: "${n}"', 'limit: "${n}", threads: 1'))
    assert ran(recipe) == []
    Path(recipe).write_text(text.replace('limit: "${n}"', 'limit: "${n}", dimension: null'))
    assert ran(recipe) == ["convert"]


def test_changed_inputs_and_outputs_are_seen(recipe: str) -> None:
    folder = Path(recipe).parent
    ran(recipe, "n=50")
    (folder / "out" / "binary.jsonl").write_text((folder / "out" / "binary.jsonl").read_text().replace("the", "teh", 1))
    assert "convert 2" in ran(recipe, "n=50")
    shutil.rmtree(folder / "out" / "kto")
    assert ran(recipe, "n=50") == ["export 2"]
    (folder / "hh.jsonl.gz").unlink()
    (folder / "hh.jsonl.gz").write_bytes(HH.read_bytes() + HH.read_bytes())
    assert ran(recipe, "n=50") == ["convert"]


def test_from_and_until(recipe: str) -> None:
    assert ran(recipe, until="validate") == NAMES[:2]
    assert ran(recipe, **{"from": "export", "until": "export"}) == ["export"]
    assert ran(recipe) == NAMES[3:]
    for wrong in ({"from": "nope"}, {"from": "export", "until": "convert"}):
        with pytest.raises(UsageError):
            ran(recipe, **wrong)


def test_a_dry_run_writes_nothing(recipe: str) -> None:
    out = Path(recipe).parent / "out"
    said: list[str] = []
    result = run(recipe, [], str(out), RunOptions(dry_run=True), said.append)
    assert [s.status for s in result.steps] == ["planned"] * 5
    assert not out.exists()
    assert f"{out / 'pairs.parquet'} -> {out / 'trl'}" in "\n".join(said)
    ran(recipe)
    planned = run(recipe, ["share=0.5"], str(out), RunOptions(dry_run=True))
    assert [s.name for s in planned.steps if s.status == "planned"] == ["export"]


def test_a_gate_stops(recipe: str) -> None:
    text = Path(recipe).read_text().replace('show: "${show}"', "fail_on: info")
    Path(recipe).write_text(text)
    out = str(Path(recipe).parent / "out")
    result = run(recipe, [], out)
    assert [s.status for s in result.steps] == ["done", "failed"]
    assert result.exit_code == 1
    again = run(recipe, [], out)
    assert [s.status for s in again.steps] == ["up to date", "failed"]


def test_a_failing_step_says_why(recipe: str) -> None:
    text = Path(recipe).read_text().replace("hh.jsonl.gz", "missing.jsonl")
    Path(recipe).write_text(text)
    result = run(recipe, [], str(Path(recipe).parent / "out"))
    assert result.exit_code == 3
    assert "missing.jsonl" in result.steps[0].lines[0]


def test_two_runs_in_one_folder_are_refused(recipe: str) -> None:
    from prefdata.recipe.state import alone

    out = Path(recipe).parent / "out"
    out.mkdir()
    with alone(str(out)), pytest.raises(UsageError, match="another 'prefdata run'"):
        ran(recipe)


def test_contents_of_folders(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.safetensors").write_bytes(b"1")
    before = Contents().of(str(tmp_path / "m"))
    for name in ("metrics.jsonl", "README.md", "x.manifest.json"):
        (tmp_path / "m" / name).write_text("says when")
    (tmp_path / "m" / "checkpoint-5").mkdir()
    (tmp_path / "m" / "checkpoint-5" / "model.safetensors").write_bytes(b"2")
    assert Contents().of(str(tmp_path / "m")) == before
    (tmp_path / "m" / "model.safetensors").write_bytes(b"2")
    assert Contents().of(str(tmp_path / "m")) != before
    assert Contents().of(str(tmp_path / "nothing")) is None


def test_what_a_server_did_not_answer_is_asked_for_again(tmp_path: Path) -> None:
    """A step that lacks replies is not up to date, though it wrote its output; the next run asks for what is missing."""
    write(tmp_path / "pairs.jsonl", [pair(f"yes {i}", f"no {i}", prompt=f"Question {i}") for i in range(6)])
    ill = [True]

    def say(body: Body) -> Any:
        return (500, {"error": {"message": "oops"}}) if ill[0] and "Question 3" in json.dumps(body["messages"]) else "Answer: A"

    with scripted(say) as server:
        text = "{data: pairs.jsonl, judge: pairwise, model: m, base_url: URL, retries: 0, out: labelled.jsonl}"
        (tmp_path / "line.yaml").write_text(f"name: line\nsteps:\n  - label: {text.replace('URL', server.url)}\n")
        path = str(tmp_path / "line.yaml")
        assert ran(path) == ["label"]
        asked, ill[0] = len(server.seen), False
        assert ran(path) == ["label"]
        assert len(server.seen) == asked + 2  # both orders of one pair
        assert ran(path) == []
    assert len((tmp_path / "out" / "labelled.jsonl").read_text().splitlines()) == 6


@pytest.mark.parametrize("at", range(1, 6))
def test_killed_at_a_step(recipe: str, at: int) -> None:
    """Killed as soon as a step says that it begins: the next run finishes, with the bytes of a run that nobody stopped."""
    command = [sys.executable, "-c", "from prefdata.cli.main import main; main()", "run", recipe, "-o", "out"]
    killed, whole = (Path(recipe).parent / name for name in ("killed", "whole"))
    killed.mkdir()
    whole.mkdir()
    with subprocess.Popen(command, cwd=killed, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(f"[{at}/5]"):
                os.kill(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    said = subprocess.run([*command, "--json"], cwd=killed, capture_output=True, text=True)
    statuses = [s["status"] for s in json.loads(said.stdout)["steps"]]
    assert statuses[: at - 1] == ["up to date"] * (at - 1), said.stderr
    assert set(statuses[at:]) <= {"done"}
    assert subprocess.run([*command, "--quiet"], cwd=whole).returncode == 1  # rows were rejected
    assert contents(killed / "out") == contents(whole / "out")
