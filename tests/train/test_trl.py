"""The same model and batch give TRL's loss and gradients, in every layout and for two model families (float32)."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from datasets import Dataset

from prefdata.train.layout import Group, laid_out
from prefdata.train.mix import mix_of
from prefdata.train.model import attach, scores, token_logps
from prefdata.train.reference import computed
from prefdata.train.reward_task import RewardTask
from prefdata.train.store import SCHEMA, Store
from prefdata.train.task import PolicyTask
from tests.train import tiny

LAYOUTS = ("shared", "packed", "padded")
ROWS = [{"prompt": "a", "chosen": "b c", "rejected": "d"}] * 2


def a_store(vocabulary: int, seed: int = 0) -> Store:
    """Six pairs of random tokens, prompts of 3-40 and answers of 1-30, each ending with token 1."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(6):
        answers = [[*rng.integers(5, vocabulary, rng.integers(1, 30)).tolist(), 1] for _ in range(2)]
        numbers: dict[str, Any] = {"p_chosen": None, "margin": 0.5 * i, "weight": None, "label": None}
        prompt = rng.integers(5, vocabulary, rng.integers(3, 40)).tolist()
        rows.append({"id": str(i), "source": "s", "prompt": prompt, "completions": answers, "scores": [], **numbers})
    return Store(pa.Table.from_pylist(rows, SCHEMA))


def groups_of(store: Store) -> list[Group]:
    return [store.group(i) for i in range(store.size)]


def as_trl(store: Store) -> dict[str, torch.Tensor]:
    """Chosen rows, then rejected rows, right-padded: what TRL's collator makes."""
    groups = groups_of(store)
    rows = [(g.prompt, g.completions[k]) for k in (0, 1) for g in groups]
    longest = max(len(p) + len(c) for p, c in rows)
    ids, mask, scored = (torch.zeros(len(rows), longest, dtype=torch.long) for _ in range(3))
    for i, (p, c) in enumerate(rows):
        ids[i, : len(p) + len(c)] = torch.from_numpy(np.concatenate([p, c]).astype(np.int64))
        mask[i, : len(p) + len(c)] = 1
        scored[i, len(p) : len(p) + len(c)] = 1
    return {"input_ids": ids, "attention_mask": mask, "completion_mask": scored}


def close(ours: list[torch.Tensor | None], theirs: list[torch.Tensor | None]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize(
    ("name", "theirs", "options"),
    [("dpo", "sigmoid", {"beta": 0.1}), ("hinge", "hinge", {"beta": 0.1}), ("nca", "nca_pair", {"beta": 0.1})],
)
def test_dpo(family: str, name: str, theirs: str, options: dict[str, float], tmp_path: Path) -> None:
    from trl import DPOConfig, DPOTrainer

    words = tiny.tokenizer(["a b c d"], 300)
    policy, reference = (tiny.model(family, len(words), seed=s) for s in (0, 1))
    args = DPOConfig(
        output_dir=str(tmp_path), bf16=False, use_cpu=True, gradient_checkpointing=False, loss_type=[theirs], report_to=[], **options
    )
    trainer = DPOTrainer(
        copy.deepcopy(policy), copy.deepcopy(reference), args=args, train_dataset=Dataset.from_list(ROWS), processing_class=words
    )
    store = a_store(len(words))
    peer = trainer.model.train()
    loss = trainer.compute_loss(peer, as_trl(store))
    loss.backward()
    wanted = [p.grad for p in peer.parameters()]
    attach(policy, token_logps)
    for layout in LAYOUTS:
        policy.zero_grad()
        task = PolicyTask(store, mix_of({name: 1.0}, dict(options), "pair"), layout, computed(store, reference, layout, budget=100))
        part = task.part(list(range(store.size)), torch.device("cpu"))
        ours = task.losses(part.columns, task.values(policy, part)).mean()
        ours.backward()  # type: ignore[no-untyped-call]
        assert float(ours) == pytest.approx(float(loss), abs=1e-5), layout
        assert close([p.grad for p in policy.parameters()], wanted) < 1e-5, layout


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_reward_model(family: str, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    words = tiny.tokenizer(["a b c d"], 300)
    tiny.model(family, len(words)).save_pretrained(tmp_path)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=1, dtype=torch.float32)
    config = RewardConfig(
        output_dir=str(tmp_path), bf16=False, use_cpu=True, gradient_checkpointing=False, report_to=[], center_rewards_coefficient=0.01
    )
    trainer = RewardTrainer(copy.deepcopy(model), args=config, train_dataset=Dataset.from_list(ROWS), processing_class=words)
    store = a_store(len(words))
    inputs = as_trl(store)
    inputs.pop("completion_mask")
    inputs["margin"] = torch.tensor(store.numbers("margin", 0.0), dtype=torch.float32)
    peer = trainer.model.train()
    loss = trainer.compute_loss(peer, inputs)
    loss.backward()
    wanted = [p.grad for p in peer.parameters()]
    attach(model, scores)
    for layout in LAYOUTS:
        model.zero_grad()
        task = RewardTask(store, layout, kind="pair", center=0.01)
        part = task.part(list(range(store.size)), torch.device("cpu"))
        ours = task.losses(part.columns, task.values(model, part)).mean()
        ours.backward()  # type: ignore[no-untyped-call]
        assert float(ours) == pytest.approx(float(loss), abs=1e-5), layout
        assert close([p.grad for p in model.parameters()], wanted) < 1e-5, layout


def test_layouts_agree_in_token_logps() -> None:
    """Each layout gives the same number for each token, whatever stands beside it in the row."""
    store = a_store(300)
    model = tiny.model("qwen2", 300).eval()
    with torch.no_grad():
        together = [token_logps(model, laid_out(groups_of(store), layout)) for layout in LAYOUTS]
        apart = torch.cat([token_logps(model, laid_out([g], "padded")) for g in groups_of(store)])
    for found in together:
        assert float((found - apart).abs().max()) < 1e-5
