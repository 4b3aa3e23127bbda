"""Reward models with a head per aspect, and ensembles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification

from prefdata.errors import UsageError
from prefdata.rewards.folder import members_of
from prefdata.train.aspects import of_list, of_pair
from prefdata.train.reward_task import RewardTask
from prefdata.train.run import train
from prefdata.train.store import Store, load_table
from tests.checks.build import listwise, pair, write
from tests.train import tiny
from tests.train.build import WORDS, lines, options, pairs

torch.set_num_threads(1)
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*lr_scheduler.*:UserWarning"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny.saved(tmp_path_factory.mktemp("model"), WORDS, hidden=32)


def said(aspect: str | None, shown: list[str], annotator: str = "a", **what: Any) -> dict[str, Any]:
    return {"annotator": annotator, "kind": "human", "completions": shown, "aspect": aspect, **what}


CHOSEN, REJECTED = ["chosen", "rejected"], ["rejected", "chosen"]


@pytest.mark.parametrize(
    ("annotations", "wanted"),
    [
        (None, ({}, None)),
        ([said("safe", CHOSEN, outcome="first")], ({"safe": 1.0}, None)),
        ([said("safe", REJECTED, outcome="first")], ({"safe": 0.0}, None)),
        ([said("safe", REJECTED, p_first=0.2, outcome="second")], ({"safe": 0.8}, None)),
        ([said("safe", CHOSEN, outcome="first"), said("safe", REJECTED, outcome="first")], ({"safe": 0.5}, None)),
        ([said("safe", CHOSEN, outcome="abstain"), said("safe", CHOSEN, outcome="invalid", p_first=0.9)], ({}, None)),
        ([said("safe", CHOSEN, outcome="first"), said("safe", CHOSEN, "b", outcome="tie")], ({"safe": 0.75}, None)),
        ([said("safe", ["chosen"], score=1.0), said("safe", ["rejected"], score=4.0)], ({"safe": 0.0}, None)),
        ([said(None, ["chosen"], score=7.0), said(None, ["rejected"], score=4.0)], ({"overall": 1.0}, 3.0)),
        ([said("safe", ["chosen"], score=1.0), said("safe", ["rejected"], "b", score=4.0)], ({}, None)),
        ([said("safe", ["chosen"], score=1.0), said("kind", ["rejected"], score=4.0)], ({}, None)),
        # who compared is not asked again by scores
        ([said("x", CHOSEN, p_first=0.9), said("x", ["chosen"], score=1.0), said("x", ["rejected"], score=2.0)], ({"x": 0.9}, None)),
    ],
)
def test_what_annotations_say_of_a_pair(annotations: Any, wanted: Any) -> None:
    labels, gap = of_pair(annotations)
    assert labels == pytest.approx(wanted[0]) and gap == wanted[1]


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.booleans(), st.floats(0, 1)), max_size=6))
def test_order_shown_does_not_matter(votes: list[tuple[str, bool, float]]) -> None:
    """A statement about (rejected, chosen) with 1 − p says what one about (chosen, rejected) with p says."""
    one = [said("x", CHOSEN, who, p_first=p) for who, _, p in votes]
    two = [said("x", REJECTED if turned else CHOSEN, who, p_first=1 - p if turned else p) for who, turned, p in votes]
    assert of_pair(one)[0] == pytest.approx(of_pair(two)[0])


def test_what_annotations_say_of_a_list() -> None:
    annotations = [said("safe", ["i"], score=1.0), said("safe", ["i"], "b", score=2.0), said("safe", ["k"], score=5.0)]
    annotations += [said("kind", ["j"], outcome="abstain"), said(None, ["other"], score=3.0)]
    assert of_list(annotations, ["i", "j", "k"]) == {"safe": [1.5, None, 5.0]}


def judged(n: int) -> list[dict[str, Any]]:
    """Chosen is always the kinder answer (yes); the safer one (dog) is the chosen in even rows and the rejected in odd ones. Every third
    row has no statement on kindness."""
    rows = []
    for i in range(n):
        texts = ("yes dog", "no cat") if i % 2 == 0 else ("yes cat", "no dog")
        about = [said("safe", CHOSEN if i % 2 == 0 else REJECTED, outcome="first")]
        about += [said("kind", REJECTED, p_first=0.1)] if i % 3 else []
        rows.append(pair(f"{texts[0]} {i}", f"{texts[1]} {i}", prompt=f"Q {WORDS[i % 8]} {i}", annotations=about))
    return rows


def test_heads_learn_their_aspects(model: str, tmp_path: Path) -> None:
    """Each head orders what it was told about; the outputs are named; the single score is the weighted mean."""
    data, held = write(tmp_path / "in.jsonl", judged(48)), write(tmp_path / "held.jsonl", judged(64)[48:])
    how = {"aspects": "kind:3,safe:1", "epochs": 8, "learning_rate": 1e-2, "eval_data": held}
    result = train("rm", data, str(tmp_path / "out"), options(model, **how))
    assert result.eval["eval_aspects/kind/accuracy"] > 0.9 and result.eval["eval_aspects/safe/accuracy"] > 0.9
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["id2label"] == {"0": "kind", "1": "safe"} and config["aspect_weights"] == [3.0, 1.0]
    trained = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    assert trained.score.weight.shape[0] == 2
    kept = [Store(load_table(str(p))) for p in (tmp_path / "out" / "cache").glob("tokens-*.arrow")]
    store = next(s for s in kept if s.size == 16)
    margins = []
    for i in range(store.size):
        with torch.no_grad():
            scores = [trained(torch.tensor([[*store.group(i).prompt, *c]])).logits[0] for c in store.group(i).completions]
        margins.append(scores[0] - scores[1])
    found = torch.stack(margins).mean(0)
    assert float(found @ torch.tensor([0.75, 0.25])) == pytest.approx(result.eval["eval_margin"], abs=1e-3)
    assert set(result.eval) >= {"eval_aspects/kind/margin", "eval_aspects/safe/margin", "eval_accuracy"}


def store_of(rows: list[dict[str, Any]], model: str, folder: Path, kind: str = "pair") -> Store:
    from prefdata.train.data import store_of

    return store_of(
        [write(folder / "s.jsonl", rows)], kind, model, str(folder), answers=kind, limit=None, max_length=None, truncate="drop"
    )[0]


def test_a_missing_aspect_is_masked(model: str, tmp_path: Path) -> None:
    """A row's loss is the mean over the aspects that it has; its other heads get no gradient. By hand, at a margin of 1."""
    rows = [
        pair("a", "b", prompt="P", annotations=[said("kind", CHOSEN, p_first=0.9), said("safe", CHOSEN, p_first=0.1)]),
        pair("a", "b", prompt="Q", annotations=[said("safe", CHOSEN, p_first=0.1)]),
    ]
    task = RewardTask(store_of(rows, model, tmp_path), "shared", kind="pair", aspects={"kind": 1.0, "safe": 1.0})
    columns = task.part([0, 1], torch.device("cpu")).columns
    values = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]] * 2, dtype=torch.float64, requires_grad=True)
    found = task.losses(columns, values)
    up, down = 0.31326168751822286, 1.3132616875182228  # −ls(1), −ls(−1)
    kind, safe = 0.9 * up + 0.1 * down, 0.1 * up + 0.9 * down
    assert found.tolist() == pytest.approx([(kind + safe) / 2, safe], abs=1e-9)
    (gradient,) = torch.autograd.grad(found.sum(), values)
    assert gradient[1, :, 0].tolist() == [0, 0] and bool((gradient[0] != 0).all())
    hard = RewardTask(store_of(rows, model, tmp_path), "shared", kind="pair", soft=False, aspects={"kind": 1.0, "safe": 1.0})
    columns = hard.part([0, 1], torch.device("cpu")).columns
    assert hard.losses(columns, values).tolist() == pytest.approx([(up + down) / 2, down], abs=1e-9)


