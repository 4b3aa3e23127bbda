"""PD2: does a pair say what it seems to say?"""

from __future__ import annotations

import numpy as np
import polars as pl

from prefdata.checks.facts import Facts, mix
from prefdata.checks.rule import Rule
from prefdata.checks.view import Hits, View

MARKERS = (
    r"(?:^|\n\n)(?:Human|Assistant|User|System|###\s?(?:Human|Assistant|Instruction|Response)):"
    r"|<\|(?:im_start|im_end|eot_id|start_header_id|end_header_id)\|>|\[/?INST\]|<extra_id_1>"
)
"""Turn markers of transcripts and chat templates, at the start of a paragraph or as special tokens."""


def shared_first_turn(v: View) -> list[Hits]:
    chosen, rejected = pl.col("chosen").list, pl.col("rejected").list
    return v.rows((chosen.len() > 1) & (rejected.len() > 1) & (chosen.first() == rejected.first()))


def prefix_answer(v: View) -> list[Hits]:
    sides = pl.DataFrame({c: v.turns(c).last for c in v.answers})
    a, b = pl.col("chosen"), pl.col("rejected")
    prefix = sides.select(((a != b) & (a != "") & (b != "") & (a.str.starts_with(b) | b.str.starts_with(a))).alias("f"))["f"]
    one = (v.turns("chosen").lengths == 1) & (v.turns("rejected").lengths == 1)
    return v.rows(prefix.to_numpy() & one)


def marker_in_answer(v: View) -> list[Hits]:
    return v.where(pl.col("content").str.contains(MARKERS), v.answers)


def swapped_duplicate(f: Facts) -> list[Hits]:
    forth = mix(f.array("prompt"), f.array("chosen"), f.array("rejected"))
    back = mix(f.array("prompt"), f.array("rejected"), f.array("chosen"))
    return opposite(forth, back)


def opposite(forth: np.ndarray, back: np.ndarray) -> list[Hits]:
    """Rows whose key is the reversed key of another row, each with the first such row."""
    at = np.flatnonzero(np.isin(back, forth) & (forth != back))
    if not len(at):
        return []
    first = {int(k): i for i, k in zip(at[::-1].tolist(), forth[at][::-1], strict=True)}
    return [Hits(at, others=np.array([first[int(k)] for k in back[at]], dtype=np.int64))]


def zero_margin(v: View) -> list[Hits]:
    if "margin" not in v.df.columns:
        return []
    tie = (pl.col("p_chosen") == 0.5).fill_null(False) if "p_chosen" in v.df.columns else pl.lit(False)
    return v.rows((pl.col("margin") == 0) & ~tie)


RULES = (
    Rule(
        code="PD201",
        name="identical",
        severity="error",
        message="chosen and rejected are identical",
        reason="A preference between equal texts has no gradient that means anything; it only adds noise to accuracy and margins.",
        bad='"chosen": […"Yes."…], "rejected": […"Yes."…]',
        good='"chosen": […"Yes."…], "rejected": […"No."…]',
        fix="drop the row",
        kinds=("pair",),
    ),
    Rule(
        code="PD202",
        name="shared-first-turn",
        severity="warning",
        message="both answers begin with the same turn, which belongs to the prompt",
        reason="Log-probs of a shared turn cancel out in the loss but cost its length twice, and truncation may cut what differs.",
        bad='"chosen": [A, user, B], "rejected": [A, user, C]',
        good='"prompt": […, A, user], "chosen": [B], "rejected": [C]',
        fix="move the shared turns into the prompt",
        kinds=("pair",),
        row=shared_first_turn,
    ),
    Rule(
        code="PD203",
        name="prefix-answer",
        severity="warning",
        message="one answer is the beginning of the other",
        reason="Such pairs teach length or early stopping; often one answer was cut off by a token limit.",
        bad='"chosen": "Paris is the capital.", "rejected": "Paris"',
        good="two complete answers",
        fix="look whether the shorter answer was truncated; drop the row if so",
        kinds=("pair",),
        row=prefix_answer,
    ),
    Rule(
        code="PD204",
        name="marker-in-answer",
        severity="warning",
        message="an answer contains a turn marker or template token",
        reason="The answer holds another turn: the split was wrong, or the model spoke for the user. Training on it teaches just that.",
        bad='"content": "Sure.\\n\\nHuman: and then?"',
        good='"content": "Sure."',
        fix="split the transcript at its markers, or drop the row",
        row=marker_in_answer,
    ),
    Rule(
        code="PD205",
        name="swapped-duplicate",
        severity="warning",
        message="the same two answers are also preferred the other way round",
        reason="Opposite statements cancel out; decide by majority, or keep them as a soft label.",
        bad="row 1: A over B; row 9: B over A, for one prompt",
        good='one row with "p_chosen": 0.5, or none',
        fix="aggregate the votes before making pairs",
        kinds=("pair",),
        across=swapped_duplicate,
        facts=("prompt", "chosen", "rejected"),
    ),
    Rule(
        code="PD206",
        name="zero-margin",
        severity="warning",
        message="the margin is 0 but the pair has a direction",
        reason="Equal scores are a tie; a direction was invented when the pair was made.",
        bad='"margin": 0',
        good='"margin": 0, "p_chosen": 0.5',
        fix="drop the row, or keep it as a tie (convert --ties soft)",
        kinds=("pair",),
        field="margin",
        row=zero_margin,
    ),
    Rule(
        code="PD212",
        name="soft-label-against-direction",
        severity="error",
        message="p_chosen is below 0.5: the soft label prefers the rejected answer",
        reason="One of the two statements is wrong; a trainer with soft labels and one without would learn opposite preferences.",
        bad='"p_chosen": 0.2',
        good='chosen and rejected exchanged, "p_chosen": 0.8',
        fix="exchange the answers, or correct the probability",
        kinds=("pair",),
        field="p_chosen",
    ),
)
