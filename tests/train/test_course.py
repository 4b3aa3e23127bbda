"""What a training says and shows while it runs and after it: bar, charts, table, card, and nothing else."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from prefdata.errors import UsageError
from prefdata.train.metrics import alarms
from prefdata.train.plots import charts
from prefdata.train.run import train
from prefdata.train.store import Store, load_table
from tests.checks.build import write
from tests.train.build import answer_logps
from tests.train.test_train import WORDS, lines, options, rows
from tests.train.tiny import saved

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore:.*lr_scheduler.*:UserWarning")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved(tmp_path_factory.mktemp("model"), WORDS, hidden=32)


def test_charts_show_the_log() -> None:
    """Points lie where the numbers are: three steps, margins 0, 1, 3, so the middle one is a third of the way up."""
    log = [{"step": i + 1, "loss": 1.0, "rewards/margins": m} for i, m in enumerate((0.0, 1.0, 3.0))]
    found = charts([*log, {"step": 2, "eval_rewards/margins": 1.0}, {"step": 3, "eval_rewards/margins": float("nan")}])
    assert found.keys() == {"loss.svg", "rewards-margins.svg"}
    svg = ElementTree.fromstring(found["rewards-margins.svg"])
    space = "{http://www.w3.org/2000/svg}"
    path = next(e for e in svg.iter(space + "path") if "s0" in str(e.get("class")) and "line" in str(e.get("class")))
    points = [tuple(map(float, p.split())) for p in str(path.get("d")).removeprefix("M").split("L")]
    assert (points[0][1] - points[1][1]) / (points[0][1] - points[2][1]) == pytest.approx(1 / 3, abs=0.01)
    held = [e for g in svg.iter(space + "g") if "s1" in str(g.get("class")) for e in g]
    assert [(float(e.get("cx", 0)), float(e.get("cy", 0))) for e in held] == [pytest.approx(points[1], abs=0.11)]
    assert {"training", "held out"} <= {t.text for t in svg.iter(space + "text")}


def test_a_training_leaves_charts_a_table_and_a_card(model: str, tmp_path: Path) -> None:
    data, held = write(tmp_path / "in.jsonl", rows(24)), write(tmp_path / "held.jsonl", rows(30)[24:])
    said: list[tuple[int, int, str]] = []
    out = tmp_path / "out"
    train("rm", data, str(out), options(model, eval_data=held, eval_every=1), lambda *words: said.append(words))
    drawn = {f"plots/{p.name}" for p in (out / "plots").iterdir()}
    assert {"plots/loss.svg", "plots/accuracy.svg", "plots/margin.svg"} <= drawn
    assert all(f"]({path})" in (out / "README.md").read_text() for path in drawn)
    table = pl.read_csv(out / "metrics.csv")
    steps = table.filter(pl.col("loss").is_not_null())
    assert steps["loss"].to_list() == [line["loss"] for line in lines(out)] and steps["step"].to_list() == [1, 2, 3]
    assert table.filter(pl.col("eval_accuracy").is_not_null())["step"].to_list() == [1, 2, 3]
    assert [s[:2] for s in said if s[1]] == [(1, 3), (2, 3), (3, 3)] and said[0] == (0, 0, "reading and tokenising")
    assert "tokens/s, loss " in said[-1][2]
    assert not list(out.glob("*.bin"))  # pickles


def test_what_sft_says(model: str, tmp_path: Path) -> None:
    """Loss, log-prob and perplexity of what is learnt; no rewards, which compare, and no alarm about them. Perplexity is e to the mean
    over the tokens of all completions, by the model's own forward before the first step."""
    data, out = write(tmp_path / "in.jsonl", rows(16)), tmp_path / "out"
    result = train("sft", data, str(out), options(model, epochs=2, batch=16, learning_rate=0.3, lora=2))  # it unlearns
    found = lines(out)
    assert found[-1]["logps/chosen"] < found[0]["logps/chosen"] - 1 and result.alarms == []
    assert {k for line in found for k in line} == {"step", "epoch", "loss", "grad_norm", "learning_rate", "logps/chosen", "perplexity"}
    store = Store(load_table(str(next((out / "cache").glob("tokens-*.arrow")))))
    logps = answer_logps(AutoModelForCausalLM.from_pretrained(model), store)[:, 0]
    tokens = torch.tensor([len(store.group(i).completions[0]) for i in range(store.size)])
    assert found[0]["perplexity"] == pytest.approx(float(torch.exp(-logps.sum() / tokens.sum())), rel=1e-4)
    assert found[0]["logps/chosen"] == pytest.approx(float(logps.mean()), rel=1e-5)
    assert "library_name: peft\n" in (out / "README.md").read_text()


def test_alarms_are_about_a_reference() -> None:
    first, now = {"rewards/chosen": 0.0}, {"rewards/chosen": -1.5}
    assert [a.partition(":")[0] for a in alarms(first, now, 9, reference=True)] == ["the reward of chosen answers has fallen to -1.50"]
    assert alarms(first, now, 9, reference=False) == []


