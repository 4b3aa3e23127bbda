"""The charts of a comparison of two policies."""

from __future__ import annotations

from typing import Any

import polars as pl

from prefdata.evaluate.policy_table import BASE, TUNED
from prefdata.report import svg

MOST_PARTS = 30
BINS = 30


def plots(figures: dict[str, Any], table: pl.DataFrame, parts: dict[str, Any] | None) -> dict[str, str]:
    """SVG texts by name."""
    named = [(name, figures[key]) for name, key in (("win", "win"), ("tie", "tie"), ("loss", "loss"), ("win rate, ties half", "win_rate"))]
    named += [("win rate at equal length", figures["length_controlled"])] if figures["length_controlled"] else []
    out = {"outcomes": _bars(named, "Tuned against base")}
    lengths = {name: table[f"length_{name}"].cast(pl.Float64) for name in (BASE, TUNED)}
    if "difference" in table.columns:
        both = {name: table[f"score_{name}"].cast(pl.Float64) for name in (BASE, TUNED)}
        difference = table["difference"].cast(pl.Float64)
        out["scores"] = svg.histogram(both, "Scores of the answers", "score", bins=BINS)
        title = "Differences of scores: right of the line tuned wins"
        out["differences"] = svg.histogram({"difference": difference}, title, "score of tuned − base", bins=BINS, level=0.0)
        longer = lengths[TUNED] - lengths[BASE]
        out["length"] = svg.scatter(
            {"answers": (longer, difference)}, "Scores and length", "tuned − base, characters", "difference", level=0.0
        )
    else:
        if table["p_tuned"].null_count() < table.height:
            title = "What the judge says: right of the line tuned is better"
            out["verdicts"] = svg.histogram({"p": table["p_tuned"]}, title, "probability that tuned is better", bins=20, level=0.5)
    out["lengths"] = svg.histogram(lengths, "Lengths of the answers", "characters", bins=BINS)
    if parts and len(parts["parts"]) > 1:
        largest = sorted(parts["parts"], key=lambda p: -p["comparisons"])[:MOST_PARTS]
        out["parts"] = _bars([(p["name"], p["win_rate"]) for p in sorted(largest, key=lambda p: p["name"])], f"Win rate by {parts['name']}")
    return out


def _bars(named: list[tuple[str, dict[str, Any]]], title: str) -> str:
    drawn = [(name, r["value"], r["low"], r["high"]) for name, r in named if r["value"] is not None]
    return svg.bars(drawn, title, "share, with 95 % interval", level=0.5)
