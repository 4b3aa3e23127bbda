"""Every shipped recipe, run at small scale, offline, by the command that people type."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

import prefdata
from prefdata.cli.main import build
from prefdata.llm.mock_server import serving
from prefdata.recipe.run import run
from prefdata.sampling.folders import model_hash
from prefdata.sampling.thoughts import THOUGHT, parts
from prefdata.shipped import names
from tests.recipe import answering
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


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that answers sums, now right, now wrong."""
    folder = tmp_path_factory.mktemp("answers")
    answering.made(folder)
    return folder


SLOW = ["batch=8", "learning_rate=1e-4", "max_tokens=32"]


def rows(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = prefdata.read(str(path)).to_dicts()
    return found


def text(turns: list[dict[str, str]]) -> str:
    return turns[-1]["content"]


def policies(path: Path) -> set[str]:
    """Who wrote the candidates of the lists."""
    return {c["model"] for row in rows(path) for c in row["completions"]}


def scores(lists: Path) -> dict[tuple[str, str], float]:
    """The score of every candidate, by its prompt and its text."""
    return {(text(r["prompt"]), text(c["messages"])): c["score"] for r in rows(lists) for c in r["completions"]}


def test_constitutional_ai(answers: Path, tmp_path: Path) -> None:
    """Revisions of the server's drafts are what the first model learns; its answers are compared, here by their length."""
    with serving("longest") as server:
        given = [f"prompts={answers}/prompts.jsonl", f"model={answers}/policy", f"server={server.url}", "judge_model=mock", "n=3"]
        found = ran("constitutional-ai", tmp_path / "out", *given, *SLOW, "sft_learning_rate=1e-4")
    n = len(answering.SUMS)
    revised = rows(tmp_path / "out" / "revised.parquet")
    assert len(revised) == found["train sft"]["counts"]["kept"] == n
    assert all(r["label"] and "in a safe way" in text(r["completion"]) for r in revised)
    assert policies(tmp_path / "out" / "candidates.parquet") == {"hf:sl-cai"}
    pairs = rows(tmp_path / "out" / "labelled.parquet")
    sampled = [(text(r["prompt"]), [text(c["messages"]) for c in r["completions"]]) for r in rows(tmp_path / "out" / "candidates.parquet")]
    longer = [(prompt, a, b) for prompt, said in sampled for a, b in permutations(said, 2) if len(a) > len(b)]
    assert sorted((text(p["prompt"]), text(p["chosen"]), text(p["rejected"])) for p in pairs) == sorted(longer)
    assert all(0.5 < p["p_chosen"] < 1 for p in pairs)
    assert found["train dpo"]["counts"]["kept"] == len(pairs)


def test_rso_dpo(answers: Path, tmp_path: Path) -> None:
    given = [f"prompts={answers}/prompts.jsonl", f"model={answers}/policy", f"reward_model={answers}/rm", "n=8", "k=4", "beta=0.01"]
    found = ran("rso-dpo", tmp_path / "out", *given, *SLOW)
    pairs = rows(tmp_path / "out" / "pairs.parquet")
    assert 1 <= len(pairs) <= 2 * len(answering.SUMS)  # four were drawn of each prompt
    known = scores(tmp_path / "out" / "pairs.parquet.scored.parquet")
    better = [known[text(p["prompt"]), text(p["chosen"])] - known[text(p["prompt"]), text(p["rejected"])] for p in pairs]
    assert min(better) > 0
    assert [round(p["margin"], 6) for p in pairs] == [round(b, 6) for b in better]
    assert found["train dpo"]["counts"]["kept"] == len(pairs)


def test_a_policy_on_a_server(answers: Path, tmp_path: Path) -> None:
    """The model that answers need not be the folder that is trained."""
    with serving("longest") as server:
        given = [f"prompts={answers}/prompts.jsonl", f"model={answers}/policy", "policy=mock", f"server={server.url}"]
        ran("rso-dpo", tmp_path / "out", *given, f"reward_model={answers}/rm", "n=4", "k=4", "beta=0.01", *SLOW)
        assert server.stats.answered == 4 * len(answering.SUMS)
    assert policies(tmp_path / "out" / "pairs.parquet.generated.parquet") == {"mock"}


def test_iterative_dpo(answers: Path, tmp_path: Path) -> None:
    """Each round samples from the model of its own, and says so."""
    given = [f"prompts={answers}/prompts.jsonl", f"prompts_2={answers}/prompts.jsonl", f"model={answers}/policy"]
    found = ran("iterative-dpo", tmp_path / "out", *given, f"reward_model={answers}/rm", "n=4", *SLOW)
    lists = [tmp_path / "out" / f"pairs-{k}.parquet.generated.parquet" for k in (1, 2)]
    assert [policies(path) for path in lists] == [{"hf:policy@1"}, {"hf:dpo-1@2"}]
    models = [Path(answers, "policy"), *(tmp_path / "out" / f"dpo-{k}" for k in (1, 2))]
    assert len({(m / "model.safetensors").read_bytes() for m in models}) == 3
    sampled = [json.loads(Path(f"{path}.manifest.json").read_bytes())["policies"][0]["sha256"] for path in lists]
    assert sampled == [model_hash(str(m)) for m in models[:2]]
    assert all(found[f"train {k}"]["counts"]["kept"] == len(rows(tmp_path / "out" / f"pairs-{k}.parquet")) >= 1 for k in (1, 2))


def test_self_rewarding_dpo(answers: Path, tmp_path: Path) -> None:
    """The second round's scores are the implicit reward of the first round's model."""
    given = [f"data={answers}/people.jsonl", f"prompts={answers}/prompts.jsonl", f"model={answers}/policy", "n=5"]
    found = ran("self-rewarding-dpo", tmp_path / "out", *given, *SLOW)
    assert found["train 1"]["counts"]["kept"] == 3 * len(answering.SUMS)
    scored = tmp_path / "out" / "pairs-2.parquet.scored.parquet"
    assert policies(scored) == {"hf:dpo-1@2"}
    assert len({round(s, 6) for s in scores(scored).values()}) > len(answering.SUMS)
    dpo = tmp_path / "out" / "dpo-1"
    again = prefdata.score(str(scored), str(tmp_path / "again.parquet"), implicit=str(dpo), reference=f"{answers}/policy", beta=0.1)
    assert again is not None
    assert scores(tmp_path / "again.parquet") == pytest.approx(scores(scored), abs=1e-6)
    assert found["train 2"]["counts"]["kept"] >= 1


def test_tpo(answers: Path, tmp_path: Path) -> None:
    """Scorers see answers without thoughts; the pairs that train have them."""
    given = [f"prompts={answers}/prompts.jsonl", f"model={answers}/policy", f"reward_model={answers}/rm", "n=6"]
    found = ran("tpo", tmp_path / "out", *given, *SLOW)
    lists = rows(tmp_path / "out" / "pairs.parquet.scored.parquet")
    assert not any("[[" in text(c["messages"]) for r in lists for c in r["completions"])
    pairs = rows(tmp_path / "out" / "pairs.parquet")
    sides = [parts(text(p[side])) for p in pairs for side in ("chosen", "rejected")]
    assert len(sides) >= 2
    assert all(side is not None and side.thought.startswith(THOUGHT) for side in sides)
    assert {side.answer for side in sides if side} <= {text(c["messages"]) for r in lists for c in r["completions"]}
    assert found["train dpo"]["counts"]["kept"] == len(pairs)


def test_reft(answers: Path, tmp_path: Path) -> None:
    """The chosen answer is the right one, and the rejected one is not."""
    grader = {"type": "regex", "pattern": "(\\d+)\\D*$", "group": 1, "reference": "{{ item.answer }}", "invalid_grade": 0}
    (tmp_path / "grader.json").write_text(json.dumps(grader), encoding="utf-8")
    given = [f"prompts={answers}/prompts.jsonl", f"model={answers}/policy", f"grader={tmp_path}/grader.json", "n=12", "pairs=2"]
    found = ran("reft", tmp_path / "out", *given, *SLOW)
    pairs = rows(tmp_path / "out" / "pairs.parquet")
    right = {answering.question(a, b): str(a + b) for a, b in answering.SUMS}
    numbers = [[(re.findall(r"\d+", text(p[side])) or [""])[-1] for side in ("chosen", "rejected")] for p in pairs]
    wanted = [right[text(p["prompt"])] for p in pairs]
    assert pairs
    assert all(chosen == w != rejected for (chosen, rejected), w in zip(numbers, wanted, strict=True))
    assert max(Counter(text(p["prompt"]) for p in pairs).values()) <= 2
    assert found["train dpo"]["counts"]["kept"] == len(pairs)


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
