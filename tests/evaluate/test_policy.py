"""prefdata eval policy on a tiny base and the same after DPO on real pairs: the figures are those that the saved table gives, computed here
in another way; a kill loses nothing; a judge is asked in both orders."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from scipy import optimize, stats  # type: ignore[import-untyped]  # noqa: E402

import prefdata  # noqa: E402
from prefdata.evaluate.policy_steps import EvalPolicyEstimate  # noqa: E402
from prefdata.io.journal import Journal  # noqa: E402
from prefdata.llm.mock_server import serving  # noqa: E402
from prefdata.schema.records import KINDS  # noqa: E402
from tests.evaluate.policies import Made, made, rows, run  # noqa: E402
from tests.judges.scripted import Body, Said, scripted  # noqa: E402

VALUE = {"win": 1.0, "tie": 0.5, "loss": 0.0}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Made:
    torch.set_num_threads(1)
    return made(tmp_path_factory.mktemp("policies"))


def policies(m: Made) -> dict[str, Any]:
    return {"base": f"hf:{m.base}", "tuned": f"hf:{m.tuned}"}


@pytest.fixture(scope="module")
def whole(models: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    run(models.prompts, out, **policies(models), reward_model=models.rm, max_tokens=12, batch_size=8)
    return out


def wilson(share: float, n: int) -> tuple[float, float]:
    """The ends as roots of (share - p)² = z² p(1 - p)/n."""
    z2 = stats.norm.ppf(0.975) ** 2
    low, high = sorted(np.roots([1 + z2 / n, -2 * share - z2 / n, share * share]).real)
    return float(low), float(high)


def equal_length(y: Any, base: Any, tuned: Any) -> float:
    """The length-controlled win rate by a general minimiser."""
    d = np.subtract(tuned, base, dtype=float)
    x = np.tanh(d / np.sqrt(np.mean((d - d.mean()) ** 2)))

    def loss(b: Any) -> float:
        p = 1 / (1 + np.exp(-(b[0] + b[1] * x)))
        return float(-np.sum(y * np.log(p) + (1 - y) * np.log(1 - p)) + 0.005 * (b[0] ** 2 + b[1] ** 2))

    found = optimize.minimize(loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000})
    return float(1 / (1 + np.exp(-found.x[0])))


def test_figures_are_those_of_the_saved_table(whole: Path) -> None:
    f = json.loads((whole / "report.json").read_bytes())["figures"]
    table = rows(whole)
    assert pl.read_parquet(whole / "table.parquet").to_dicts() == table
    both = [r for r in table if r["difference"] is not None]  # a model may also answer nothing
    n, without = len(both), Counter(r["why"] for r in table if r["difference"] is None)
    assert n > 30
    assert (len(table), f["prompts"], f["comparisons"], f["decided"], f["without"]) == (40, 40, 40, n, dict(without))
    difference = [r["score_tuned"] - r["score_base"] for r in both]
    assert [r["difference"] for r in both] == difference
    assert [r["outcome"] for r in both] == ["win" if d > 0 else "loss" if d < 0 else "tie" for d in difference]
    count = Counter(r["outcome"] for r in both)
    for name in VALUE:
        assert f[name]["value"] == pytest.approx(count[name] / n)
        assert (f[name]["low"], f[name]["high"]) == pytest.approx(wilson(count[name] / n, n), abs=1e-9)
    y = np.array([VALUE[r["outcome"]] for r in both])
    assert f["win_rate"]["value"] == pytest.approx(sum(y) / n)
    test = stats.binomtest(count["win"], count["win"] + count["loss"]).pvalue
    for found in (f["sign_test"], f["score"]["sign_test"]):
        assert found == {"for": count["win"], "against": count["loss"], "even": count["tie"], "p_value": pytest.approx(test)}
    interval = stats.t.interval(0.95, n - 1, np.mean(difference), stats.sem(difference))
    assert f["score"]["difference"]["mean"] == pytest.approx(np.mean(difference))
    assert f["score"]["difference"]["mean_interval"] == pytest.approx(interval, rel=1e-4)
    assert f["score"]["difference"]["p50"] == pytest.approx(np.median(difference))
    for side in ("base", "tuned"):
        own = [r for r in table if r[side] is not None]
        assert f["score"][side]["mean"] == pytest.approx(np.mean([r[f"score_{side}"] for r in both]))
        assert f["length"][side] == pytest.approx(np.mean([len(r[side]) for r in own]))
        ends = Counter(r[f"finish_{side}"] for r in own)
        assert f["ends"][side]["reasons"] == dict(ends)
        assert f["ends"][side]["truncated"]["value"] == pytest.approx(ends["length"] / len(own))
        assert f["ends"][side]["stopped"]["value"] == pytest.approx(ends["stop"] / len(own))
    assert all(r["length_tuned"] == len(r["tuned"]) for r in table if r["tuned"] is not None)
    longer = [len(r["tuned"]) - len(r["base"]) for r in both]
    interval = stats.t.interval(0.95, n - 1, np.mean(longer), stats.sem(longer))
    assert f["length"]["difference"]["mean_interval"] == pytest.approx(interval, rel=1e-4)
    assert f["length"]["win_rate_longer"]["value"] == pytest.approx(np.mean([v for v, d in zip(y, longer, strict=True) if d > 0]))
    assert f["identical"]["value"] == pytest.approx(sum(r["base"] == r["tuned"] for r in both) / n)
    lengths = [[len(r[side]) for r in both] for side in ("base", "tuned")]
    assert f["length_controlled"]["value"] == pytest.approx(equal_length(y, *lengths), abs=1e-5)


def test_parts_are_those_of_the_rows(whole: Path) -> None:
    said = json.loads((whole / "report.json").read_bytes())
    assert said["parts"]["name"] == "source"
    for part in said["parts"]["parts"]:
        own = [r for r in rows(whole) if r["source"] == part["name"]]
        assert part["comparisons"] == len(own) == 20
        both = [r for r in own if r["difference"] is not None]
        assert part["win_rate"]["value"] == pytest.approx(np.mean([VALUE[r["outcome"]] for r in both]))
        assert part["difference"] == pytest.approx(np.mean([r["difference"] for r in both]))


def test_answers_and_scores_are_those_of_the_models(models: Made, whole: Path, tmp_path: Path) -> None:
    """Answers as `generate` gives them to each policy alone, and scores as transformers' own classifier."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    table = rows(whole)
    for side, folder in (("base", models.base), ("tuned", models.tuned)):
        prefdata.generate(models.prompts, str(tmp_path / f"{side}.jsonl"), policy=f"hf:{folder}", n=1, max_tokens=12, limit=9)
        lists = [json.loads(line) for line in (tmp_path / f"{side}.jsonl").read_text(encoding="utf-8").splitlines()]
        assert [r[side] for r in table[:9]] == [x["completions"][0]["messages"][0]["content"] for x in lists]
    words = AutoTokenizer.from_pretrained(models.rm)
    model = AutoModelForSequenceClassification.from_pretrained(models.rm).eval()
    for r in table[:5]:
        for side in ("base", "tuned"):
            if r[side] is None:
                continue
            text = words.apply_chat_template(r["prompt"], tokenize=False, add_generation_prompt=True) + r[side] + "<|end|>"
            with torch.no_grad():
                score = model(**words(text, add_special_tokens=False, return_tensors="pt")).logits[0, 0].item()
            assert r[f"score_{side}"] == pytest.approx(score, abs=1e-4)


