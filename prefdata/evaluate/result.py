"""What an evaluation of judges found, as a table for programs and as text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from prefdata.io.account import Counts
from prefdata.statistics import chance


class Figures(NamedTuple):
    """The figures of one judge, on all comparisons or on a part of them (an aspect, a source)."""

    judge: str
    part: str
    figures: dict[str, Any]
    why: dict[str, int]
    """Why comparisons were undecided or ties, by reason."""
    cost: dict[str, Any] | None = None
    """Calls, tokens and USD per 1,000 comparisons, where a manifest of `prefdata label` says so."""


@dataclass
class EvalJudgeResult:
    """The figures of every judge, how judges agree with each other, and how people do (with --gold human)."""

    files: list[str]
    gold: str
    counts: Counts
    min_agreement: float | None = None
    judges: list[Figures] = field(default_factory=list)
    between: list[dict[str, Any]] = field(default_factory=list)
    people: dict[str, Any] | None = None
    without_gold: int = 0
    """Comparisons that were judged and have no gold."""

    @property
    def below(self) -> list[str]:
        """The judges whose agreement is below the bar."""
        bar = self.min_agreement
        return [] if bar is None else [j.judge for j in self.judges if not j.part and j.figures["agreement"]["value"] < bar]

    @property
    def exit_code(self) -> int:
        """1 when a judge is below --min-agreement, or rows were rejected."""
        return int(bool(self.below) or self.counts.rejected.total() > 0)

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "files": self.files,
            "counts": self.counts.as_dict(),
            "gold": self.gold,
            "without_gold": self.without_gold,
            "judges": [{"judge": j.judge, "part": j.part or None, **j.figures, "why": j.why, "cost_per_1000": j.cost} for j in self.judges],
            "between": self.between,
            "people": self.people,
            "min_agreement": self.min_agreement,
            "below": self.below,
            "exit_code": self.exit_code,
        }

    def text(self) -> str:
        """For people."""
        lines = []
        for j in self.judges:
            if j.part:
                lines.append(_short(j))
            else:
                lines += ["", *_long(j)]
        if self.between:
            lines += ["", "judges with each other"]
            lines += [f"  {' / '.join(b['judges'])}: agreement {_rate(b['agreement'])}, kappa {_kappa(b['kappa'])}" for b in self.between]
        if self.people:
            lines += ["", "people: one against the majority of the others"]
            lines.append(f"  agreement {_rate(self.people['agreement'])}, kappa {_kappa(self.people['kappa'])}")
        lines += ["", *self._account()]
        return "\n".join(lines[1:]) + "\n"

    def _account(self) -> list[str]:
        c = self.counts
        out = [f"{c.read:,} rows read, gold: {self.gold}, intervals hold 95 %"]
        if self.without_gold:
            out.append(f"{self.without_gold:,} judged comparisons have no gold and are left out")
        if c.rejected.total():
            reasons = ", ".join(f"{n:,} {code}" for code, n in sorted(c.rejected.items()))
            out.append(f"{c.rejected.total():,} rows cannot be used ({reasons}); prefdata validate names them")
        out += [f"{who}: agreement below {self.min_agreement:g}" for who in self.below]
        return out


def _pc(x: float | None) -> str:
    return "–" if x is None else f"{100 * x:.1f} %"


def _rate(r: dict[str, Any]) -> str:
    return _pc(r["value"]) if r["value"] is None else f"{_pc(r['value'])} ({100 * r['low']:.1f} to {100 * r['high']:.1f})"


def _kappa(k: dict[str, Any]) -> str:
    # + 0.0: no "-0.000"
    value, low, high = (None if k[name] is None else round(k[name], 3) + 0.0 for name in ("value", "low", "high"))
    return "–" if value is None else f"{value:.3f} ({low:.3f} to {high:.3f})"


def _short(j: Figures) -> str:
    f = j.figures
    consistent = f["position"]["consistent"]["value"] if f["position"] else None
    return (
        f"    {j.part}: agreement {_rate(f['agreement'])}, kappa {_kappa(f['kappa'])}, consistent {_pc(consistent)}, "
        f"{f['comparisons']:,} comparisons, {f['said_tie']:,} ties, {f['undecided']:,} undecided"
    )


def _long(j: Figures) -> list[str]:
    f = j.figures
    why = ", ".join(f"{n:,} {code}" for code, n in j.why.items())
    ways = f["accuracy"]
    out = [
        j.judge,
        f"  agreement    {_rate(f['agreement'])} of {f['comparisons']:,} comparisons; {f['said_tie']:,} ties, {f['undecided']:,} undecided"
        + (f" ({why})" if why else ""),
        f"  accuracy     {_rate(ways['ties_dropped'])} without ties, {_rate(ways['ties_half'])} ties half, "
        f"{_rate(ways['ties_class'])} ties as a verdict",
        f"  kappa        {_kappa(f['kappa'])}",
    ]
    return out + _position(f["position"]) + _length(f["length"]) + _calibration(f["calibration"]) + _cost(j.cost)


def _position(p: dict[str, Any] | None) -> list[str]:
    if p is None:
        return []
    out, both, favours, first = [], p["consistent"], p["favours_first"], p["first_rate"]
    if both["n"]:
        line = f"  both orders  {_rate(both)} consistent of {both['n']:,}; the same place twice {_pc(p['same_position']['value'])}"
        if favours["n"]:
            times = round(favours["value"] * favours["n"])
            line += f", {times:,} of {favours['n']:,} times the first ({chance(favours['p_value'])})"
        out.append(line)
    if first["n"]:
        line = f"  first place  wins {_rate(first)} of {first['n']:,} calls ({chance(first['p_value'])})"
        gold = p["gold_first"]["value"]
        if gold is not None and abs(gold - 0.5) > 0.05:
            line += f"; gold's winner stood first in {_pc(gold)}: this says little about place"
        out.append(line)
    return out


def _length(n: dict[str, Any] | None) -> list[str]:
    if n is None or not n["prefers_longer"]["n"]:
        return []
    longer, gold = n["prefers_longer"], _pc(n["gold_longer"]["value"])
    slope = f", slope {n['slope']['value']:.2f} ± {n['slope']['se']:.2f}" if n["slope"] else ""
    where = [_pc(n[k]["value"]) for k in ("gold_is_shorter", "gold_is_longer", "longest_wins")]
    return [
        f"  length       prefers the longer in {_rate(longer)} of {longer['n']:,} (gold: {gold}){slope}",
        "               right {} where gold is the shorter, {} where it is the longer; always the longer: {}".format(*where),
    ]


def _calibration(c: dict[str, Any] | None) -> list[str]:
    if c is None:
        return []
    raw, held = c["raw"], c["tempered"]
    out = [f"  calibration  Brier {raw['brier']:.3f}, log-loss {raw['log_loss']:.3f}, ECE {raw['ece']:.3f} of {raw['n']:,}"]
    if held:
        out.append(
            f"               at temperature {c['temperature']:.2f}: Brier {held['brier']:.3f}, log-loss {held['log_loss']:.3f}, "
            f"ECE {held['ece']:.3f} (cross-validated)"
        )
    return out


def _cost(c: dict[str, Any] | None) -> list[str]:
    if c is None:
        return []
    usd = "no price known" if c["usd"] is None else f"{c['usd']:,.2f} USD"
    return [f"  cost         per 1,000 comparisons: {usd}; {c['calls']:,.0f} calls, {c['tokens_in']:,.0f} + {c['tokens_out']:,.0f} tokens"]
