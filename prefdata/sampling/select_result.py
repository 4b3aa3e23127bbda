"""What a run of select did: for programs, for people, and for the manifest."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from prefdata.io.account import row_lines
from prefdata.sampling.select_limits import REASONS
from prefdata.statistics import percent

LEFT_OUT = {
    "unscored": "have no score",
    "truncated": "were cut off",
    "filtered": "were stopped by the provider's content filter",
    "reference": "are reference answers",
    "duplicates": "are merged with another",
}


@dataclass
class SelectResult:
    """The account of a run. `counts` is in input rows (prompts), `records` in records written, `candidates` in candidates; `figures` are
    those of `select_figures`."""

    out: str
    kind: str
    method: str
    counts: dict[str, Any]
    records: dict[str, Any]
    inputs: list[dict[str, Any]]
    candidates: dict[str, Any]
    figures: dict[str, Any]
    warnings: list[str] = field(default_factory=list)
    control: str | None = None
    rejects: str | None = None
    dropped: str | None = None
    seconds: float = 0.0
    up_to_date: bool = False

    @property
    def exit_code(self) -> int:
        """1 when rows were rejected, else 0."""
        return 1 if self.counts["rejected"] else 0

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "exit_code": self.exit_code}

    def lines(self) -> list[str]:
        """The account in words."""
        done = ", up to date, nothing was done (--force selects again)" if self.up_to_date else ""
        out = [f"{self.out}: {self.records['written']:,} {self.kind} records by {self.method}{done}"]
        out += row_lines(self.counts, lambda code: f"{code}, {REASONS[code]}")
        k = self.candidates
        left = "".join(f", {n:,} {LEFT_OUT[code]}" for code, n in k["left_out"].items())
        out.append(f"  candidates: {k['read']:,}, of which {k['used']:,} were selected from{left}")
        out += [f"  pairs left out of kept rows: {n:,} {code}" for code, n in self.records["skipped"].items()]
        out += figure_lines(self.figures)
        out += [f"  warning: {w}" for w in self.warnings]
        sides = (("the random control", self.control), ("rows that give nothing", self.dropped), ("rejected rows", self.rejects))
        return out + [f"  {what} {'is' if what.startswith('the') else 'are'} in {path}" for what, path in sides if path]


def figure_lines(f: dict[str, Any]) -> list[str]:
    """Figures in words."""
    gain, rso, reference = f["gain"], f.get("rso"), f["reference"]
    out = []
    if gain["mean"] is not None:
        chosen, control, mean, low, high = (
            round(x, 9) for x in (f["chosen"]["score"], f["control"]["score"], gain["mean"], gain["low"], gain["high"])
        )
        out.append(f"  mean score: {chosen:.4g}, of a random selection of the same size {control:.4g}")
        out.append(f"  gain over it per prompt: {mean:+.4g} (95 % interval {low:+.4g} to {high:+.4g})")
        length = f"  mean length in characters: {f['chosen']['length']:,.0f}"
        if "rejected" in f:
            length += f" chosen, {f['rejected']['length']:,.0f} rejected; the longer one is chosen in {percent(f['chosen_longer'])}"
        out.append(f"{length}, of the random selection {f['control']['length']:,.0f}")
    if rso and rso["prompts"]:
        out.append(f"  rso: acceptance rate {percent(rso['acceptance_rate'])}, effective sample size {rso['effective_sample_size']:.1f}")
    if reference:
        r = reference
        share = f"{percent(r['share'])} (95 % interval {percent(r['low'])} to {percent(r['high'])}, ties half)"
        out.append(f"  the best candidate beats the reference in {share}: {r['wins']:,} wins, {r['ties']:,} ties, {r['losses']:,} losses")
    return out
