"""The figures of two policies as rows of words, for the terminal and for the page."""

from __future__ import annotations

from typing import Any

from prefdata.evaluate.policy_table import BASE, IDENTICAL, TUNED
from prefdata.evaluate.rm_table import Row, number, percent
from prefdata.judges.reasons import INVALID, SETTLED, UNFIT
from prefdata.statistics import chance

REASONS = {
    **UNFIT,
    **INVALID,
    **SETTLED,
    IDENTICAL: "the two answers are the same text",
    "tie": "equally good",
    "no-answer-base": "base has no answer",
    "no-answer-tuned": "tuned has no answer",
    "no-score": "an answer has no score",
    "not-judged": "nobody judged it",
}
"""Why a comparison is a tie, or has no outcome."""


def rows(f: dict[str, Any]) -> list[Row]:
    """The rows of `policy_figures.figures`."""
    return [*_outcomes(f), *_scores(f["score"]), *_lengths(f), *_answers(f)]


def _share(section: str, name: str, r: dict[str, Any], more: str = "") -> Row:
    interval = "" if r["value"] is None else f"{100 * r['low']:.1f} to {100 * r['high']:.1f}"
    return Row(section, name, percent(r["value"]), interval, more or f"of {r['n']:,}")


def ends(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{number(interval[0])} to {number(interval[1])}"


def reasons(found: dict[str, int]) -> str:
    """Codes with their numbers."""
    return ", ".join(f"{n:,} {code or 'unknown'}" for code, n in found.items())


def _outcomes(f: dict[str, Any]) -> list[Row]:
    at, test = "tuned against base", f["sign_test"]
    out = [
        _share(at, "wins", f["win"]),
        _share(at, "ties", f["tie"], reasons(f["ties"]) if set(f["ties"]) - {"tie"} else ""),
        _share(at, "losses", f["loss"]),
        _share(
            at,
            "win rate, ties half",
            f["win_rate"],
            f"{test['for']:,} prompts for, {test['against']:,} against ({chance(test['p_value'])})",
        ),
    ]
    lc = f["length_controlled"]
    if lc:
        out.append(_share(at, "win rate at equal length", lc, f"of {lc['n']:,}; logistic model, length effect {number(lc['phi'])}"))
    if f["without"]:
        out.append(Row(at, "without an outcome", f"{sum(f['without'].values()):,}", "", reasons(f["without"])))
    return out


def _scores(s: dict[str, Any] | None) -> list[Row]:
    if s is None:
        return []
    at, d, test = "scores", s["difference"], s["sign_test"]
    both = [Row(at, side, number(s[side]["mean"]), "", f"standard deviation {number(s[side]['std'])}") for side in (BASE, TUNED)]
    return [
        *both,
        Row(at, "difference, mean", number(d["mean"]), ends(d["mean_interval"]), f"standard deviation {number(d['std'])}"),
        Row(at, "difference, median", number(d["p50"]), "", f"middle half {number(d['p25'])} to {number(d['p75'])}"),
        Row(
            at,
            "higher on prompts",
            f"{test['for']:,}",
            "",
            f"lower on {test['against']:,}, the same on {test['even']:,} ({chance(test['p_value'])})",
        ),
    ]


def _lengths(f: dict[str, Any]) -> list[Row]:
    at, n = "length in characters", f["length"]
    d = n["difference"]
    interval = "" if d["mean_interval"] is None else f"{d['mean_interval'][0]:.1f} to {d['mean_interval'][1]:.1f}"
    return [
        *(Row(at, f"{side}, mean", "–" if n[side] is None else f"{n[side]:.1f}") for side in (BASE, TUNED)),
        Row(at, "difference, mean", "–" if d["mean"] is None else f"{d['mean']:.1f}", interval),
        _share(at, "tuned is longer", n["tuned_longer"]),
        _share(at, "win rate where longer", n["win_rate_longer"]),
        _share(at, "win rate where shorter", n["win_rate_shorter"]),
    ]


def _answers(f: dict[str, Any]) -> list[Row]:
    at, out = "answers", []
    for side in (BASE, TUNED):
        e = f["ends"][side]
        out += [
            _share(at, f"{side}, cut (length)", e["truncated"]),
            _share(at, f"{side}, ended (stop)", e["stopped"], reasons(e["reasons"])),
        ]
    return [*out, _share(at, "both the same text", f["identical"])]


def parts_rows(parts: dict[str, Any]) -> list[Row]:
    """The win rate of every part."""
    out = []
    for p in parts["parts"]:
        more = f"difference {number(p['difference'])}" if p["difference"] is not None else ""
        row = _share("", p["name"], p["win_rate"])
        out.append(row._replace(more=f"{row.more}{', ' if more else ''}{more}"))
    return out
