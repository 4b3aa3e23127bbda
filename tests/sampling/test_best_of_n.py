"""Best of eight by a reward model that was trained on real pairs: it gains what order statistics say for the spread of its scores."""

from __future__ import annotations

from itertools import pairwise
from math import comb
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import prefdata
from tests.checks.build import listwise, write
from tests.train import tiny

pytest.importorskip("torch")
HH = Path(__file__).parents[2] / "examples" / "data" / "hh_rlhf_harmless" / "harmless_base_test_part.jsonl.gz"
PROMPTS, POOL, N = 24, 64, 8


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For each of 24 real prompts 64 real answers (of all prompts), in lists of 8, with the scores of a reward model."""
    folder = tmp_path_factory.mktemp("best")
    prefdata.convert(str(HH), str(folder / "pairs.parquet"))
    pairs = prefdata.read(str(folder / "pairs.parquet")).filter(pl.col("prompt").list.len() == 1)
    answers = sorted({row[0]["content"] for side in ("chosen", "rejected") for row in pairs[side].to_list()}, key=len)[:POOL]
    prompts = sorted({row[0]["content"] for row in pairs["prompt"].to_list()}, key=len)[:PROMPTS]
    tiny.saved(folder / "model", [*answers, *prompts], hidden=32)
    how = {"batch": 16, "learning_rate": 2e-3, "max_length": 128, "limit": 300}
    prefdata.train_model("rm", str(folder / "pairs.parquet"), str(folder / "rm"), model=str(folder / "model"), **how)
    order = np.random.default_rng(0).permuted(np.tile(np.arange(len(answers)), (PROMPTS, 1)), axis=1)
    cuts = list(pairwise(range(0, len(answers) + 1, N)))
    rows = [listwise(*(answers[i] for i in mine[a:b]), prompt=p) for p, mine in zip(prompts, order, strict=True) for a, b in cuts]
    write(folder / "lists.jsonl", rows)
    prefdata.score(str(folder / "lists.jsonl"), str(folder / "scored.parquet"), reward_model=str(folder / "rm"))
    return folder


def expected_best(scores: np.ndarray) -> float:
    """The mean of the best of 8 drawn without replacement from all scores of a prompt: sum of r_(i) C(i - 1, 7) / C(m, 8)."""
    m = len(scores)
    return sum(r * comb(i, N - 1) / comb(m, N) for i, r in enumerate(np.sort(scores)))


def test_the_gain_is_that_of_order_statistics(scored: Path) -> None:
    lists = prefdata.read(str(scored / "scored.parquet"))
    score, said = pl.element().struct.field("score"), pl.col("prompt").list.get(0).struct.field("content")
    flat = lists.select(prompt=said, score=pl.col("completions").list.eval(score))
    by_prompt = flat.explode("score").group_by("prompt", maintain_order=True).agg("score")
    all_scores = [np.array(s) for s in by_prompt["score"].to_list()]
    assert {len(s) for s in all_scores} == {POOL}
    found = prefdata.select(str(scored / "scored.parquet"), str(scored / "best.parquet"), method="top-k", k=1)
    best = prefdata.read(str(scored / "best.parquet"))
    groups = POOL // N
    assert best.height == PROMPTS * groups
    gain = float(best["score"].mean()) - float(np.mean([s.mean() for s in all_scores]))  # type: ignore[arg-type]
    wanted = float(np.mean([expected_best(s) - s.mean() for s in all_scores]))
    spread = float(np.mean([s.std() for s in all_scores]))
    error = float(np.std([max(g) for g in flat["score"].to_list()])) / np.sqrt(best.height)
    assert abs(gain - wanted) < 4 * error
    assert 1.0 * spread < gain < 1.9 * spread  # 1.42 if scores were normal
    assert found.exit_code == 0
