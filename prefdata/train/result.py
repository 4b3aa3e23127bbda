"""What `prefdata train` gives back, and says."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from prefdata.train.store import REASONS

CUT = {
    "prompt": "prompts were cut",
    "completion": "completions were cut",
    "eos": "completions got an end-of-sequence token that the template lacks",
}


@dataclass
class TrainResult:
    """What was trained. `metrics` are those of the last line of the log, `eval` those of the held-out records."""

    out: str
    method: str
    counts: dict[str, Any]
    cut: dict[str, int]
    layout: str = ""
    steps: int = 0
    resumed_at: int = 0
    tokens: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    eval: dict[str, float] = field(default_factory=dict)
    worst: list[tuple[int, float]] = field(default_factory=list)
    """Rows with the highest losses."""
    alarms: list[str] = field(default_factory=list)
    plan: list[str] = field(default_factory=list)
    """Of a dry run: what it would take."""
    seconds: float = 0.0

    exit_code = 0

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "exit_code": self.exit_code}

    def lines(self) -> list[str]:
        """The account in words."""
        c = self.counts
        done = f"{self.steps:,} steps, {self.tokens:,} tokens in {self.seconds:,.1f} s ({self.layout} layout)"
        out = [f"{self.out}: {self.method}, {'dry run, nothing was trained' if self.plan else done}"]
        out += [f"  {line}" for line in self.plan]
        out += [f"  went on from step {self.resumed_at:,}"] if self.resumed_at else []
        out.append(f"  records: read {c['read']:,} = kept {c['kept']:,} + dropped {sum(c['dropped'].values()):,}")
        out += [f"    dropped {n:,}: {code}, {REASONS.get(code, code)}" for code, n in c["dropped"].items()]
        out += [f"  {n:,} {CUT[what]}" for what, n in self.cut.items() if n]
        shown = {**self.metrics, **self.eval}
        out += [f"  {name} {value:.4g}" for name, value in shown.items() if "sources/" not in name]
        return out + [f"  alarm: {a}" for a in self.alarms]
