"""The tokenizer of a trained model is the one that it was trained with, and everything that reads records sees the same tokens."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from prefdata.evaluate.rm_tokens import encoded
from prefdata.rewards.texts import Texts
from prefdata.sampling.local import Job, Local, LocalStats
from prefdata.sampling.policies import Policy
from prefdata.tokens.tokenizer import load
from prefdata.train.run import train
from prefdata.train.store import Store, tokenise
from prefdata.train.words import FILES
from tests.checks.build import pair, write
from tests.train import tiny
from tests.train.build import options, pairs

torch.set_num_threads(1)
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*lr_scheduler.*:UserWarning"),
]
NUMBERS = ["12345 12345", "2024 2024", "12345", "été été"]
"""Tokens of several digits, which the tokenizer of Qwen2 never makes, and composed letters, to which it changes others."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of qwen2 with a tokenizer that is not Qwen2's, with a second end of answers; and what trainings of it leave."""
    at = tmp_path_factory.mktemp("words")
    base = Path(tiny.saved(at / "base", NUMBERS * 20, family="qwen2", hidden=32))
    (base / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 4]}))
    data = write(at / "in.jsonl", pairs(4))
    how: dict[str, Any] = {"max_steps": 1, "batch": 4, "save_every": 1}
    train("sft", data, str(at / "sft"), options(str(base), **how))
    train("rm", data, str(at / "rm"), options(str(base), **how))
    train("rm", data, str(at / "lora"), options(str(base), lora=2, merge=True, **how))
    moved = at / "moved"  # the tokenizer lies elsewhere, and its folder has no weights
    moved.mkdir()
    for name in (*FILES, "generation_config.json"):
        if (base / name).exists():
            shutil.copy(base / name, moved / name)
    config = json.loads((moved / "tokenizer_config.json").read_text())
    (moved / "tokenizer_config.json").write_text(json.dumps({**config, "auto_map": {"AutoTokenizer": ["x.Y", None]}}))
    (base / "generation_config.json").unlink()
    train("sft", data, str(at / "other"), options(str(base), tokenizer=str(moved), **how))
    (base / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 4]}))
    names = ["sft", "sft/checkpoint-1", "rm", "rm/checkpoint-1", "lora", "lora/merged", "other"]
    return {"base": base, **{name: at / name for name in names}}


def test_the_files_are_those_of_the_training(folders: dict[str, Path]) -> None:
    base = folders["base"]
    theirs = AutoTokenizer.from_pretrained(base)("12345 12345")["input_ids"]
    ours = Tokenizer.from_file(str(base / "tokenizer.json")).encode("12345 12345").ids
    assert theirs != ours  # why nothing is saved from there
    for name, folder in folders.items():
        assert (folder / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes(), name
        config = json.loads((folder / "tokenizer_config.json").read_text())
        assert config == json.loads((base / "tokenizer_config.json").read_text()), name
        assert load(str(folder)).templates == load(str(base)).templates, name
        assert load(str(folder)).ends == load(str(base)).ends == {"<|end|>", "<|system|>"}, name


TEXT = st.text(st.sampled_from("12345 0été\u0301\n'sS_<|>"), min_size=1, max_size=20)


@given(st.lists(st.tuples(TEXT, TEXT, TEXT).filter(lambda t: t[1] != t[2]), min_size=5, max_size=20))
@settings(max_examples=2, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
def test_all_see_the_same_tokens(folders: dict[str, Path], texts: list[tuple[str, str, str]]) -> None:
    """train, eval rm, score and generate, over the model's folder and over all that trainings of it leave; and they are those that
    tokenizer.json gives for the rendered text."""
    rows = [pair(f"{c}!", f"{r}?", prompt=f"{p}.") for p, c, r in texts]
    plain = Tokenizer.from_file(str(folders["base"] / "tokenizer.json"))
    wanted = []
    for row in rows:
        prompt, chosen, rejected = (row[k][0]["content"] for k in ("prompt", "chosen", "rejected"))
        parts = (f"<|user|>\n{prompt}<|assistant|>\n", f"{chosen}<|end|>", f"{rejected}<|end|>")
        wanted.append([plain.encode(part, add_special_tokens=False).ids for part in parts])
    frame = pl.DataFrame(rows)
    numbered = frame.with_columns(id=pl.int_range(pl.len()).cast(pl.String))
    for name in ("base", "sft/checkpoint-1", "lora/merged", "other"):
        folder = folders[name]
        store = Store(tokenise(iter([frame]), "pair", str(folder), max_length=None, truncate="drop").table)
        assert [_group(store, i) for i in range(store.size)] == wanted, name
        measured = encoded(iter([numbered]), str(folder), "eos", None).store
        assert [_group(measured, i) for i in range(measured.size)] == wanted, name
        scored = Texts(str(folder), "eos").of([(r["prompt"], [r["chosen"], r["rejected"]], None) for r in rows])
        assert [[t.ids.tolist() for t in some] for some in scored] == [[p + c, p + r] for p, c, r in wanted], name
        if name in ("sft/checkpoint-1", "other"):
            local = Local(policy(str(folder)), 1, LocalStats())
            assert list(local._prompts([Job(r["prompt"], None, []) for r in rows])) == [p for p, _, _ in wanted], name
            assert local.ends == {1, 4}, name


def policy(folder: str) -> Policy:
    draws: dict[str, Any] = {"n": 1, "temperature": 1.0, "top_p": 1.0, "top_k": None, "max_tokens": 4, "seed": 0, "stop": ()}
    return Policy(name="p", model="m", folder=folder, pool="", system=None, thoughts=False, iteration=None, dtype=None, **draws)


def _group(store: Store, i: int) -> list[list[int]]:
    group = store.group(i)
    return [group.prompt.tolist(), *(c.tolist() for c in group.completions)]


def test_nothing_loads_a_tokenizer_by_its_class() -> None:
    """`tokens/tokenizer.py` is the one loader."""
    package = Path(__file__).parents[2] / "prefdata"
    for path in package.rglob("*.py"):
        assert not re.search(r"import .*AutoTokenizer|AutoTokenizer,", path.read_text(encoding="utf-8")), path
