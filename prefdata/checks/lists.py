"""PD3: listwise records (and scores of binary ones)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl

from prefdata.checks.rule import Rule
from prefdata.checks.view import Hits, Ints, Turns, View

METHODS: tuple[Literal["min", "max", "average", "dense"], ...] = ("min", "max", "average", "dense")
"""Ways to count ties: 1, 2, 2, 4; 1, 3, 3, 4; 1, 2.5, 2.5, 4; 1, 2, 2, 3."""


def one_candidate(v: View) -> list[Hits]:
    return v.rows(pl.col("completions").list.len() < 2)


def _candidates(v: View) -> pl.DataFrame:
    """The candidates of all records, flat, with `row`."""
    lists = v.df["completions"]
    flat = lists.list.explode(keep_nulls=False, empty_as_null=False).struct.unnest()
    return flat.with_columns(row=np.repeat(np.arange(len(v)), lists.list.len().to_numpy()))


def rank_gaps(v: View) -> list[Hits]:
    ranks = _candidates(v).select("row", "rank")
    if ranks["rank"].null_count() == len(ranks):
        return []
    per = ranks.group_by("row").agg(none=pl.col("rank").null_count(), n=pl.len())
    partly = per.filter((pl.col("none") > 0) & (pl.col("none") < pl.col("n")))["row"]
    ranks = ranks.filter(pl.col("rank").is_not_null() & ~pl.col("row").is_in(partly.implode())).sort("row", "rank")
    row, rank = ranks["row"].to_numpy(), ranks["rank"].to_numpy()
    place = np.arange(len(row)) - np.searchsorted(row, row) + 1
    odd = ranks.filter(pl.col("row").is_in(pl.Series(np.unique(row[rank != place])).implode()))  # most are 1, 2, 3, …
    as_ranked = [(pl.col("rank") == pl.col("rank").rank(m).over("row")).all().over("row").alias(m) for m in METHODS]
    wrong = odd.filter(~odd.select(pl.any_horizontal(as_ranked).alias("f"))["f"])["row"]
    return [*_rows(wrong, "not 1, 2, 3, … with ties"), *_rows(partly, "some candidates have none")]


def _rows(rows: pl.Series, note: str | None = None) -> list[Hits]:
    found: Ints = np.unique(rows.to_numpy()).astype(np.int64)
    return [Hits(found, note=note)] if len(found) else []


def score_range(v: View, low: float = -np.inf, high: float = np.inf) -> list[Hits]:
    outside = (pl.col("score") < low) | (pl.col("score") > high)
    if v.kind == "listwise":
        return [h._replace(field="completions") for h in _rows(_candidates(v).filter(outside)["row"])]
    return v.rows(outside, "score") if "score" in v.df.columns else []


def equal_candidates(v: View) -> list[Hits]:
    flat = _candidates(v)
    turns = Turns(flat["messages"])
    flat = flat.with_columns(key=turns.key)
    same = flat.filter(pl.len().over("row", "key") > 1)
    if "tool_calls" in turns.flat.columns and same.height:  # the key is of roles and texts only
        same = same.filter(pl.len().over("row", "messages") > 1)
    value = pl.struct("score", "rank").n_unique().over("row", "key") > 1
    differ = same.filter(value)["row"] if same.height else same["row"]
    rest = same.filter(~pl.col("row").is_in(differ.implode()))["row"]
    return [*_rows(differ, "with different scores or ranks"), *_rows(rest)]


def score_against_rank(v: View) -> list[Hits]:
    both = _candidates(v).filter(pl.col("score").is_not_null() & pl.col("rank").is_not_null())
    if not both.height:
        return []
    levels = both.group_by("row", "rank").agg(low=pl.col("score").min(), high=pl.col("score").max()).sort("row", "rank")
    below = levels.shift(-1)
    # if no level is against the next one, none is against any
    wrong = levels.select(((pl.col("row") == below["row"]) & (pl.col("low") < below["high"])).fill_null(False).alias("f"))["f"]
    return _rows(levels.filter(wrong)["row"])


def undecided(v: View) -> list[Hits]:
    score, rank = pl.col("score").is_not_null(), pl.col("rank").is_not_null()
    decided = _candidates(v).filter(score | rank)
    counted = decided.group_by("row").agg(pl.len(), mixed=~score.all() & ~rank.all())
    counts, mixed = np.zeros(len(v), dtype=np.int64), counted.filter((pl.col("len") > 1) & pl.col("mixed"))["row"]
    counts[counted["row"].to_numpy()] = counted["len"].to_numpy()
    few = np.flatnonzero((counts < 2) & (v.df["completions"].list.len() > 1).to_numpy())
    return [*_rows(pl.Series(few)), *_rows(mixed, "some have only a score, others only a rank")]


RULES = (
    Rule(
        code="PD301",
        name="one-candidate",
        severity="warning",
        message="there are fewer than two candidates",
        reason="A list of one says nothing about preference.",
        bad='"completions": [A]',
        good='"completions": [A, B]',
        fix="drop the record, or sample more candidates",
        kinds=("listwise",),
        field="completions",
        row=one_candidate,
    ),
    Rule(
        code="PD304",
        name="rank-gaps",
        severity="warning",
        message="the ranks of the candidates are no ranking",
        reason="Ranks from 0, with gaps or only for some candidates come from lists that lost candidates or from values that are no ranks; "
        "margins made of them mean nothing.",
        bad="ranks 0, 1, 2; or 1, 2, 5; or 1, null, 3",
        good="ranks 1, 2, 3; with ties 1, 2, 2, 4 or 1, 2, 2, 3 or 1, 2.5, 2.5, 4",
        fix="rank the candidates that are left again",
        kinds=("listwise",),
        field="completions",
        row=rank_gaps,
    ),
    Rule(
        code="PD305",
        name="score-range",
        severity="warning",
        message="a score lies outside of its scale",
        reason="Typing errors and mixed scales (1 to 5 and 1 to 10) make the largest margins, which pair building prefers.",
        bad='"score": 10, on a scale of 1 to 5 (PD305.low=1, PD305.high=5)',
        good='"score": 5',
        fix="look the score up at the source, or drop the record",
        kinds=("binary", "listwise"),
        row=score_range,
    ),
    Rule(
        code="PD307",
        name="equal-candidates",
        severity="warning",
        message="the same answer stands twice in one list",
        reason="No pair can be made of equal answers; where their scores differ, at least one of them is wrong.",
        bad='"completions": [A with score 4, A with score 2, B]',
        good='"completions": [A with score 3, B]',
        fix="merge the candidates (mean of the scores), or drop one",
        kinds=("listwise",),
        field="completions",
        row=equal_candidates,
    ),
    Rule(
        code="PD308",
        name="score-against-rank",
        severity="warning",
        message="a candidate with a better rank has a lower score",
        reason="Scores and ranks are two statements on one preference; pairs follow one of them and contradict the other.",
        bad="rank 1 with score 2, rank 2 with score 4",
        good="rank 1 with score 4, rank 2 with score 2",
        fix="check whether rank 1 is the best and a high score is good; keep only the one that you trust",
        kinds=("listwise",),
        field="completions",
        row=score_against_rank,
    ),
    Rule(
        code="PD310",
        name="undecided",
        severity="info",
        message="fewer than two candidates have a score or a rank, so no pair can be made",
        reason="Such a record is not used when pairs are made; nothing is wrong where its labels are still to come.",
        bad='"completions": [A, B], both without score and rank',
        good='"completions": [A with rank 1, B with rank 2]',
        fix="score or rank the candidates, or decide from the annotations",
        kinds=("listwise",),
        field="completions",
        row=undecided,
    ),
)
