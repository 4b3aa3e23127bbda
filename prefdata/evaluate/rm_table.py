"""The figures of a reward model as rows of words, for the terminal and for the page."""

from __future__ import annotations

from typing import Any, NamedTuple

from prefdata.statistics import chance


class Row(NamedTuple):
    """A figure in words: its value, its 95 % interval, and what belongs to it."""

    section: str
    name: str
    value: str
    interval: str = ""
    more: str = ""


def percent(x: float | None) -> str:
    return "–" if x is None else f"{100 * x:.1f} %"


def share(r: dict[str, Any]) -> str:
    """A share with its interval."""
    return "–" if r["value"] is None else f"{percent(r['value'])} ({100 * r['low']:.1f} to {100 * r['high']:.1f})"


def number(x: float | None) -> str:
    """+ 0.0: no "-0.000"."""
    return "–" if x is None else f"{round(x, 3) + 0.0:.3f}"


def rows(f: dict[str, Any]) -> list[Row]:
    """The rows of `rm_figures.figures`."""
    return [*_accuracy(f), *_calibration(f["calibration"]), *_margins(f), *_rewards(f["rewards"]), *_length(f["length"])]


def _share(section: str, name: str, r: dict[str, Any], more: str = "") -> Row:
    interval = "" if r["value"] is None else f"{100 * r['low']:.1f} to {100 * r['high']:.1f}"
    return Row(section, name, percent(r["value"]), interval, more or f"of {r['n']:,}")


def _ends(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{number(interval[0])} to {number(interval[1])}"


def _correlation(section: str, name: str, r: dict[str, Any]) -> Row:
    return Row(section, name, number(r["value"]), "" if r["value"] is None else _ends((r["low"], r["high"])), "Spearman")


def _accuracy(f: dict[str, Any]) -> list[Row]:
    at = "accuracy"
    out = [_share(at, "accuracy, ties half", f["accuracy"], f"of {f['accuracy']['n']:,} pairs"), _share(at, "ties", f["ties"])]
    if f["label_ties"]:
        out.append(Row(at, "labels without a side", f"{f['label_ties']:,}", "", "p_chosen is 1/2: not in the accuracy"))
    if f["soft"]:
        s = f["soft"]
        more = f"best possible {percent(s['best'])}, {s['labels']:,} soft labels"
        out.append(Row(at, "expected accuracy", percent(s["accuracy"]), "", more))
    return out


def _calibration(c: dict[str, Any] | None) -> list[Row]:
    if c is None:
        return []
    at, raw, held = "calibration", c["raw"], c["tempered"]
    more = {name: "" if held is None else f"at temperature: {number(held[name])}" for name in ("log_loss", "brier", "ece")}
    return [
        Row(at, "log loss", number(raw["log_loss"]), _ends(raw["log_loss_interval"]), more["log_loss"]),
        Row(at, "Brier score", number(raw["brier"]), _ends(raw["brier_interval"]), more["brier"]),
        Row(at, "calibration error (ECE)", number(raw["ece"]), "", more["ece"]),
        Row(at, "best temperature", f"{c['temperature']:.3g}", "", "" if held is None else "figures at it are cross-validated by prompt"),
    ]


def _margins(f: dict[str, Any]) -> list[Row]:
    at, m = "margins", f["margins"]
    out = [
        Row(at, "mean", number(m["mean"]), _ends(m["mean_interval"]), f"standard deviation {number(m['std'])}"),
        Row(at, "median", number(m["p50"]), "", f"middle half {number(m['p25'])} to {number(m['p75'])}"),
        Row(at, "5 % and 95 %", f"{number(m['p5'])} and {number(m['p95'])}"),
        _share(at, "within ± 0.1", m["near_zero"]),
    ]
    if f["gold_margin"]:
        out.append(_correlation(at, "with the labels' margins", f["gold_margin"]["spearman"]))
    return out


def _rewards(r: dict[str, Any]) -> list[Row]:
    at = "rewards"
    both = [Row(at, side, number(r[side]["mean"]), "", f"standard deviation {number(r[side]['std'])}") for side in ("chosen", "rejected")]
    return [*both, Row(at, "AUC, across prompts", number(r["auc"])), Row(at, "overlap of the two", percent(r["overlap"]))]


def _length(n: dict[str, Any] | None) -> list[Row]:
    if n is None:
        return []
    at, against, slope = "length", n["against_longest"], n["slope"]
    lonely = f"{against['wins']:,} pairs better, {against['losses']:,} worse than it ({chance(against['p_value'])})"
    out = [
        _share(at, "always the longer", n["longest_wins"], lonely),
        _share(at, "accuracy, chosen longer", n["chosen_longer"]),
        _share(at, "accuracy, chosen shorter", n["chosen_shorter"]),
        _share(at, "wrong ones for the longer", n["wrong_is_longer"]),
        _correlation(at, "reward with length", n["reward"]),
        _correlation(at, "margin with difference", n["margin"]),
    ]
    if slope:
        interval = f"{number(slope['low'])} to {number(slope['high'])}"
        out.append(
            Row(at, "margin per 100 tokens", number(slope["value"]), interval, f"{number(slope['at_equal_length'])} at equal length")
        )
    return out
