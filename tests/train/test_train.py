"""Trainings of tiny models: what a step computes, what is remembered, what stops a wrong one."""

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
import torch

from prefdata.errors import PrefdataError, UsageError
from prefdata.train import run as running
from prefdata.train.layout import laid_out
from prefdata.train.mix import mix_of
from prefdata.train.model import attach, token_logps
from prefdata.train.options import TrainOptions
from prefdata.train.reference import computed, key_of, reference_logps
from prefdata.train.run import train
from prefdata.train.task import PolicyTask
from tests.checks.build import binary, listwise, pair, write
from tests.train import tiny
from tests.train.test_trl import a_store

torch.set_num_threads(1)
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*lr_scheduler.*:UserWarning"),
]
WORDS = ["yes", "no", "dog", "cat", "it is", "why", "because of the", "fox"]


def rows(n: int) -> list[dict[str, Any]]:
    """Pairs whose chosen answer says yes: learnt in a few steps."""
    return [
        pair(f"yes {WORDS[i % 8]} {i}", f"no {WORDS[i * 5 % 8]}", prompt=f"Q {WORDS[i * 3 % 8]} {i}", source=f"s{i % 2}") for i in range(n)
    ]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny.saved(tmp_path_factory.mktemp("model"), WORDS, hidden=32)


def options(model: str, **more: Any) -> TrainOptions:
    return TrainOptions(model=model, **{"batch": 8, "learning_rate": 3e-3, "log_every": 1, "schedule": "constant", **more})


def lines(out: Path) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, (out / "metrics.jsonl").read_text().splitlines()) if "loss" in line]


def test_dpo_learns_and_says_so(model: str, tmp_path: Path) -> None:
    data, held = write(tmp_path / "in.jsonl", rows(48)), write(tmp_path / "held.jsonl", rows(64)[48:])
    result = train("dpo", data, str(tmp_path / "out"), options(model, eval_data=held, epochs=3))
    found = lines(tmp_path / "out")
    assert found[0]["loss"] == pytest.approx(0.693147, abs=1e-5) and found[0]["rewards/accuracies"] == 0.5
    assert (result.steps, result.layout, result.counts["kept"]) == (18, "shared", 48)
    assert result.eval["eval_rewards/accuracies"] > 0.9
    assert {"sources/s0/margins", "sources/s1/accuracies"} <= result.metrics.keys()
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"model.safetensors", "tokenizer.json", "README.md", "worst.jsonl", "metrics.jsonl", "model.manifest.json"} <= names
    worst = [json.loads(line) for line in (tmp_path / "out" / "worst.jsonl").read_text().splitlines()]
    ids = {json.loads(line)["id"] for line in Path(data).read_text().splitlines()}
    assert worst[0]["loss"] >= worst[-1]["loss"] and all(w["id"] in ids for w in worst)


@pytest.mark.parametrize("micro", [40, 100])
@pytest.mark.parametrize("loss", ["dpo:1", "aot:1", "bco:1", "kto:1"])
def test_micro_batches_change_nothing(model: str, tmp_path: Path, loss: str, micro: int) -> None:
    """The same losses and the same weights for any token budget, also where the rows of a step depend on each other."""
    kto = loss.startswith("kto")
    some = [binary(f"yes {i}" if i % 2 else f"no {i}", prompt=f"Q{i}", label=bool(i % 2)) for i in range(16)] if kto else rows(16)
    data = write(tmp_path / "in.jsonl", some)
    for name, tokens in (("whole", 100_000), ("cut", micro)):
        train("kto" if kto else "dpo", data, str(tmp_path / name), options(model, loss=loss, micro_tokens=tokens))
    whole, cut = (lines(tmp_path / name) for name in ("whole", "cut"))
    assert [x["loss"] for x in cut] == pytest.approx([x["loss"] for x in whole], abs=1e-6)
    assert [x["grad_norm"] for x in cut] == pytest.approx([x["grad_norm"] for x in whole], rel=1e-4)


def test_every_loss_trains(model: str, tmp_path: Path) -> None:
    """Each pairwise loss makes a finite step; rows with scores only where a loss needs them."""
    data = write(tmp_path / "in.jsonl", rows(8))
    from prefdata.train.losses import LOSSES

    for name, loss in LOSSES.items():
        if loss.rows == "pair" and name != "odpo":
            result = train("dpo", data, str(tmp_path / name), options(model, loss=name, max_steps=1))
            assert result.metrics["loss"] == result.metrics["loss"], name