def test_several_samples_are_not_more_prompts(models: Made, tmp_path: Path) -> None:
    """Intervals and tests are over prompts: the mean of each counts once."""
    result = run(models.prompts, tmp_path / "out", **policies(models), reward_model=models.rm, max_tokens=8, n=3, limit=10)
    table = rows(tmp_path / "out")
    assert [r["sample"] for r in table] == [0, 1, 2] * 10
    assert len({r["prompt_id"] for r in table}) == 10
    f = result.figures
    by = by_prompt([r["difference"] for r in table])
    assert f["score"]["difference"]["mean_interval"] == pytest.approx(
        stats.t.interval(0.95, len(by) - 1, by.mean(), stats.sem(by)), rel=1e-3
    )
    net = by_prompt([VALUE.get(r["outcome"]) for r in table])
    assert f["sign_test"]["for"] == (net > 0.5).sum()
    assert f["sign_test"]["against"] == (net < 0.5).sum()
    assert (f["prompts"], f["comparisons"]) == (10, 30)
    assert f["win_rate"]["value"] == pytest.approx(net.mean())


def by_prompt(values: list[float | None]) -> Any:
    """The mean of each prompt's three values; a comparison with an empty answer has none."""
    found = [[v for v in values[i : i + 3] if v is not None] for i in range(0, len(values), 3)]
    return np.array([np.mean(some) for some in found if some])


def test_a_policy_against_itself(models: Made, tmp_path: Path) -> None:
    """The same draws, hence the same texts: all ties, one half everywhere."""
    base = f"hf:{models.base}"
    result = run(models.prompts, tmp_path / "out", base, base, reward_model=models.rm, max_tokens=6, limit=8)
    f = result.figures
    assert {r["why"] for r in rows(tmp_path / "out")} == {"identical"}
    assert (f["tie"]["value"], f["win_rate"]["value"], f["length_controlled"]["value"], f["identical"]["value"]) == (1.0, 0.5, 0.5, 1.0)
    assert f["sign_test"] == {"for": 0, "against": 0, "even": 8, "p_value": 1.0}
    assert any("its answers are the same" in n for n in result.notes)


