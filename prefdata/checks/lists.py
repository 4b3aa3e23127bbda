"""PD3: binary and listwise records."""

from __future__ import annotations

import numpy as np
import polars as pl

from prefdata.checks.facts import Facts, mix
from prefdata.checks.rule import Rule
from prefdata.checks.view import Hits, View


def one_candidate(v: View) -> list[Hits]:
    return v.rows(pl.col("completions").list.len() < 2)


def both_labels(f: Facts) -> list[Hits]:
    keys = pl.DataFrame({"key": mix(f.array("prompt"), f.array("completion")), "label": f["label"]})
    other = keys.select((pl.col("label").n_unique().over("key") > 1).alias("f"))["f"].to_numpy()
    at = np.flatnonzero(other)
    return [Hits(at)] if len(at) else []


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