def test_soft_labels_and_weights(model: str, tmp_path: Path) -> None:
    """A pair with p = 0.5 pulls nowhere, a pair of weight 0 neither: the gradient is zero at the start."""
    for name, more in (("half", {"p_chosen": 0.5}), ("nothing", {"weight": 0.0})):
        data = write(tmp_path / f"{name}.jsonl", [{**r, **more} for r in rows(8)])
        train("dpo", data, str(tmp_path / name), options(model, max_steps=1))
        assert lines(tmp_path / name)[0]["grad_norm"] == pytest.approx(0, abs=1e-5)
        train("dpo", data, str(tmp_path / f"hard-{name}"), options(model, max_steps=1, hard_labels=True))
    assert lines(tmp_path / "hard-half")[0]["grad_norm"] > 0.01


def test_reward_models_on_pairs_and_lists(model: str, tmp_path: Path) -> None:
    data, held = write(tmp_path / "in.jsonl", rows(32)), write(tmp_path / "held.jsonl", rows(48)[32:])
    result = train("rm", data, str(tmp_path / "rm"), options(model, epochs=3, eval_data=held, center=0.01))
    assert result.eval["eval_accuracy"] > 0.9
    ranked = write(tmp_path / "lists.jsonl", [listwise("yes", "no", "cat", prompt=f"Q{i}", scores=[3.0, 1.0, 2.0]) for i in range(8)])
    assert train("rm", ranked, str(tmp_path / "pl"), options(model, epochs=2)).metrics["loss"] > 0


def test_sft_learns_from_what_is_wanted(model: str, tmp_path: Path) -> None:
    """Chosen answers of pairs, desirable ones of binary records: the others are dropped by reason and not learnt."""
    some = [binary(f"yes {i}" if i % 2 else f"no {i}", prompt=f"Q{i}", label=bool(i % 2)) for i in range(16)]
    result = train("sft", write(tmp_path / "in.jsonl", some), str(tmp_path / "out"), options(model, epochs=2))
    assert result.counts == {"read": 16, "kept": 8, "dropped": {"undesirable": 8}, "rejected": {}}
    found = lines(tmp_path / "out")
    assert found[-1]["loss"] < found[0]["loss"]
    assert train("sft", write(tmp_path / "p.jsonl", rows(8)), str(tmp_path / "o"), options(model)).counts["kept"] == 8


def test_lora_starts_at_the_reference(model: str, tmp_path: Path) -> None:
    data = write(tmp_path / "in.jsonl", rows(16))
    train("dpo", data, str(tmp_path / "out"), options(model, lora=4))
    assert lines(tmp_path / "out")[0]["loss"] == pytest.approx(0.693147, abs=1e-5)
    assert (tmp_path / "out" / "adapter_model.safetensors").exists()


def test_ld_dpo(model: str) -> None:
    """Tokens beyond the shorter answer's length count alpha times, in policy and reference: with alpha 0 they may be anything."""
    store, policy, reference = a_store(300), tiny.model(vocabulary=300, seed=0), tiny.model(vocabulary=300, seed=1)
    attach(policy, token_logps)
    kept = computed(store, reference, "shared", budget=100)
    task = PolicyTask(store, mix_of({"dpo": 1.0}, {}, "pair"), "shared", kept, ld_alpha=0.25)
    part = task.part([2], torch.device("cpu"))
    with torch.no_grad():
        found = task.values(policy, part)[0]
        tokens = token_logps(policy, laid_out([store.group(2)], "shared"))
    n, m = (len(c) for c in store.group(2).completions)
    short = min(n, m)
    by_hand = [t[:short].sum() + 0.25 * t[short:].sum() for t in (tokens[:n], tokens[n:])]
    assert found.tolist() == pytest.approx([float(v) for v in by_hand], abs=1e-4)


def test_the_reference_is_kept_only_for_what_it_depends_on(tmp_path: Path) -> None:
    """Weights, their type, the layout and every token id are in the key; asking again computes nothing."""
    store, model = a_store(300), tiny.model(vocabulary=300)
    first = reference_logps(store, model, str(tmp_path), "shared", budget=64)
    keys = {key_of(store, model, "shared"), key_of(store, model, "padded"), key_of(a_store(300, seed=1), model, "shared")}
    with torch.no_grad():
        next(iter(model.parameters()))[0, 0] += 1e-3
    keys.add(key_of(store, model, "shared"))
    keys.add(key_of(store, model.bfloat16(), "shared"))
    assert len(keys) == 5
    again = reference_logps(store, tiny.model(vocabulary=300), str(tmp_path), "shared", budget=1000)
    assert again.equals(first) and len(list(tmp_path.iterdir())) == 1


def test_the_reference_has_no_dropout(tmp_path: Path) -> None:
    """Functional attention dropout is no module: only evaluation mode switches it off."""
    store, model = a_store(300), tiny.model(vocabulary=300, attention_dropout=0.5)
    model.train()
    noisy, clean = computed(store, model, "shared", budget=64), computed(store, tiny.model(vocabulary=300), "shared", budget=64)
    assert noisy.equals(clean) and model.training


