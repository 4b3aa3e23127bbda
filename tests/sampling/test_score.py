"""prefdata score with models that are made here: scores are those of transformers, nothing is lost, and a killed run goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import prefdata  # noqa: E402
from prefdata.errors import UsageError  # noqa: E402
from prefdata.io.journal import Journal  # noqa: E402
from prefdata.judges import records  # noqa: E402
from tests.evaluate.test_rm import classifier, encoder, measured, one_by_one  # noqa: E402
from tests.evaluate.test_rm import scores as eval_scores  # noqa: E402
from tests.judges.labelling import binary, pair  # noqa: E402
from tests.sampling.scoring import Row, about, lists, listwise, made, rows_of, score, store, turns  # noqa: E402
from tests.train import tiny  # noqa: E402

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier(tmp_path_factory.mktemp("models") / "tiny-rm")


def transformers_says(folder: Path, rows: list[Row], head: int = 0) -> list[list[float]]:
    """Each candidate's text alone, by transformers' own tokenizer, template and forward."""
    texts = [{"prompt": r["prompt"], "chosen": c["messages"], "rejected": c["messages"]} for r in rows for c in r["completions"]]
    said = iter(one_by_one(folder, texts, head)[:, 0].tolist())
    return [[next(said) for _ in row["completions"]] for row in rows]


def test_scores_are_those_of_transformers(folder: Path, tmp_path: Path) -> None:
    rows = lists(30)
    wanted = transformers_says(folder, rows)
    for budget in (1, 90, 100_000):
        out = tmp_path / f"{budget}.parquet"
        result = score(store(tmp_path / "in.jsonl", rows), out, reward_model=str(folder), batch_tokens=budget)
        assert result.exit_code == 0
        for row, given, found in zip(rows, wanted, rows_of(out), strict=True):
            ids = [c["id"] for c in row["completions"]]
            assert [c["score"] for c in found["completions"]] == pytest.approx(given, abs=1e-3)
            assert about(found, "rm:tiny-rm") == {i: c["score"] for i, c in zip(ids, found["completions"], strict=True)}
            assert {a["kind"] for a in found["annotations"]} == {"reward_model"}
            assert found["id"] == row["id"]
    assert np.std([v for some in wanted for v in some]) > 0.2


def test_every_row_comes_out(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """103 rows in shards of a few rows, in batches of few texts: 103 rows, in order, each with its scores."""
    monkeypatch.setattr(records, "SHARD_BYTES", 9_000)
    rows = lists(103, most=3)
    result = score(store(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl", reward_model=str(folder), batch_tokens=8 * 40)
    found = rows_of(tmp_path / "out.jsonl")
    assert [r["id"] for r in found] == [r["id"] for r in rows]
    assert all(c["score"] is not None for r in found for c in r["completions"])
    assert result.counts == {"read": 103, "kept": 103, "dropped": {}, "rejected": {}}
    monkeypatch.undo()
    score(store(tmp_path / "in.jsonl", rows), tmp_path / "one.jsonl", reward_model=str(folder))
    one = rows_of(tmp_path / "one.jsonl")
    pairs = [
        (a["score"], b["score"]) for r, s in zip(found, one, strict=True) for a, b in zip(r["completions"], s["completions"], strict=True)
    ]
    assert max(abs(a - b) for a, b in pairs) < 1e-4


def test_a_killed_run_goes_on(folder: Path, tmp_path: Path) -> None:
    """Killed with SIGKILL in the middle of its work, by itself: what was computed is not computed again, and the output is that of a run
    that was left alone."""
    rows = lists(40)
    data, out = store(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    code = (
        "import os, signal, sys, torch; torch.set_num_threads(1)\n"
        "from prefdata.sampling.score import score; from prefdata.sampling.score_options import ScoreOptions\n"
        "calls = []\n"
        "def progress(seen):\n"
        "    calls.append(seen)\n"
        "    if len(calls) == 25: os.kill(os.getpid(), signal.SIGKILL)\n"
        "score(sys.argv[1], sys.argv[2], ScoreOptions(reward_model=sys.argv[3], batch_tokens=1), progress)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, data, str(out), str(folder)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    with Journal(f"{out}.journal", write=False) as journal:
        kept = len(journal)
    assert 0 < kept < 120
    result = score(data, out, reward_model=str(folder), batch_tokens=1)
    assert result.run["computed"] == 120 - kept
    score(data, tmp_path / "whole.jsonl", reward_model=str(folder), batch_tokens=1)
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    before = os.stat(out).st_mtime_ns
    again = score(data, out, reward_model=str(folder), batch_tokens=1)
    assert again.up_to_date
    assert os.stat(out).st_mtime_ns == before
    assert not score(data, out, reward_model=str(folder), force=True).run.get("computed")  # all of it is in the journal


@pytest.mark.parametrize("most", [45, 150])
def test_memory_that_is_short(most: int, folder: Path, tmp_path: Path) -> None:
    """A model that raises what torch raises, above so many tokens: groups are halved, then taken apart, and what does not fit alone has a
    reason. The next run, with more memory, scores it."""
    from prefdata.rewards.folder import look
    from prefdata.sampling.score_local import LocalModel

    rows = lists(20)
    model = LocalModel(look(str(folder), "rm"), "rm", "score", "listwise", batch_tokens=5_000)
    tokens = sum(len(r["completions"]) for r in rows)

    def short(_: Any, args: Any, kwargs: Any) -> None:
        given = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        if given.numel() > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    with Journal(str(tmp_path / "journal")) as journal:
        rm = model._ready()
        model.layout = "shared"
        hook = rm.model.model.register_forward_pre_hook(short, with_kwargs=True)
        model.fill(rows, journal)
        hook.remove()
        said = [v for some in model.said(rows, journal) for v in some]
        assert model.room.shrunk > 0
        assert model.room.tokens <= max(most, 60)
        failed = [v for v in said if isinstance(v, str)]
        assert set(failed) == ({"out-of-memory"} if most == 45 else set())
        model.fill(rows, journal)
        again = [v[0] for some in model.said(rows, journal) for v in some if not isinstance(v, str)]
    assert len(again) == tokens
    assert again == pytest.approx([v for some in transformers_says(folder, rows) for v in some], abs=1e-3)


def test_label_eval_and_score_agree(folder: Path, tmp_path: Path) -> None:
    """On a model of others (as its template renders) and on one that prefdata trained (up to the end of the answer)."""
    rows = [made("pair", {k: v for k, v in pair(n, n % 5 + 1, n % 4).items() if k != "id"}) for n in range(8)]
    data = store(tmp_path / "in.jsonl", rows)
    own = Path(shutil.copytree(folder, tmp_path / "own"))
    (own / "model.manifest.json").write_text('{"command": "train rm"}')
    said = {}
    for rm in (folder, own):
        score(data, tmp_path / f"{rm.name}.jsonl", reward_model=str(rm))
        found = [about(r, f"rm:{rm.name}") for r in rows_of(tmp_path / f"{rm.name}.jsonl", "pair")]
        said[rm.name] = np.array([[f["chosen"], f["rejected"]] for f in found])
        measured(data, rm, tmp_path / f"eval-{rm.name}")
        assert eval_scores(tmp_path / f"eval-{rm.name}") == pytest.approx(said[rm.name], abs=1e-3)
        prefdata.label(data, str(tmp_path / f"l-{rm.name}.jsonl"), judge=f"rm:{rm}")
        labelled = [about(r, f"rm:{rm.name}") for r in rows_of(tmp_path / f"l-{rm.name}.jsonl", "pair")]
        assert np.array([[f["chosen"], f["rejected"]] for f in labelled]) == pytest.approx(said[rm.name], abs=1e-3)
    assert np.abs(said["own"] - said["tiny-rm"]).max() > 0.01


def test_an_encoder(tmp_path: Path) -> None:
    rm, rows = encoder(tmp_path / "bert"), lists(12)
    score(store(tmp_path / "in.jsonl", rows), tmp_path / "a.jsonl", reward_model=str(rm), batch_tokens=1)
    score(store(tmp_path / "in.jsonl", rows), tmp_path / "b.jsonl", reward_model=str(rm), batch_tokens=5_000)
    one, other = ([c["score"] for r in rows_of(tmp_path / n) for c in r["completions"]] for n in ("a.jsonl", "b.jsonl"))
    assert one == pytest.approx(other, abs=1e-4)
    assert np.std(one) > 0.1


def named(folder: Path, *names: str) -> Path:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"id2label": {str(i): n for i, n in enumerate(names)}}))
    return folder


def test_several_outputs_are_aspects(tmp_path: Path) -> None:
    rm, rows = named(classifier(tmp_path / "heads", labels=3), "helpful", "correct", "long"), lists(8)
    data = store(tmp_path / "in.jsonl", rows)
    heads = [[v for some in transformers_says(rm, rows, head) for v in some] for head in range(3)]
    score(data, tmp_path / "mean.jsonl", reward_model=str(rm))
    score(data, tmp_path / "sum.jsonl", reward_model=str(rm), aspect_weights="helpful=1,long=-0.5")
    found = rows_of(tmp_path / "mean.jsonl")
    for name, wanted in zip(("helpful", "correct", "long"), heads, strict=True):
        assert [v for r in found for v in about(r, "rm:heads", name).values()] == pytest.approx(wanted, abs=1e-3)
    mean = np.mean(heads, axis=0)
    assert [c["score"] for r in found for c in r["completions"]] == pytest.approx(mean.tolist(), abs=1e-3)
    weighted = np.array(heads[0]) - 0.5 * np.array(heads[2])
    assert [v for r in rows_of(tmp_path / "sum.jsonl") for v in about(r, "rm:heads").values()] == pytest.approx(weighted.tolist(), abs=1e-3)
    with pytest.raises(UsageError, match=r"no scorer has shrot \(there are: correct, helpful, long\)"):
        score(data, tmp_path / "x.jsonl", reward_model=str(rm), aspect_weights={"shrot": 1})


def test_an_ensemble(tmp_path: Path) -> None:
    """The folder that train rm --ensemble writes: members, their mean, minimum and mean - 2 x spread, and how much they disagree."""
    rows = lists(10)
    data = store(tmp_path / "in.jsonl", rows)
    top = tmp_path / "rms"
    members = [classifier(top / str(i), seed=i) for i in range(3)]
    (top / "ensemble.json").write_text('{"members": ["0", "1", "2"]}')
    said = np.array([[v for some in transformers_says(m, rows) for v in some] for m in members])
    wanted = {"mean": said.mean(0), "min": said.min(0), "uncertainty": said.mean(0) - 2 * said.std(0)}
    for how, values in wanted.items():
        more = {"penalty": 2.0} if how == "uncertainty" else {}
        score(data, tmp_path / f"{how}.jsonl", reward_model=str(top), aggregate=how, journal=str(tmp_path / "journal"), **more)
        found = rows_of(tmp_path / f"{how}.jsonl")
        assert [c["score"] for r in found for c in r["completions"]] == pytest.approx(values.tolist(), abs=1e-3)
        assert [v for r in found for v in about(r, "rm:rms").values()] == pytest.approx(values.tolist(), abs=1e-3)
        assert [v for r in found for v in about(r, "rm:rms", "disagreement").values()] == pytest.approx(said.std(0).tolist(), abs=1e-3)
        assert [v for r in found for v in about(r, "rm:rms/1").values()] == pytest.approx(said[1].tolist(), abs=1e-3)
    several = ",".join(map(str, members))
    score(data, tmp_path / "named.jsonl", reward_model=several, journal=str(tmp_path / "journal"))
    assert [c["score"] for r in rows_of(tmp_path / "named.jsonl") for c in r["completions"]] == pytest.approx(
        said.mean(0).tolist(), abs=1e-3
    )
    assert about(rows_of(tmp_path / "named.jsonl")[0], "ensemble", "disagreement")


def test_standardised(folder: Path, tmp_path: Path) -> None:
    """Among the candidates of a prompt (also where two records have the same one), or of a model; the raw numbers stay annotations."""
    rows = [*lists(6), listwise(3, ["dog dog", "fox"])]
    data = store(tmp_path / "in.jsonl", rows)
    raw = transformers_says(folder, rows)
    flat = np.array([v for some in raw for v in some])
    prompts = np.array([i if i < 6 else 3 for i, some in enumerate(raw) for _ in some])
    models = np.array([k % 2 for some in raw for k, _ in enumerate(some)])
    for by, groups in (("prompt", prompts), ("model", models)):
        wanted = np.zeros(len(flat))
        for g in set(groups.tolist()):
            some = flat[groups == g]
            wanted[groups == g] = (some - some.mean()) / some.std() if len(some) > 1 else 0.0
        score(data, tmp_path / f"{by}.jsonl", reward_model=str(folder), standardise=by)
        found = rows_of(tmp_path / f"{by}.jsonl")
        assert [c["score"] for r in found for c in r["completions"]] == pytest.approx(wanted.tolist(), abs=2e-3)
        assert [v for r in found for v in about(r, "rm:tiny-rm").values()] == pytest.approx(flat.tolist(), abs=1e-3)


@pytest.mark.parametrize("per_token", [False, True])
def test_implicit_rewards_by_hand(per_token: bool, tmp_path: Path) -> None:
    """beta (log pi - log pi_ref), token by token from the logits of transformers."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rows = lists(6)
    policy, reference = (tiny.saved(tmp_path / name, ["good dog"], hidden=32, seed=s) for name, s in (("policy", 0), ("reference", 1)))
    words = AutoTokenizer.from_pretrained(policy)
    models = [AutoModelForCausalLM.from_pretrained(p).eval() for p in (policy, reference)]
    wanted = []
    for row in rows:
        before = words(words.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True))["input_ids"]
        for c in row["completions"]:
            answer = words(c["messages"][0]["content"] + "<|end|>")["input_ids"]
            said = []
            for model in models:
                with torch.no_grad():
                    logits = torch.log_softmax(model(torch.tensor([before + answer])).logits[0].double(), -1)
                said.append(sum(logits[len(before) + j - 1, t].item() for j, t in enumerate(answer)))
            wanted.append(0.25 * (said[0] - said[1]) / (len(answer) if per_token else 1))
    if per_token:  # the reference reads the policy's tokens, with or without a tokenizer of its own
        (Path(reference) / "tokenizer.json").unlink()
    options: dict[str, Any] = {"implicit": policy, "reference": reference, "beta": 0.25, "per_token": per_token}
    result = score(store(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl", **options)
    found = [c["score"] for r in rows_of(tmp_path / "out.jsonl") for c in r["completions"]]
    assert found == pytest.approx(wanted, abs=1e-3)
    assert result.run["computed"] == 2 * len(wanted)


@pytest.mark.filterwarnings("ignore:.*lr_scheduler.*:UserWarning")
def test_an_adapter_that_prefdata_trained(tmp_path: Path) -> None:
    """Its base lies elsewhere; its scores are those of eval rm."""
    from prefdata.train.options import TrainOptions
    from prefdata.train.run import train

    base = tiny.saved(tmp_path / "base", ["good dog"], hidden=32)
    data = store(tmp_path / "in.jsonl", [pair(n, n % 5 + 1, n % 4) for n in range(8)])
    train("rm", data, str(tmp_path / "rm"), TrainOptions(model=base, batch=4, learning_rate=1e-2, lora=4))
    score(data, tmp_path / "out.jsonl", reward_model=str(tmp_path / "rm"))
    measured(data, tmp_path / "rm", tmp_path / "eval")
    found = [about(r, "rm:rm") for r in rows_of(tmp_path / "out.jsonl", "pair")]
    assert eval_scores(tmp_path / "eval") == pytest.approx(np.array([[f["chosen"], f["rejected"]] for f in found]), abs=1e-3)
    assert len({round(v, 3) for f in found for v in f.values()}) > 4
    shutil.move(base, tmp_path / "moved")
    with pytest.raises(UsageError, match="an adapter whose base model"):
        score(data, tmp_path / "o.jsonl", reward_model=str(tmp_path / "rm"))


def test_what_fails_has_a_reason_and_no_number(folder: Path, tmp_path: Path) -> None:
    rows = [listwise(0, ["dog", "dog " * 600, "cat"]), listwise(1, ["fox"])]
    result = score(store(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl", reward_model=str(folder))
    assert result.exit_code == 1
    assert result.scores == {
        "candidates": 4,
        "decided": 3,
        "scorers": {"rm:tiny-rm": {"scored": 3, "invalid": {"context-length": 1}}},
    }
    first = rows_of(tmp_path / "out.jsonl")[0]
    assert [c["score"] is None for c in first["completions"]] == [False, True, False]
    bad = first["annotations"][1]
    assert (bad["outcome"], bad["rationale"], bad["score"]) == ("invalid", "context-length", None)
    assert any("1 without: context-length, prompt and answer are longer" in line for line in result.lines())
    assert score(str(tmp_path / "in.jsonl"), tmp_path / "out.jsonl", reward_model=str(folder)).up_to_date


def test_earlier_scores_are_kept_as_annotations(folder: Path, tmp_path: Path) -> None:
    row = listwise(0, ["dog", "cat"], source="ultra")
    row["completions"][0]["score"], row["completions"][1]["score"] = 7.5, 2.0
    known = {"annotator": "human", "kind": "human", "completions": [row["completions"][1]["id"]], "score": 2.0}
    row["annotations"] = [known]
    score(store(tmp_path / "in.jsonl", [row]), tmp_path / "out.jsonl", reward_model=str(folder))
    found = rows_of(tmp_path / "out.jsonl")[0]
    assert about(found, "ultra") == {row["completions"][0]["id"]: 7.5}
    assert found["annotations"][0]["annotator"] == "human"
    assert 7.5 not in [c["score"] for c in found["completions"]]
    score(str(tmp_path / "out.jsonl"), tmp_path / "twice.jsonl", reward_model=str(folder), standardise="prompt")
    assert len(rows_of(tmp_path / "twice.jsonl")[0]["annotations"]) == len(found["annotations"]) + 2  # its own scores are there already


def test_pairs_and_single_answers(folder: Path, tmp_path: Path) -> None:
    score(store(tmp_path / "p.jsonl", [pair(0, 3, 1)]), tmp_path / "po.parquet", reward_model=str(folder))
    assert about(rows_of(tmp_path / "po.parquet", "pair")[0], "rm:tiny-rm").keys() == {"chosen", "rejected"}
    score(store(tmp_path / "b.jsonl", [binary(n, n) for n in range(3)]), tmp_path / "bo.parquet", reward_model=str(folder))
    rows = rows_of(tmp_path / "bo.parquet", "binary")
    assert [r["score"] for r in rows] == [about(r, "rm:tiny-rm")[""] for r in rows]
    assert prefdata.read(str(tmp_path / "bo.parquet")).columns[:5] == ["id", "prompt", "completion", "label", "score"]


def test_wrong_options_are_told_together(folder: Path, tmp_path: Path) -> None:
    data = store(tmp_path / "b.jsonl", [binary(0, 4)])

    def refused(**options: Any) -> str:
        with pytest.raises(UsageError) as e:
            score(data, tmp_path / "o.jsonl", **options)
        return str(e.value)

    assert "score by what?" in refused()
    said = refused(implicit=str(folder), standardise="model", batch="export", penalty=2.0)
    assert all(
        w in said for w in ("--implicit POLICY and --reference", "--standardise model: binary", "--batch export", "--penalty is for")
    )
    lm = tiny.saved(tmp_path / "lm", ["a"], hidden=32)
    assert "a causal model; its implicit reward" in refused(reward_model=lm)
    assert "a sequence classifier; --reward-model" in refused(implicit=str(folder), reference=lm)
    assert "weights are written as" in refused(reward_model=str(folder), aspect_weights="a,b")
    both = refused(reward_model=str(tmp_path / "none"), judge="pairwise", model="m")
    assert "no such folder" in both
    assert "it compares answers" in both


def test_a_record_that_cannot_be_read_is_rejected(folder: Path, tmp_path: Path) -> None:
    data = store(tmp_path / "in.jsonl", [listwise(0, ["dog"]), {"prompt": turns("x", "user"), "completions": []}])
    result = score(data, tmp_path / "out.jsonl", reward_model=str(folder))
    assert (result.counts["read"], result.counts["kept"], result.exit_code) == (2, 1, 1)
    assert result.rejects == f"{tmp_path}/out.jsonl.rejects.jsonl"
