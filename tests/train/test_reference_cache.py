"""The cached reference, through whole trainings: computed anew for everything that it depends on, and never without need."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from prefdata.train.reference import key_of
from prefdata.train.run import train
from prefdata.train.store import Store
from tests.checks.build import write
from tests.train import tiny
from tests.train.build import WORDS, lines, options, pairs
from tests.train.test_trl import a_store

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore:.*lr_scheduler.*:UserWarning")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    """A model, records, and the folder of a training on them."""
    folder = tmp_path_factory.mktemp("first")
    model = tiny.saved(folder / "model", WORDS, hidden=32)
    data = write(folder / "in.jsonl", pairs(8))
    train("dpo", data, str(folder / "out"), options(model, max_steps=1))
    return model, data, folder / "out"


def kept(out: Path) -> dict[str, int]:
    """The kept reference log-probs and when they were written."""
    return {p.name: p.stat().st_mtime_ns for p in (out / "cache").glob("reference-*.arrow")}


def again(first: tuple[str, str, Path], tmp_path: Path, change: Callable[[Path], None] | None = None, **more: Any) -> tuple[Path, Path]:
    """The same training in a copy of its folder, after a change to the model's folder or with other options."""
    model, data, out = first
    copy, place = tmp_path / "model", tmp_path / "out"
    shutil.copytree(model, copy)
    shutil.copytree(out, place)
    if change:
        change(copy)
    train("dpo", data, str(place), options(str(copy), **{"max_steps": 1, "force": True, **more}))
    return out, place


def other_tokens(folder: Path) -> None:
    """Two merges of the tokenizer are gone: some words are more tokens now."""
    path = folder / "tokenizer.json"
    said = json.loads(path.read_text())
    said["model"]["merges"] = said["model"]["merges"][:-3]
    path.write_text(json.dumps(said))


def other_template(folder: Path) -> None:
    """A colon before what users say."""
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text().replace("{{ m['content'] }}", "{% if m['role'] == 'user' %}: {% endif %}{{ m['content'] }}"))


def other_weights(folder: Path) -> None:
    """One number of one weight moves a little."""
    path = str(folder / "model.safetensors")
    weights = load_file(path)
    weights["model.norm.weight"][0] += 1e-3
    save_file(weights, path, metadata={"format": "pt"})


def other_norm(folder: Path) -> None:
    """No weight, and yet another model."""
    path = folder / "config.json"
    said = json.loads(path.read_text())
    said["rms_norm_eps"] = 1e-3
    path.write_text(json.dumps(said))


CHANGES: dict[str, dict[str, Any]] = {
    "tokenizer file": {"change": other_tokens},
    "chat template": {"change": other_template},
    "weights": {"change": other_weights},
    "configuration": {"change": other_norm},
    "length": {"max_length": 16, "truncate": "completion"},
    "dtype": {"dtype": "bfloat16"},
    "layout": {"layout": "padded"},
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_makes_it_anew(first: tuple[str, str, Path], tmp_path: Path, what: str) -> None:
    """Another file of log-probs, and the training begins at ln 2: a stale reference would not."""
    before, after = again(first, tmp_path, **CHANGES[what])
    assert len(kept(after)) == len(kept(before)) + 1, what
    assert lines(after)[0]["loss"] == pytest.approx(0.693147, abs=0.01 if what == "dtype" else 1e-4)


def test_how_it_is_cut_makes_it_anew(first: tuple[str, str, Path], tmp_path: Path) -> None:
    _, place = again(first, tmp_path, max_length=16, truncate="completion")
    model, data, _ = first
    before = kept(place)
    train("dpo", data, str(place), options(model, max_steps=1, force=True, max_length=16, truncate="prompt"))
    assert len(kept(place)) == len(before) + 1


def test_another_reference_model(first: tuple[str, str, Path], tmp_path: Path) -> None:
    """`--reference`: its weights are in the key, and its log-probs in the rewards."""
    other = tiny.saved(tmp_path / "other", WORDS, hidden=32, seed=5)
    before, after = again(first, tmp_path, reference=other, loss_args="beta=1")
    assert len(kept(after)) == len(kept(before)) + 1 and abs(lines(after)[0]["rewards/chosen"]) > 0.01


SAME: dict[str, dict[str, Any]] = {
    "learning rate": {"learning_rate": 1e-4},
    "loss": {"loss": "ipo"},
    "beta": {"loss_args": "beta=0.5"},
    "ld-alpha": {"ld_alpha": 0.0},
    "batch": {"batch": 4, "micro_tokens": 50},
    "seed": {"seed": 7},
    "adapter": {"lora": 4},
    "copy of the folder": {},
    "longer limit that cuts nothing": {"max_length": 2000},
}


@pytest.mark.parametrize("what", SAME)
def test_what_leaves_it(first: tuple[str, str, Path], tmp_path: Path, what: str) -> None:
    """The same file, untouched. With another `--ld-alpha` its tokens are summed anew: policy and reference still agree at the start."""
    before, after = again(first, tmp_path, **SAME[what])
    assert kept(after) == kept(before), what
    first_line = lines(after)[0]
    assert first_line["rewards/margins"] == pytest.approx(0, abs=1e-4) and first_line["rewards/chosen"] == pytest.approx(0, abs=1e-4)


def test_the_key_is_of_tokens_and_not_of_memory() -> None:
    """The same rows give the same key as a slice, a filtered or a rebuilt table; other rows of the same memory another one."""
    whole, model = a_store(300), tiny.model(vocabulary=300)
    some = whole.table.slice(2, 3)
    mask = pa.array([False, False, True, True, True, False])
    rebuilt = pa.Table.from_pylist(some.to_pylist(), whole.table.schema)
    keys = [key_of(Store(t), model, "shared") for t in (some, whole.table.filter(mask), rebuilt)]
    assert len(set(keys)) == 1
    assert len({*keys, key_of(whole, model, "shared"), key_of(Store(whole.table.slice(1, 3)), model, "shared")}) == 3
