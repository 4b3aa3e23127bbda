"""PD5: what stands in two splits, or in two files. A group is a split where a row states one, else its file; the parts of one split (files
that differ in a shard number only) are one group. Rows of the training split, or else of the larger group, are not flagged."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from prefdata.checks.facts import Facts
from prefdata.checks.rule import Rule
from prefdata.checks.view import Hits, Ints

SPLIT = re.compile(
    r"(?<![a-z])(?:(train(?:ing)?)|(valid(?:ation)?|val|dev)|(test(?:ing)?)|(eval(?:uation)?)|(held[-_]?out|holdout))(?![a-z])"
)
SPLITS = ("train", "validation", "test", "eval", "held-out")
SHARD = re.compile(r"[-_.]?(?:(?:part|shard|chunk)[-_.]?)?\d+-of-\d+|[-_.]?(?:part|shard|chunk)[-_.]?\d+|(?<![^/])\d{3,}(?=\.)")


def group_name(name: str) -> str:
    """The split that a name (rather than its folder) speaks of: train_prefs, data/test-00001-of-00004.parquet; else the name without a
    shard number."""
    found = list(SPLIT.finditer(name.lower()))
    return SPLITS[(found[-1].lastindex or 1) - 1] if found else SHARD.sub("", name)


class Groups(NamedTuple):
    """The rank of each row's group (train first, then the largest), and by rank the name of a group that is a split, else None."""

    rank: Ints
    splits: list[str | None]


def groups(f: Facts) -> Groups:
    there = f.names[0][: f.names[0].rfind("/") + 1]
    while not all(n.startswith(there) for n in f.names):  # folders that all files share tell nothing
        there = there[: there.rstrip("/").rfind("/") + 1]
    found = f.df.group_by("file", "split", maintain_order=True).len().with_columns(pl.col("split").cast(pl.String).alias("said"))
    said = found.select("file", "said").iter_rows()
    names = [group_name(f.names[file].removeprefix(there) if split is None else split) for file, split in said]
    found = found.with_columns(pl.Series("name", names))
    sizes = found.group_by("name", maintain_order=True).agg(pl.col("len").sum(), pl.col("said").is_not_null().any())
    sizes = sizes.sort(pl.col("name") != "train", -pl.col("len").cast(pl.Int64), maintain_order=True).with_row_index("rank")
    ranks = found.join(sizes.select("name", "rank"), on="name").select("file", "split", "rank")
    of_rows = f.df.select("file", "split").join(ranks, on=["file", "split"], how="left", nulls_equal=True, maintain_order="left")
    splits = [name if said else None for name, said in sizes.select("name", "said").iter_rows()]
    return Groups(of_rows["rank"].to_numpy().astype(np.int64), splits)


def overlap(keys: np.ndarray[Any, Any], rank: Ints) -> tuple[Ints, Ints]:
    """The rows whose key also occurs in a group of a lower rank, and for each the first row of the lowest such group."""
    order = np.argsort(keys, kind="stable")
    new = np.concatenate([[True], np.diff(keys[order]) != 0])
    starts, key = np.flatnonzero(new), np.cumsum(new) - 1
    lowest = np.minimum.reduceat(rank[order], starts)[key]
    later = rank[order] > lowest
    home = np.flatnonzero(~later)
    first = order[home[np.unique(key[home], return_index=True)[1]]]
    rows, others = order[later], first[key[later]]
    by_row = np.argsort(rows)
    return rows[by_row], others[by_row]


def _hits(groups: Groups, rows: Ints, others: Ints) -> list[Hits]:
    """Flagged rows by the group that they overlap with."""
    home = groups.rank[others]
    notes = [(g, groups.splits[g]) for g in np.unique(home).tolist()]
    return [Hits(rows[home == g], others=others[home == g], note=f"in {name}" if name else None) for g, name in notes]


def _same(f: Facts, fact: str) -> list[Hits]:
    found = groups(f)
    return _hits(found, *overlap(f.array(fact), found.rank)) if len(found.splits) > 1 else []


def prompt_overlap(f: Facts) -> list[Hits]:
    return _same(f, "prompt")


def prompt_overlap_loose(f: Facts) -> list[Hits]:
    found = groups(f)
    if len(found.splits) < 2:
        return []
    rows, others = overlap(f.array("loose_prompt"), found.rank)
    new = ~np.isin(rows, overlap(f.array("prompt"), found.rank)[0])
    return _hits(found, rows[new], others[new])


def record_overlap(f: Facts) -> list[Hits]:
    return _same(f, "id")


def answer_overlap(f: Facts, min_bytes: int = 100) -> list[Hits]:
    found = groups(f)
    at = np.flatnonzero((f["best_bytes"] >= min_bytes).fill_null(False).to_numpy())
    if len(found.splits) < 2 or not len(at):
        return []
    rows, others = overlap(f["best"].gather(at).to_numpy(), found.rank[at])
    return _hits(found, at[rows], at[others])


RULES = (
    Rule(
        code="PD501",
        name="prompt-overlap",
        severity="warning",
        message="the prompt also occurs in another split or file",
        reason="What was trained on the prompt is then also measured on it, and the result is too good.",
        bad="train: prompt A; test: prompt A with other answers",
        good="all rows of prompt A in one split",
        fix="split by prompt, not by row; drop the row from the smaller side",
        field="prompt",
        across=prompt_overlap,
        facts=("prompt",),
        groups=True,
    ),
    Rule(
        code="PD502",
        name="prompt-overlap-loose",
        severity="warning",
        message="but for case, white space and punctuation the prompt also occurs in another split or file",
        reason="A prompt that was trimmed or typed again leaks as much as an exact copy.",
        bad='train: "What is DPO?"; test: "what is DPO"',
        good="both in one split",
        fix="split by prompt after leaving out case, white space and punctuation; drop the row from the smaller side",
        field="prompt",
        across=prompt_overlap_loose,
        facts=("prompt", "loose_prompt"),
        groups=True,
    ),
    Rule(
        code="PD503",
        name="record-overlap",
        severity="error",
        message="the record also occurs in another split or file",
        reason="A record that is trained on and tested on measures memory.",
        bad="the same prompt, chosen and rejected in train and in test",
        good="the record in one of them",
        fix="drop the row from the smaller side",
        across=record_overlap,
        facts=("id",),
        groups=True,
    ),
    Rule(
        code="PD504",
        name="answer-overlap",
        severity="info",
        message="the preferred answer also occurs in another split or file",
        reason="A long answer that occurs twice is a copied row whose prompt was changed, or a template.",
        bad="train and test with the same answer of 900 bytes to two prompts",
        good="each answer in one split",
        fix="look at both rows; drop one where they are copies",
        on=False,
        across=answer_overlap,
        facts=("best", "best_bytes"),
        groups=True,
    ),
)
