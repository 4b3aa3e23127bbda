"""How a tuned policy does against its base: figures of the table of comparisons. Nothing here knows models or files.

An outcome is 1 where tuned wins, 1/2 for a tie, 0 where it loses; comparisons without one count for nothing but their number. What is drawn
at random is the prompt: comparisons of one prompt (several samples) depend on each other, so intervals and tests are over prompts.
Intervals hold 95 %.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import polars as pl

from prefdata.evaluate.policy_length import length_controlled
from prefdata.evaluate.policy_table import BASE, LOSS, TIE, TUNED, WIN
from prefdata.evaluate.rm_figures import spread
from prefdata.judges.agreement import Ints, Numbers, binomial_test, rate
from prefdata.statistics import Z

OUTCOMES = {WIN: 1.0, TIE: 0.5, LOSS: 0.0}


def figures(table: pl.DataFrame) -> dict[str, Any]:
    """All figures of a table of comparisons (`policy_table.by_scores`, `by_verdicts`).

    win, tie, loss      shares of the comparisons that have an outcome; win_rate counts a tie as half
    sign_test           prompts whose mean outcome is above and below 1/2, and the binomial test of the two being as likely
    length_controlled   the win rate at equal length (`policy_length`)
    score               of comparisons with two scores: both distributions, and the differences, their mean with Student's t interval
    length              characters of the answers, mean difference, and the win rate where tuned is longer and where it is shorter
    ends                by policy: shares of answers that were cut (length), and that ended by themselves (stop), and all reasons
    """
    outcome, cluster = outcomes(table), clusters(table)
    known = ~np.isnan(outcome)
    lengths = table.select(f"length_{BASE}", f"length_{TUNED}").cast(pl.Float64).to_numpy()
    return {
        "prompts": len(np.unique(cluster)),
        "comparisons": table.height,
        "decided": int(known.sum()),
        "without": counted(table.filter(pl.col("outcome").is_null())["why"]),
        "ties": counted(table.filter(outcome=TIE)["why"]),
        **{name: rate(np.where(known, outcome == value, np.nan), cluster)._asdict() for name, value in OUTCOMES.items()},
        "win_rate": rate(outcome, cluster)._asdict(),
        "sign_test": sign_test(means(outcome, cluster) - 0.5),
        "length_controlled": length_controlled(outcome, lengths, cluster),
        "score": scores(table, cluster) if "difference" in table.columns else None,
        "length": length(outcome, lengths, cluster),
        "ends": {name: ends(table[f"finish_{name}"], cluster) for name in (BASE, TUNED)},
        "identical": rate(table["identical"].cast(pl.Float64).fill_null(float("nan")).to_numpy(), cluster)._asdict(),
    }


def outcomes(table: pl.DataFrame) -> Numbers:
    """[N], NaN where there is none."""
    found: Numbers = table["outcome"].replace_strict(OUTCOMES, default=None, return_dtype=pl.Float64).fill_null(float("nan")).to_numpy()
    return found


def clusters(table: pl.DataFrame) -> Ints:
    """The number of the prompt, [N]."""
    found: Ints = table["prompt_id"].rank("dense").cast(pl.Int64).to_numpy() - 1
    return found


def counted(why: pl.Series) -> dict[str, int]:
    return {code or "": n for code, n in sorted(why.value_counts().iter_rows())}


def means(values: Numbers, cluster: Ints) -> Numbers:
    """The mean of each prompt over its comparisons that have a value."""
    there = ~np.isnan(values)
    at = np.unique(cluster[there], return_inverse=True)[1]
    found: Numbers = np.bincount(at, weights=values[there]) / np.bincount(at) if len(at) else np.empty(0)
    return found


def sign_test(values: Numbers) -> dict[str, Any]:
    """Values above and below 0, and the two-sided p-value of the two being as likely; zeros are left out."""
    above, below = int((values > 1e-12).sum()), int((values < -1e-12).sum())
    return {"for": above, "against": below, "even": len(values) - above - below, "p_value": binomial_test(above, above + below)}


def t_interval(values: Numbers) -> tuple[float, float] | None:
    """Mean ± t standard errors of independent values; None for fewer than two."""
    n = len(values)
    if n < 2:
        return None
    mean, half = float(values.mean()), t_quantile(n - 1) * float(values.std(ddof=1)) / sqrt(n)
    return mean - half, mean + half


def t_quantile(df: int) -> float:
    """The 97.5 % point of Student's t. Exact for 1 and 2 degrees of freedom, beyond them by the expansion in 1/df of Abramowitz and Stegun
    26.7.5, which is 0.8 % too small at 3 and 0.1 % at 5 (scipy, which has it exactly, is not needed for anything else)."""
    if df <= 2:
        return (12.706204736174694, 4.302652729749462)[df - 1]
    z = Z
    terms = ((z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384)
    return float(z + sum(t / df ** (k + 1) for k, t in enumerate(terms)))


def scores(table: pl.DataFrame, cluster: Ints) -> dict[str, Any] | None:
    """None where no comparison has two scores."""
    there = table["difference"].is_not_null().to_numpy()
    if not there.any():
        return None
    base, tuned, difference = (table[c].to_numpy()[there] for c in (f"score_{BASE}", f"score_{TUNED}", "difference"))
    by_prompt = means(difference, cluster[there])
    return {
        BASE: spread(base),
        TUNED: spread(tuned),
        "difference": {**spread(difference), "mean": float(by_prompt.mean()), "mean_interval": t_interval(by_prompt)},
        "sign_test": sign_test(by_prompt),
    }


def length(outcome: Numbers, lengths: Numbers, cluster: Ints) -> dict[str, Any]:
    """Characters [N, 2] of base and tuned, NaN where there is no answer."""
    difference = lengths[:, 1] - lengths[:, 0]
    by_prompt = means(difference, cluster)

    def mean(values: Numbers) -> float | None:
        there = values[~np.isnan(values)]
        return float(there.mean()) if len(there) else None

    return {
        BASE: mean(lengths[:, 0]),
        TUNED: mean(lengths[:, 1]),
        "difference": {"mean": mean(by_prompt), "mean_interval": t_interval(by_prompt)},
        "tuned_longer": rate(np.where(np.isnan(difference), np.nan, difference > 0), cluster)._asdict(),
        "win_rate_longer": rate(np.where(difference > 0, outcome, np.nan), cluster)._asdict(),
        "win_rate_shorter": rate(np.where(difference < 0, outcome, np.nan), cluster)._asdict(),
    }


def ends(finish: pl.Series, cluster: Ints) -> dict[str, Any]:
    """How the answers of one policy ended."""
    there = finish.is_not_null().to_numpy()
    shares = {
        name: rate(np.where(there, (finish == name).fill_null(False).to_numpy(), np.nan), cluster)._asdict() for name in ("length", "stop")
    }
    return {"answers": int(there.sum()), "truncated": shares["length"], "stopped": shares["stop"], "reasons": counted(finish.drop_nulls())}


def by_part(table: pl.DataFrame, column: str) -> list[dict[str, Any]]:
    """The main figures of every value of a column."""
    out = []
    for (name,), part in sorted(table.group_by(column), key=lambda g: str(g[0][0] or "")):
        cluster = clusters(part)
        found = scores(part, cluster) if "difference" in part.columns else None
        out.append(
            {
                "name": str(name or "(none)"),
                "comparisons": part.height,
                "win_rate": rate(outcomes(part), cluster)._asdict(),
                "difference": found["difference"]["mean"] if found else None,
                "difference_interval": found["difference"]["mean_interval"] if found else None,
            }
        )
    return out