def test_a_reference_that_nobody_looks_at(model: str, tmp_path: Path) -> None:
    data, out = write(tmp_path / "in.jsonl", rows(8)), str(tmp_path / "out")
    for method, more, words in (
        ("sft", {}, "--reference: sft learns without a reference"),
        ("dpo", {"loss": "simpo"}, "--reference: simpo learns without a reference"),
        ("dpo", {"loss": "orpo:1,sft:0.1"}, "--reference: orpo and sft learn without a reference"),
    ):
        with pytest.raises(UsageError, match=words):
            train(method, data, out, options(model, reference=model, **more))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"--ld-alpha compares .* which train sft does not"):
        train("sft", data, out, options(model, ld_alpha=0.5))
    train("dpo", data, out, options(model, reference=model, loss="dpo:1,sft:0.1", max_steps=1))
    assert "library_name: transformers\n" in (tmp_path / "out" / "README.md").read_text()


def test_a_line_begun_before_a_checkpoint_is_finished_after_it(model: str, tmp_path: Path) -> None:
    """Steps 2 to 5 make one line of the log, and a checkpoint lies between them; the last line has the steps that are left."""
    data, out = write(tmp_path / "in.jsonl", rows(64)), tmp_path / "out"
    how = options(model, log_every=5, save_every=3, keep=9)
    train("dpo", data, str(out), how)
    whole, worst = lines(out), (out / "worst.jsonl").read_bytes()
    assert [line["step"] for line in whole] == [1, 5, 8]
    for step in (6, 8):
        shutil.rmtree(out / f"checkpoint-{step}")
    assert train("dpo", data, str(out), how).resumed_at == 3
    assert lines(out) == [pytest.approx(line, rel=1e-12) for line in whole] and (out / "worst.jsonl").read_bytes() == worst


def test_checkpointing_changes_nothing(model: str, tmp_path: Path) -> None:
    """Layers that are computed again in the backward pass attend by the plan of their batch, as in the forward pass."""
    data = write(tmp_path / "in.jsonl", rows(16))
    for name in ("on", "off"):
        train("dpo", data, str(tmp_path / name), options(model, gradient_checkpointing=name))
    on, off = ([(x["loss"], x["grad_norm"]) for x in lines(tmp_path / name)] for name in ("on", "off"))
    assert on == [pytest.approx(x, rel=1e-5) for x in off]


def test_a_logger_that_is_not_there(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])  # nothing is installed
    with pytest.raises(UsageError, match="pip install wandb"):
        train("dpo", "in.jsonl", str(tmp_path / "out"), options(model, report_to="wandb"))
    with pytest.raises(UsageError, match=r"--save-best needs --eval-data\n.*pip install tensorboard"):
        train("dpo", "in.jsonl", str(tmp_path / "out"), options(model, report_to="tensorboard", save_best="eval_loss"))


COMMAND = [sys.executable, "-c", "from prefdata.cli.main import main; main()", "train"]


def test_nothing_but_our_lines(model: str, tmp_path: Path) -> None:
    """A reward model with an adapter, from a causal model, with checkpointed layers: where transformers and peft have much to say."""
    data = write(tmp_path / "in.jsonl", rows(8))
    more = ["--lora", "4", "--gradient-checkpointing", "on", "--batch", "4", "--log-every", "1"]
    done = subprocess.run([*COMMAND, "rm", data, "--model", model, "-o", "out", *more], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    first, *others = done.stderr.splitlines()
    assert first.startswith("out: rm, 2 steps, ")
    assert others and all(line.startswith("  ") for line in others), done.stderr
    names = {line.split()[0] for line in others}
    assert (
        {"records:", "loss", "accuracy", "margin"}
        <= names
        <= {*("records:", "loss", "accuracy", "margin", "grad_norm", "learning_rate", "mean_reward", "epoch", "alarm:")}
    )


def test_weights_that_do_not_fit_are_told(model: str, tmp_path: Path) -> None:
    """One tensor of the folder is no part of the model: a warning that stays. One is missing: an error."""
    data = write(tmp_path / "in.jsonl", rows(4))
    folder = tmp_path / "model"
    folder.mkdir()
    for file in Path(model).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, "surplus.weight": torch.zeros(3)}, folder / "model.safetensors", {"format": "pt"})
    command = [*COMMAND, "dpo", data, "--model", str(folder), "-o", "o", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert json.loads(done.stdout)["steps"] == 1 and "surplus.weight" in done.stderr and "UNEXPECTED" in done.stderr
    del weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UsageError, match=r"the weights lack model\.norm\.weight"):
        train("rm", data, str(tmp_path / "rm"), options(str(folder)))


BAR = """
import sys
from prefdata.cli.progress_train import steps_bar
with steps_bar("train dpo", hidden=sys.argv[1] == "hidden") as tell:
    if tell and sys.argv[1] == "stage":
        tell(0, 0, "log-probs of the reference")
    elif tell:
        tell(0, 0, "")
        tell(3, 10, "1,000 tokens/s, loss 0.5000 [/bold]")
"""


@pytest.mark.parametrize(
    ("what", "words"),
    [("stage", [b"log-probs of the reference"]), ("steps", [b"step 3/10", b"1,000 tokens/s, loss 0.5000 [/bold]"]), ("hidden", [])],
)
def test_the_bar_is_for_terminals(what: str, words: list[bytes]) -> None:
    """On a terminal's stderr alone; words are no markup."""
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", BAR, what], stderr=theirs, check=True, env={**os.environ, "TERM": "xterm", "COLUMNS": "150"})
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 65536):
            said += part
    except OSError:  # the end of a terminal, on Linux
        pass
    os.close(ours)
    assert all(w in said for w in words) and bool(said) == bool(words), said
    piped = subprocess.run([sys.executable, "-c", BAR, what], capture_output=True, check=True)
    assert piped.stderr == b""
