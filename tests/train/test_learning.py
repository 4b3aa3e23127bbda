"""Small models learn from real pairs: benchmarks/learning.py, shrunken to seconds. Its figures in full stand in docs/learning.md."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*lr_scheduler.*:UserWarning"),
]


@pytest.fixture
def learning(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, and its neighbours as `rows_of` and so on."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    import learning

    return learning


def test_a_reward_model_beats_the_longer_answer(learning: Any, real: Callable[[str], Path], tmp_path: Path) -> None:
    """From scratch, on pairs of people, measured on prompts that it has not seen; the whole interval lies above the rule."""
    data = learning.rows_of.hh(real("hh_rlhf_harmless/harmless_base_test_part.jsonl.gz").parents[1], tmp_path)
    found = learning.reward_model("hh", data, tmp_path, learning_rate=1e-3, max_length=192, truncate="prompt", limit=800)
    held = found["held_out"]["new prompts"]
    assert found["pairs"] > 700 and held["accuracy"]["n"] > 400
    assert held["accuracy"]["low"] > held["longest"]["value"] + 0.02
    assert held["longest"]["wins"] > held["longest"]["losses"] and held["longest"]["p_value"] < 0.001


def test_dpo_learns_the_labels_and_what_is_wrong_in_them(learning: Any, real: Callable[[str], Path], tmp_path: Path) -> None:
    """SFT, then DPO: implicit rewards of unseen prompts agree with the labels; after DPO on flipped labels they disagree as much."""
    source = real("model_written_evals/persona.jsonl.gz").parents[1]
    data = learning.rows_of.evals(source, tmp_path, train=1500, sft=500, held_out=600)
    learning.sft(data, tmp_path)
    kinds = {"DPO": ({"dpo": 1}, False), "all labels flipped": ({"dpo": 1}, True)}
    found = learning.policies("evals", data, tmp_path, kinds=kinds, prompts=0, tokens=0, epochs=1, learning_rate=1e-3)
    sft, dpo, flipped = found["policies"]
    assert sft["accuracy"]["value"] == 0.5
    assert dpo["accuracy"]["low"] > 0.55
    assert flipped["accuracy"]["high"] < 0.45