def test_up_to_date_and_what_is_done_again(models: Made, whole: Path) -> None:
    options: dict[str, Any] = {**policies(models), "reward_model": models.rm, "max_tokens": 12, "batch_size": 8}
    before = {p: p.stat().st_mtime_ns for p in whole.rglob("*") if p.is_file() and p.name != "policies.yaml"}
    again = run(models.prompts, whole, **options)
    assert again.up_to_date
    assert again.as_dict() == {**json.loads((whole / "report.json").read_bytes()), "up_to_date": True, "out": str(whole)}
    assert before == {p: p.stat().st_mtime_ns for p in before}
    stored = (whole / "table.jsonl").read_bytes()
    try:
        wide = run(models.prompts, whole, **options, tie_margin=1e9)  # only the last step
        assert (wide.up_to_date, wide.figures["tie"]["value"]) == (False, 1.0)
        assert before[whole / "scored.parquet"] == (whole / "scored.parquet").stat().st_mtime_ns
    finally:
        run(models.prompts, whole, **options)
    assert (whole / "table.jsonl").read_bytes() == stored
    (whole / "table.jsonl").unlink()
    assert not run(models.prompts, whole, **options).up_to_date
    assert (whole / "table.jsonl").read_bytes() == stored


KILLED = """
import os, signal, sys
import torch
torch.set_num_threads(1)
from transformers import LlamaForCausalLM, LlamaModel
calls = {"generate": 0, "score": 0}
wanted, at = sys.argv.pop(1).split(":")
def counted(what):
    calls[what] += 1
    if what == wanted and calls[what] == int(at):
        os.kill(os.getpid(), signal.SIGKILL)
generate, forward = LlamaForCausalLM.generate, LlamaModel.forward
def generated(self, *given, **named):
    counted("generate")
    return generate(self, *given, **named)
def scored(self, *given, **named):
    if "LlamaForSequenceClassification" in (self.config.architectures or ()):
        counted("score")
    return forward(self, *given, **named)
LlamaForCausalLM.generate, LlamaModel.forward = generated, scored
from prefdata.cli.main import main
main()
"""


