"""The tables of docs/learning.md."""

from __future__ import annotations

from typing import Any

import numpy as np

Figure = dict[str, Any]


def paired(a: list[float], b: list[float]) -> Figure:
    """Mean of the differences a - b, its 95 % interval by Student's t, and the two-sided p-value."""
    from scipy.stats import ttest_1samp

    found = ttest_1samp(np.subtract(a, b), 0)
    low, high = found.confidence_interval(0.95)
    return {"mean": float(np.mean(np.subtract(a, b))), "interval": [float(low), float(high)], "p_value": float(found.pvalue), "n": len(a)}


def tables(found: Figure) -> str:
    """Markdown; what was not measured is left out."""
    parts = [_rewards(found["reward_models"]), _policies(found["policies"]), _noise(found["noise"])]
    return "\n\n".join([*(p for p in parts if p), f"{found['cpu_minutes']:.1f} CPU minutes in all."])


def _rewards(models: list[Figure]) -> str:
    rows: list[tuple[str, ...]] = []
    for m in models:
        for what, f in m["held_out"].items():
            rules = [f"{100 * f[r]['value']:.1f} % {_discordant(f[r])}" for r in ("longest", "shortest")]
            rows.append(
                (m["data"], f"{m['pairs']:,}", f"{f['accuracy']['n']:,}, {what}", _share(f["accuracy"]), *rules, f"{m['cpu_s']:.0f}")
            )
    return _table(("data", "trained on pairs", "held out", "accuracy", "longest wins", "shortest wins", "CPU s"), rows)


def _discordant(rule: Figure) -> str:
    return "" if rule["p_value"] is None else f"({rule['wins']:,} better, {rule['losses']:,} worse, {_chance(rule['p_value'])})"


def _policies(runs: list[Figure]) -> str:
    rows: list[tuple[str, ...]] = []
    for run in runs:
        short = any(p["as_chosen"] for p in run["policies"])  # long answers are never the chosen one, word for word
        for p in run["policies"]:
            reward = p.get("reward")
            better = f"{_share(reward['tuned_better'])} of {reward['tuned_better']['n']:,}" if reward else "–"
            score = _mean(reward["difference"], 2) if reward else "–"
            spoken = (f"{100 * p['as_chosen']:.1f} %" if short else "–", f"{p['tokens']:.1f}", f"{p['cpu_s']:.0f}" if reward else "–")
            rows.append((run["data"], p["policy"], _share(p["accuracy"]), better, score, *spoken))
    head = (
        "data",
        "policy",
        "implicit-reward accuracy",
        "answers better than SFT's",
        "score − SFT's",
        "is the chosen one",
        "tokens",
        "CPU s",
    )
    return _table(head, rows)


def _noise(runs: list[Figure]) -> str:
    rows: list[tuple[str, ...]] = []
    for run in runs:
        for measure, gain in run["soft_minus_hard"].items():
            scale, digits = (100, 1) if measure == "accuracy" else (1, 3)
            soft, hard = (scale * float(np.mean([r[k][measure] for r in run["runs"]])) for k in ("soft", "hard"))
            name = measure.replace("_", " ") + (", %" if scale == 100 else "")
            numbers = (f"{soft:.{digits}f}", f"{hard:.{digits}f}", _mean(gain, digits, scale), _chance(gain["p_value"]))
            rows.append(
                (run["noise"], name, f"{scale * run['start'][measure]:.{digits}f}", *numbers, str(gain["n"]), f"{run['cpu_s']:.0f}")
            )
    return _table(("flip rates", "held out", "before", "soft labels", "hard labels", "soft − hard", "p", "seeds", "CPU s"), rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ("---",) * len(head), *rows)) if rows else ""


def _share(f: Figure) -> str:
    return f"{100 * f['value']:.1f} % ({100 * f['low']:.1f} to {100 * f['high']:.1f})"


def _mean(f: Figure, digits: int, scale: float = 1) -> str:
    low, high = f["interval"]
    return f"{scale * f['mean']:+.{digits}f} ({scale * low:+.{digits}f} to {scale * high:+.{digits}f})"


def _chance(p: float) -> str:
    return "p < 1e-50" if p < 1e-50 else f"p = {p:.1g}"
