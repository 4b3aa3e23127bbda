"""A local reward model as a judge (`--judge rm:FOLDER`): a sequence classifier with one output scores every completion.

Only a folder on this machine is loaded, only safetensors, and no code of the folder runs (`prefdata/rewards`). Scores need no journal: they
cost time, no money, and are the same again. p(i better than j) = σ(r_i − r_j), the Bradley–Terry model that reward models are trained with.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import exp
from typing import Any

from prefdata.errors import UsageError
from prefdata.judges.settle import Settled
from prefdata.judges.statement import Row, Statement, Verdict
from prefdata.rewards.folder import look
from prefdata.rewards.load import RewardModel, needs_torch
from prefdata.rewards.load import load as loaded

Turns = list[dict[str, Any]]


def check_folder(folder: str) -> None:
    """What can be seen without loading it. Raises UsageError."""
    where = f"--judge rm:{folder}"
    found = look(folder, where)
    if found.head == "score" and found.outputs != 1:
        raise UsageError(f"{where}: it has {found.outputs} outputs; a reward model that judges has one ('prefdata score' takes several)")
    needs_torch("--judge rm:FOLDER")


def annotator_of(folder: str) -> str:
    return f"rm:{os.path.basename(os.path.abspath(folder))}"


def load(folder: str) -> RewardModel:
    """The model. Raises UsageError when the folder has no reward model, InputError when it cannot be read."""
    check_folder(folder)
    return loaded(folder, f"--judge rm:{folder}")


def statements(rm: RewardModel, rows: Sequence[Row], kind: str) -> list[list[Statement]]:
    """The scores of all candidates of each record, as statements."""
    from prefdata.rewards.scores import room_of, scores

    made = rm.texts.of([(row["prompt"], candidates(row, kind), row.get("tools")) for row in rows])
    texts = [(r, c, text) for r, some in enumerate(made) for c, text in enumerate(some)]
    found, why = scores(rm, [text for _, _, text in texts], room_of(rm.model))
    out: list[list[Statement]] = [[] for _ in rows]
    for (r, c, _), score, reason in zip(texts, found[:, 0].tolist(), why, strict=True):
        verdict = Verdict(score=score) if reason is None else Verdict("invalid", reason)
        out[r].append(Statement(annotator_of(rm.folder.path), (c,), verdict, kind="reward_model"))
    return out


def candidates(row: Row, kind: str) -> list[Turns]:
    if kind == "pair":
        return [row["chosen"], row["rejected"]]
    return [row["completion"]] if kind == "binary" else [c["messages"] for c in row["completions"]]


def settle_scores(said: Sequence[Statement], i: int, j: int) -> Settled:
    """p = σ(r_i − r_j); equal scores are a tie."""
    by_place = {s.shown[0]: s.verdict for s in said}
    a, b = by_place[i], by_place[j]
    if a.score is None or b.score is None:
        return Settled("undecided", None, a.why or b.why or "unscored")
    if a.score == b.score:
        return Settled("tie", 0.5, "tie")
    p = 1 / (1 + exp(-max(-700.0, min(700.0, a.score - b.score))))
    return Settled("first" if a.score > b.score else "second", p, None)