def test_aspects_of_lists(model: str, tmp_path: Path) -> None:
    """Scores per aspect and candidate; a list in which nobody is better says nothing."""
    rows = []
    for i in range(36):
        row = listwise(f"yes {i}", f"cat {i}", f"no {i}", prompt=f"Q {i}")
        ids = [c["id"] for c in row["completions"]]
        kind, safe = ([3.0, 2.0, 1.0], [1.0, 2.0, 3.0]) if i % 4 else ([2.0, 2.0, 2.0], [1.0, None, 3.0])
        about = [said(a, [c], score=s) for a, scores in (("kind", kind), ("safe", safe)) for c, s in zip(ids, scores, strict=True) if s]
        rows.append({**row, "annotations": about})
    data, held = write(tmp_path / "in.jsonl", rows[:24]), write(tmp_path / "held.jsonl", rows[24:])
    how = {"aspects": "kind,safe", "epochs": 6, "learning_rate": 1e-2, "eval_data": held}
    result = train("rm", data, str(tmp_path / "out"), options(model, **how))
    assert result.eval["eval_aspects/kind/accuracy"] > 0.9 and result.eval["eval_aspects/safe/accuracy"] > 0.9
    only = train("rm", data, str(tmp_path / "kind"), options(model, aspects="kind", max_steps=1))
    assert only.counts["dropped"] == {"no-aspect": 6} and only.counts["kept"] == 18


