"""The shares of PD3 and PD4: what the labels, sources, answers and prompts of a data set are made of. A statement needs `min_rows` rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from prefdata.checks.facts import Facts
from prefdata.checks.rule import Rule
from prefdata.statistics import chance, difference_test, interval, percent, sign_test, wilson


def place(f: Facts, row: int) -> str:
    """Where a row stands, in words."""
    return f"{'row' if f['row'][row] else 'line'} {f['line'][row]} of {f.names[f['file'][row]]}"


def commonest(keys: np.ndarray[Any, Any]) -> tuple[int, int, int]:
    """`(the most frequent key, how many times it occurs, how many keys there are)`."""
    ordered = np.sort(keys)
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    counts = np.diff(np.append(starts, len(ordered)))
    most = int(counts.argmax())
    return int(ordered[starts[most]]), int(counts[most]), len(starts)


def label_imbalance(f: Facts, low: float = 0.1, high: float = 0.9, min_rows: int = 100) -> list[str]:
    n, k = len(f), int(f["label"].sum())
    below, above = wilson(k, n)
    if n < min_rows or not (above < low or below > high):
        return []
    ratio = f"weights of {n - k:,} (desirable) to {k:,} (undesirable) even it out" if 0 < k < n else "the other label is missing"
    return [f"{percent(k / n)} of {n:,} labels are true ({interval(k, n)}); {ratio}"]


def ties_share(f: Facts, share: float = 0.5, min_rows: int = 100) -> list[str]:
    tied = f["completions_tied"].drop_nulls()
    n, k = len(tied), int(tied.sum())
    if n < min_rows or wilson(k, n)[0] <= share:
        return []
    return [f"all candidates are equal in {percent(k / n)} of {n:,} records ({interval(k, n)})"]


def source_mix(f: Facts, share: float = 0.95, min_rows: int = 100) -> list[str]:
    n, stated = len(f), f["source"].drop_nulls()
    if n < min_rows or not len(stated):
        return []
    out = []
    if len(stated) < n:
        out.append(f"{n - len(stated):,} of {n:,} rows do not say their source")
    counts = stated.value_counts(sort=True)
    name, most = counts.row(0)
    if counts.height > 1 and most > share * len(stated):
        all_of = f"{percent(most / len(stated))} of {len(stated):,} rows"
        out.append(f"the source {name} has {all_of}; all others ({counts.height - 1:,}) have {len(stated) - most:,}")
    return out


def constant_answer(f: Facts, share: float = 0.1, min_rows: int = 100) -> list[str]:
    out = []
    for side, name in (("best", "preferred"), ("worst", "not preferred")):
        keys = f[side].drop_nulls()
        n = len(keys)
        if n < min_rows:
            continue
        key, k, _ = commonest(keys.to_numpy())
        if k > share * n:
            row = int((f[side] == key).arg_max() or 0)
            out.append(f"one text is {percent(k / n)} of the answers that are {name} ({k:,} of {n:,}, such as {place(f, row)})")
    return out


def refusal_share(f: Facts, share: float = 0.2, min_rows: int = 100) -> list[str]:
    best, worst = f["best_refuses"].drop_nulls(), f["worst_refuses"].drop_nulls()
    n, k, m, j = len(best), int(best.sum()), len(worst), int(worst.sum())
    if n < min_rows or wilson(k, n)[0] <= share:
        return []
    other = f"; of the others {percent(j / m)} do (difference {100 * (k / n - j / m):+.1f} points, {chance(_differ(f))})" if m else ""
    return [f"{percent(k / n)} of {n:,} preferred answers refuse ({interval(k, n)}){other}"]


def _differ(f: Facts) -> float:
    """The p-value of equal shares of refusals: by matched answers where rows have both, else by two samples."""
    both = f.df.select("best_refuses", "worst_refuses").drop_nulls()
    if both.height:
        one, other = both["best_refuses"].to_numpy(), both["worst_refuses"].to_numpy()
        return sign_test(int((one & ~other).sum()), int((one != other).sum()))
    best, worst = f["best_refuses"].drop_nulls(), f["worst_refuses"].drop_nulls()
    return difference_test(int(best.sum()), len(best), int(worst.sum()), len(worst))


def prompt_concentration(f: Facts, share: float = 0.05, mean: float = 20.0, min_rows: int = 100) -> list[str]:
    n = len(f)
    key, k, prompts = commonest(f.array("prompt"))
    if n < min_rows or not (k > share * n or n > mean * prompts):
        return []
    where = place(f, int((f["prompt"] == key).arg_max() or 0))
    each = f"{n / prompts:,.1f} rows each"
    return [f"{n:,} rows have {prompts:,} prompts ({each}); the most frequent one has {k:,} of them ({percent(k / n)}), such as {where}"]


def sorted_by_prompt(f: Facts, share: float = 0.5, min_rows: int = 100) -> list[str]:
    prompt, file = f.array("prompt"), f.array("file")
    again = len(f) - pl.DataFrame({"p": prompt, "f": file}).n_unique()
    beside = int(((prompt[1:] == prompt[:-1]) & (file[1:] == file[:-1])).sum())
    if again < min_rows or beside <= share * again:
        return []
    return [f"of {again:,} rows whose prompt stands before, {beside:,} ({percent(beside / again)}) follow right after it"]


RULES = (
    Rule(
        code="PD303",
        name="label-imbalance",
        severity="warning",
        message="nearly all labels are the same",
        reason="KTO weighs every row alike unless it is told otherwise, so the rare label is hardly learnt from.",
        bad="970 rows with label true, 30 with label false",
        good="600 rows with label true, 400 with label false",
        fix="add rows of the rare label, or set the trainer's weights (desirable_weight, undesirable_weight)",
        kinds=("binary",),
        field="label",
        whole=label_imbalance,
        facts=("label",),
    ),
    Rule(
        code="PD306",
        name="ties-share",
        severity="warning",
        message="in most records all candidates are equal",
        reason="A record whose candidates tie gives no pair: what is left may be a small and peculiar part of the data.",
        bad='"completions": [{…, "score": 8.0}, {…, "score": 8.0}] in 700 of 1,000 records',
        good="a finer scale, or several judgements per candidate",
        fix="score with a finer scale, add judgements, or sample candidates that differ more",
        kinds=("listwise",),
        field="completions",
        whole=ties_share,
        facts=("completions_tied",),
    ),
    Rule(
        code="PD404",
        name="source-mix",
        severity="info",
        message="one source has nearly all rows, or rows do not say their source",
        reason="A mix that is one set in truth will train like that set, and rows without a source cannot be weighed or left out.",
        bad="source A: 98,000 rows, source B: 2,000 rows",
        good="source A: 50,000 rows, source B: 50,000 rows",
        fix="look whether the mix is the intended one; fill the column source",
        field="source",
        whole=source_mix,
        facts=("source",),
    ),
    Rule(
        code="PD405",
        name="constant-answer",
        severity="warning",
        message="one text makes up much of the answers",
        reason="A text that is often chosen (or rejected) is learnt as such, whatever the prompt: it may be a placeholder or a default.",
        bad='"chosen": "I cannot answer that." in 2,000 of 10,000 rows',
        good="answers that belong to their prompts",
        fix="drop the rows, or keep a few of them; answers to multiple choice are better judged by accuracy",
        whole=constant_answer,
        facts=("best", "worst"),
    ),
    Rule(
        code="PD406",
        name="refusal-share",
        severity="info",
        message="many preferred answers refuse",
        reason="A policy that is trained on many refusals refuses harmless requests as well.",
        bad="2,500 of 10,000 chosen answers begin with a refusal",
        good="refusals only where the request calls for one",
        fix="look whether the prompts call for refusals, and mix in harmless ones that are answered",
        whole=refusal_share,
        facts=("best_refuses", "worst_refuses"),
    ),
    Rule(
        code="PD407",
        name="prompt-concentration",
        severity="info",
        message="few prompts have many of the rows",
        reason="More prompts teach more than more answers to the same prompt, and rows of one prompt are not independent.",
        bad="10,000 rows, 24 prompts",
        good="10,000 rows, 9,000 prompts",
        fix="keep a few rows of each prompt (convert --max-pairs), and split by prompt",
        field="prompt",
        whole=prompt_concentration,
        facts=("prompt",),
    ),
    Rule(
        code="PD408",
        name="sorted-by-prompt",
        severity="info",
        message="rows of one prompt stand side by side",
        reason="KTO estimates its KL term from other rows of the batch, and the head of a sorted file is no sample of it.",
        bad="rows 1 to 6: prompt A; rows 7 to 12: prompt B",
        good="the same rows shuffled with a fixed seed",
        fix="shuffle the file once, with a fixed seed",
        field="prompt",
        on=False,
        whole=sorted_by_prompt,
        facts=("prompt",),
    ),
)