SCRIPT = """
import sys, torch
torch.set_num_threads(1)
from prefdata.train.options import TrainOptions
from prefdata.train.run import train
data, out, model = sys.argv[1:]
options = TrainOptions(model=model, batch=8, learning_rate=3e-3, log_every=1, epochs=2, save_every=4, loss="bco:1,beta-dpo:1")
train("dpo", data, out, options)
"""


def test_killed_and_resumed(model: str, tmp_path: Path) -> None:
    """SIGKILL at three moments of a training: the finished one has the same metrics, step by step, as one that was never killed."""
    data = write(tmp_path / "in.jsonl", rows(96))
    command = [sys.executable, "-c", SCRIPT, data]
    subprocess.run([*command, str(tmp_path / "whole"), model], check=True, capture_output=True)
    out, kills = tmp_path / "killed", 0
    for lines_seen in (3, 9, 14):
        process = subprocess.Popen([*command, str(out), model], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        path = out / "metrics.jsonl"
        while process.poll() is None and not (path.exists() and path.read_bytes().count(b"\n") >= lines_seen):
            os.sched_yield()
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*command, str(out), model], check=True, capture_output=True)
    assert kills == 3
    drop = {"train_runtime", "train_samples_per_second", "train_steps_per_second"}
    curves = [[{k: v for k, v in x.items() if k not in drop} for x in lines(p)] for p in (tmp_path / "whole", out)]
    assert curves[0] == curves[1] and len(curves[0]) == 24
    a, b = ((p / "model.safetensors").read_bytes() for p in (tmp_path / "whole", out))
    assert a == b


def test_wrong_options_are_one_message(model: str, tmp_path: Path) -> None:
    data, out = write(tmp_path / "in.jsonl", rows(8)), str(tmp_path / "out")
    with pytest.raises(UsageError, match="did you mean dpop") as e:
        train("dpo", data, out, options(model, loss="dpopp:1,kto:1", loss_args="betta=1"))
    assert "kto is a loss of binary records" in str(e.value) and "'betta'; did you mean beta?" in str(e.value)
    with pytest.raises(UsageError, match="train kto takes binary records, these are pair"):
        train("kto", data, out, options(model))
    with pytest.raises(UsageError, match="no such folder"):
        train("dpo", data, out, options(model, tokenizer=model).model_copy(update={"model": "./none"}))
    with pytest.raises(UsageError, match=r"8 no-margin \(no positive margin"):
        train("dpo", data, out, options(model, loss="odpo"))
    soft = write(tmp_path / "soft.jsonl", [{**r, "p_chosen": 0.7} for r in rows(8)])
    with pytest.raises(UsageError, match=r"aot .* cannot use soft labels"):
        train("dpo", soft, str(tmp_path / "aot"), options(model, loss="aot"))
    train("dpo", data, out, options(model, save_every=1))
    with pytest.raises(UsageError, match=r"other options \(learning_rate\)"):
        train("dpo", data, out, options(model, learning_rate=1e-5))
    shutil.rmtree(out)


def test_a_wrong_reference_is_seen_at_the_start(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log-probs of another model under the policy's name: the loss of the first batch is not ln 2, and nothing is trained."""
    data = write(tmp_path / "in.jsonl", rows(8))
    other = tiny.model(vocabulary=len(tiny.tokenizer(WORDS)), seed=7, hidden=32)
    real = running.reference_logps
    monkeypatch.setattr(running, "reference_logps", lambda store, model, *a, **k: real(store, other, *a, **k))
    with pytest.raises(PrefdataError, match="before the first step policy and reference differ"):
        train("dpo", data, str(tmp_path / "out"), options(model, loss_args="beta=1"))


def test_dry_run(model: str, tmp_path: Path) -> None:
    data = write(tmp_path / "in.jsonl", rows(20))
    result = train("dpo", data, str(tmp_path / "out"), options(model, dry_run=True, epochs=2))
    assert result.plan[0].startswith("5 steps of 8 records")
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_the_command(model: str, tmp_path: Path) -> None:
    data = write(tmp_path / "in.jsonl", rows(8))
    command = [sys.executable, "-c", "from prefdata.cli.main import main; main()", "train"]
    done = subprocess.run(
        [*command, "dpo", data, "--model", model, "-o", str(tmp_path / "o"), "--json", "--batch", "4"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["steps"] == 2
    wrong = subprocess.run([*command, "dpo", data, "--model", "./none", "-o", str(tmp_path / "p")], capture_output=True, text=True)
    assert wrong.returncode == 2 and "Traceback" not in wrong.stderr