def test_aspects_that_are_not_there(model: str, tmp_path: Path) -> None:
    data = write(tmp_path / "in.jsonl", judged(6))
    with pytest.raises(UsageError, match="no record has funny; annotations are about: kind, safe"):
        train("rm", data, str(tmp_path / "out"), options(model, aspects="kind,funny"))
    with pytest.raises(UsageError, match="annotations are about: nothing"):
        train("rm", write(tmp_path / "b.jsonl", pairs(4)), str(tmp_path / "out"), options(model, aspects="kind"))
    result = train("rm", data, str(tmp_path / "out"), options(model, aspects="kind", max_steps=1))
    assert result.counts["dropped"] == {"no-aspect": 2} and lines(tmp_path / "out")[0]["loss"] > 0


def test_a_head_per_aspect_with_lora(model: str, tmp_path: Path) -> None:
    data = write(tmp_path / "in.jsonl", judged(8))
    train("rm", data, str(tmp_path / "out"), options(model, aspects="kind,safe", lora=2, max_steps=1, merge=True))
    for folder in ("out", "out/merged"):
        config = json.loads((tmp_path / folder / "config.json").read_text())
        assert config["id2label"] == {"0": "kind", "1": "safe"}, folder
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path / "out" / "merged").score.weight.shape[0] == 2


def test_an_ensemble(model: str, tmp_path: Path) -> None:
    """Members are trainings with seeds of their own: other heads, other orders; the same command does nothing again."""
    data, out = write(tmp_path / "in.jsonl", pairs(16)), tmp_path / "out"
    result = train("rm", data, str(out), options(model, ensemble=3, epochs=2, eval_data=data, seed=4))
    said_ = json.loads((out / "ensemble.json").read_text())
    assert said_["members"] == ["0", "1", "2"] and said_["seeds"] == [4, 5, 6] and said_["score"] == "mean"
    folders = members_of(str(out), "--reward-model")
    heads = [AutoModelForSequenceClassification.from_pretrained(f).score.weight.detach() for f in folders]
    assert all(float((a - b).abs().max()) > 1e-3 for a, b in ((heads[0], heads[1]), (heads[1], heads[2])))
    logs = [map(json.loads, (Path(f) / "metrics.jsonl").read_text().splitlines()) for f in folders]
    own = [[line["eval_margin"] for line in log if "eval_margin" in line][-1] for log in logs]
    assert result.eval["eval_margin"] == pytest.approx(sum(own) / 3) and result.steps == 12
    train("rm", data, str(tmp_path / "one"), options(model, epochs=2, seed=5))
    alone = AutoModelForSequenceClassification.from_pretrained(tmp_path / "one").score.weight
    assert torch.equal(alone, heads[1])
    before = (out / "1" / "model.safetensors").read_bytes()
    again = train("rm", data, str(out), options(model, ensemble=3, epochs=2, eval_data=data, seed=4))
    assert again.resumed_at == 4 and (out / "1" / "model.safetensors").read_bytes() == before
    with pytest.raises(UsageError, match="not for dpo"):
        train("dpo", data, str(tmp_path / "dpo"), options(model, ensemble=2))
