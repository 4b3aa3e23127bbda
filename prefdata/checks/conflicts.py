"""Rules of PD2 and PD3 about rows that contradict each other: the other way round, in a circle, or with the other label."""

from __future__ import annotations

import numpy as np
import polars as pl

from prefdata.checks.facts import Facts, mix
from prefdata.checks.rule import Rule
from prefdata.checks.view import Hits, Ints, Mask

ROUNDS = 50
"""So often edges that are on no cycle are cut away for all prompts at once; what is left then (a long chain) is walked."""


def swapped_duplicate(f: Facts) -> list[Hits]:
    return opposite(*_both_ways(f, ""))


def contradiction(f: Facts) -> list[Hits]:
    exact = {i for h in swapped_duplicate(f) for i in h.rows.tolist()}
    out = []
    for rows, _, _, _, others in opposite(*_both_ways(f, "loose_")):
        assert others is not None
        left = np.array([i not in exact for i in rows.tolist()], dtype=bool)
        out.append(Hits(rows[left], others=others[left]))
    return [h for h in out if len(h.rows)]


def both_labels(f: Facts) -> list[Hits]:
    key, label = mix(f.array("prompt"), f.array("completion")), f.array("label").astype(np.uint64)
    return opposite(mix(key, label), mix(key, 1 - label))


def _both_ways(f: Facts, loose: str) -> tuple[np.ndarray, np.ndarray]:
    prompt, chosen, rejected = (f.array(loose + c) for c in ("prompt", "chosen", "rejected"))
    return mix(prompt, chosen, rejected), mix(prompt, rejected, chosen)


def opposite(forth: np.ndarray, back: np.ndarray) -> list[Hits]:
    """Rows whose key is the reversed key of another row, each with the first such row."""
    keys = pl.DataFrame({"forth": forth, "back": back})
    at = np.flatnonzero(
        keys.select((pl.col("back").is_in(pl.col("forth").implode()) & (pl.col("forth") != pl.col("back"))).alias("f"))["f"]
    )
    return [Hits(at, others=at[_first(forth[at], back[at])])] if len(at) else []


def _first(keys: np.ndarray, wanted: np.ndarray) -> Ints:
    """Where each wanted key first stands; every one does."""
    there, first = np.unique(keys, return_index=True)
    return first[np.searchsorted(there, wanted)]


def preference_cycle(f: Facts) -> list[Hits]:
    """An edge goes from the answer that more rows prefer to the one that fewer do, so answers that were preferred both ways equally often
    are undecided. An edge is on a cycle when both its ends are in one strongly connected component."""
    prompts = pl.DataFrame({"p": f["prompt"]})
    at = np.flatnonzero(prompts.select((pl.len().over("p") > 2).alias("f"))["f"].to_numpy())
    if not len(at):
        return []
    prompt = f.array("prompt")[at]
    better, worse = mix(prompt, f.array("chosen")[at]), mix(prompt, f.array("rejected")[at])
    won = _by_majority(better, worse)
    at, better, worse = at[won], better[won], worse[won]
    for _ in range(ROUNDS):
        live = _in(better, worse) & _in(worse, better)
        if live.all():
            break
        at, better, worse = at[live], better[live], worse[live]
    if not len(at):
        return []
    names, ends = np.unique(np.concatenate([better, worse]), return_inverse=True)
    parts = components(ends[: len(at)], ends[len(at) :], len(names))
    circle = parts[ends[: len(at)]] == parts[ends[len(at) :]]
    rows = at[circle]
    return [Hits(rows, others=rows[_first(better[circle], worse[circle])])] if len(rows) else []


def _by_majority(better: np.ndarray, worse: np.ndarray) -> Mask:
    """Rows that say of two answers what most rows say of them."""
    votes = pl.DataFrame({"a": np.minimum(better, worse), "b": np.maximum(better, worse), "vote": np.where(better < worse, 1, -1)})
    sure = votes.select(((pl.col("vote").sum().over("a", "b") * pl.col("vote") > 0) & (pl.col("a") != pl.col("b"))).alias("f"))
    return sure["f"].to_numpy()


def _in(keys: np.ndarray, there: np.ndarray) -> Mask:
    return pl.DataFrame({"k": keys}).select(pl.col("k").is_in(pl.Series(there).implode()))["k"].to_numpy()


def components(tails: Ints, heads: Ints, n: int) -> Ints:
    """The strongly connected component of each of `n` nodes (Tarjan 1972, with a stack of its own in place of recursion). A loop in
    Python: it only sees edges that cutting away sources and sinks left, which in clean data is none."""
    order = np.argsort(tails, kind="stable")
    targets, starts = heads[order].tolist(), np.searchsorted(tails[order], np.arange(n + 1)).tolist()
    index, low, part = [-1] * n, [0] * n, [-1] * n
    seen, count = 0, 0
    waiting: list[int] = []  # nodes whose component is open
    for root in range(n):
        if index[root] >= 0:
            continue
        path = [root]
        following = {root: starts[root]}
        while path:
            node = path[-1]
            if index[node] < 0:
                index[node] = low[node] = seen
                seen += 1
                waiting.append(node)
            if following[node] < starts[node + 1]:
                there = targets[following[node]]
                following[node] += 1
                if index[there] < 0:
                    following[there] = starts[there]
                    path.append(there)
                elif part[there] < 0:
                    low[node] = min(low[node], index[there])
                continue
            path.pop()
            if path:
                low[path[-1]] = min(low[path[-1]], low[node])
            if low[node] == index[node]:
                while part[node] < 0:
                    part[waiting.pop()] = count
                count += 1
    return np.array(part, dtype=np.int64)


RULES = (
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
        code="PD208",
        name="contradiction",
        severity="warning",
        message="nearly the same two answers are also preferred the other way round",
        reason="Case, punctuation and white space do not make another answer: such rows cancel out, and no exact check sees it.",
        bad='row 1: "Yes." over "No."; row 9: "no" over "yes", for one prompt',
        good='one row with "p_chosen": 0.5, or none',
        fix="normalise the texts, then aggregate the votes",
        kinds=("pair",),
        across=contradiction,
        facts=("prompt", "chosen", "rejected", "loose_prompt", "loose_chosen", "loose_rejected"),
        on=False,
    ),
    Rule(
        code="PD209",
        name="preference-cycle",
        severity="warning",
        message="the preferences for the prompt run in a circle",
        reason="No reward orders answers in a circle: the loss cannot fall on all of these rows, whatever the model.",
        bad="A over B, B over C, C over A, for one prompt",
        good="A over B, B over C, A over C",
        fix="drop the row of the circle with the smallest margin, or fit scores (Bradley-Terry) and make the pairs again",
        kinds=("pair",),
        across=preference_cycle,
        facts=("prompt", "chosen", "rejected"),
    ),
    Rule(
        code="PD302",
        name="both-labels",
        severity="warning",
        message="the same completion of the same prompt also has the other label",
        reason="The two rows pull in opposite directions; decide by majority first.",
        bad="the same text with label true and with label false",
        good="one of them",
        fix="aggregate the labels",
        kinds=("binary",),
        field="label",
        across=both_labels,
        facts=("prompt", "completion", "label"),
    ),
)
