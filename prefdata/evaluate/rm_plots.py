"""The charts of an evaluation of a reward model."""

from __future__ import annotations

from typing import Any

from prefdata.evaluate.rm_result import EvalRmResult
from prefdata.judges.agreement import Numbers
from prefdata.report import svg

MOST_PARTS = 30


def plots(result: EvalRmResult, values: Numbers, lengths: Numbers) -> dict[str, str]:
    """SVG texts by name. `values` are the rewards and `lengths` the tokens of chosen and rejected, [N, 2]."""
    margin, difference = values[:, 0] - values[:, 1], lengths[:, 0] - lengths[:, 1]
    out = {
        "rewards": svg.histogram({"chosen": values[:, 0], "rejected": values[:, 1]}, "Rewards of chosen and rejected", "reward"),
        "margins": svg.histogram({"margin": margin}, "Margins: right of the line chosen wins", "reward of chosen − rejected", level=0.0),
        "calibration": _calibration(result.figures["calibration"]),
        "length": svg.scatter({"pairs": (difference, margin)}, "Margins and length", "chosen − rejected, tokens", "margin", level=0.0),
    }
    for name, found in (("sources", result.sources), ("by", result.by)):
        if found is not None and len(found["parts"]) > 1:
            out[name] = _parts(found, "source" if name == "sources" else found["name"])
    return out


def _calibration(c: dict[str, Any]) -> str:
    bins = c["raw"]["bins"]
    points = [b["confidence"] for b in bins], [b["accuracy"] for b in bins]
    return svg.curve({"as it is": points}, "Calibration: below the line is too sure", "confidence", "accuracy", dots=True, diagonal=True)


def _parts(found: dict[str, Any], name: str) -> str:
    """The parts with the most pairs, in order of their names."""
    largest = sorted(found["parts"], key=lambda p: -p["pairs"])[:MOST_PARTS]
    named = [("macro average", found["macro"]), *((p["name"], p["accuracy"]) for p in sorted(largest, key=lambda p: p["name"]))]
    drawn = [(n, r["value"], r["low"], r["high"]) for n, r in named if r["value"] is not None]
    return svg.bars(drawn, f"Accuracy by {name}", "accuracy", level=0.5)