def killed(at: str, m: Made, out: Path, *more: str) -> dict[bytes, bytes]:
    """A run that is killed with SIGKILL at its n-th batch of answers or of scores, and what is in the journal then."""
    given = [m.prompts, "-o", str(out), "--base", f"hf:{m.base}", "--tuned", f"hf:{m.tuned}", "--reward-model", m.rm, "--max-tokens", "12"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", KILLED, at, "eval", "policy", *given, *more], capture_output=True, env=env)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (out / "manifest.json").exists()
    return replies(out)


def replies(out: Path) -> dict[bytes, bytes]:
    with Journal(str(out / "replies.journal"), write=False) as journal:
        return {key: stored.raw for key, stored, _ in journal.entries()}


def test_killed_while_answering_and_started_again(models: Made, whole: Path, tmp_path: Path) -> None:
    """In the seventh batch, when base is done and tuned is not: six batches are kept, and the table is byte by byte that of a run that was
    never stopped."""
    out = tmp_path / "out"
    options: dict[str, Any] = {**policies(models), "reward_model": models.rm, "max_tokens": 12, "batch_size": 8}
    kept = killed("generate:7", models, out, "--batch-size", "8")
    assert len(kept) == 48
    dry = prefdata.eval_policy(models.prompts, str(out), **options, dry_run=True)
    assert isinstance(dry, EvalPolicyEstimate)
    assert dry.answers.local_answers == 32
    assert run(models.prompts, out, **options).exit_code == 0
    final = replies(out)
    assert len(final) == 160
    assert all(final[key] == raw for key, raw in kept.items())
    for name in ("table.parquet", "table.jsonl"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_killed_while_scoring_and_started_again(models: Made, whole: Path, tmp_path: Path) -> None:
    """Between two batches of scores: what was scored is kept. (The last digit of a score may depend on what else is in its batch.)"""
    out = tmp_path / "out"
    kept = killed("score:20", models, out, "--batch-tokens", "600")
    assert 80 < len(kept) < 160
    dry = prefdata.eval_policy(models.prompts, str(out), **policies(models), reward_model=models.rm, max_tokens=12, dry_run=True)
    assert isinstance(dry, EvalPolicyEstimate)
    assert dry.answers.local_answers == 0
    assert run(models.prompts, out, **policies(models), reward_model=models.rm, max_tokens=12, batch_tokens=600).exit_code == 0
    final = replies(out)
    assert all(final[key] == raw for key, raw in kept.items())
    scores = ("score_base", "score_tuned", "difference")
    for ours, theirs in zip(rows(out), rows(whole), strict=True):
        assert [ours.pop(s) for s in scores] == pytest.approx([theirs.pop(s) for s in scores], abs=1e-5)
        assert ours == theirs


def test_a_judge_is_asked_in_both_orders(models: Made, tmp_path: Path) -> None:
    """The mock judge takes the longer answer: the outcome follows from the lengths, and equal ones are a tie. Nothing is asked twice."""
    out = tmp_path / "out"
    with serving("longest") as server:
        asked: dict[str, Any] = {**policies(models), "judge": "pairwise", "model": "M", "base_url": server.url, "max_tokens": 8}
        dry = prefdata.eval_policy(models.prompts, str(out), **asked, limit=15, dry_run=True, price_in=1.0, price_out=1.0)
        assert not out.exists()
        assert dry.as_dict()["calls"] == 30
        assert dry.as_dict()["usd"][1] > 0
        result = run(models.prompts, out, **asked, limit=15)
        table = rows(out)
        assert [r["outcome"] for r in table] == [
            "win" if len(r["tuned"]) > len(r["base"]) else "loss" if len(r["tuned"]) < len(r["base"]) else "tie" for r in table
        ]
        assert all((r["p_tuned"] > 0.5) == (r["outcome"] == "win") for r in table if r["outcome"] != "tie")
        differ = sum(r["base"] != r["tuned"] for r in table)
        assert server.stats.requests == 2 * differ == result.spent["calls"]
        assert run(models.prompts, out, **asked, limit=15).up_to_date
        assert server.stats.requests == 2 * differ
        more = prefdata.eval_policy(models.prompts, str(out), **asked, limit=15, dry_run=True)
        assert more.lines()[-1].strip() == f"dry run: nothing to ask, the journal has all {2 * differ} replies"
    assert result.figures["length"]["win_rate_longer"]["value"] == 1.0
    assert result.figures["length_controlled"]["phi"] > 3
    assert [n for n in result.notes if "the same verdict in both orders on 100.0 %" in n]
    assert result.figures["score"] is None
    for row in prefdata.read(str(out / "pairs.parquet")).to_dicts():
        KINDS["pair"].model_validate(row)


def test_a_judge_that_goes_by_the_place_says_nothing(models: Made, tmp_path: Path) -> None:
    with serving("first") as server:
        asked: dict[str, Any] = {"judge": "pairwise", "model": "M", "base_url": server.url, "max_tokens": 8, "limit": 6}
        result = run(models.prompts, tmp_path / "out", **policies(models), **asked)
        assert result.figures["ties"] == {"flip": 6}
        assert result.figures["win_rate"]["value"] == 0.5
        same = run(models.prompts, tmp_path / "same", base=f"hf:{models.base}", tuned=f"hf:{models.base}", **asked)
        assert (same.figures["ties"], server.stats.requests) == ({"identical": 6}, 12)


def refusing(body: Body) -> Said:
    """Model N does not answer the second prompt, and the judge has no verdict on the third."""
    words = json.dumps(body["messages"])
    if body["model"] == "J":
        return "neither" if "three" in words else "B"
    if body["model"] == "N" and "two" in words:
        return 400, {"error": {"message": "blocked", "code": "content_filter", "type": "invalid_request_error"}}
    return f"{body['model']} says something"


def test_servers_and_what_is_missing(tmp_path: Path) -> None:
    """What has no answer or no verdict is counted with its reason, and decides nothing."""
    data = tmp_path / "p.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"Question {w}?"}) + "\n" for w in ("one", "two", "three", "four")) + '{"prompt": 5}\n')
    with scripted(refusing) as server:
        result = run(str(data), tmp_path / "out", "M", "N", judge="pairwise", model="J", base_url=server.url)
    table = rows(tmp_path / "out")
    assert [(r["outcome"], r["why"]) for r in table] == [("tie", "flip"), (None, "no-answer-tuned"), (None, "no-verdict"), ("tie", "flip")]
    assert (table[1]["tuned"], table[1]["length_tuned"], table[1]["finish_tuned"]) == (None, None, None)
    assert result.figures["without"] == {"no-answer-tuned": 1, "no-verdict": 1}
    assert result.figures["decided"] == result.figures["win_rate"]["n"] == 2
    assert result.answers["tuned"]["dropped"] == {"content-filter": 1}
    assert result.counts["read"] == result.counts["kept"] + sum(result.counts["rejected"].values()) == 5
    assert result.exit_code == 1
    assert any("count for nothing" in n for n in result.notes)
