"""What an evaluation of a reward model found, as a table for programs and as text."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from prefdata.evaluate.rm_table import Row, percent, rows, share

REASONS = {
    "template": "the chat template refuses the record",
    "boundary": "the rendered prompt is not the beginning of the rendered conversation",
    "too-long": "longer than the model takes, or than --max-length",
    "empty-completion": "no token of an answer is left",
    "equal-completions": "chosen and rejected are the same tokens",
    "not-a-number": "a reward is not finite",
}
"""Why a record is not scored."""


@dataclass
class EvalRmResult:
    """The figures of a model on pairs. `metrics` are the means under the names that a training logs; `by` is the value of --by."""

    files: list[str]
    model: dict[str, Any]
    """Folder, kind (score or lm), reference, and how the rewards were computed."""
    counts: dict[str, Any]
    figures: dict[str, Any]
    metrics: dict[str, float]
    sources: dict[str, Any]
    by: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    min_accuracy: float | None = None
    out: str | None = None
    seconds: float = 0.0

    @property
    def below(self) -> bool:
        """Whether the accuracy is below --min-accuracy (or there is none)."""
        found = self.figures["accuracy"]["value"]
        return self.min_accuracy is not None and (found is None or found < self.min_accuracy)

    @property
    def exit_code(self) -> int:
        """1 below --min-accuracy."""
        return int(self.below)

    def as_dict(self) -> dict[str, Any]:
        """For --json and report.json."""
        return {**asdict(self), "below": self.below, "exit_code": self.exit_code}

    def table(self) -> list[Row]:
        """The figures for people."""
        return rows(self.figures)

    def text(self) -> str:
        """For people."""
        out = [self.head(), ""]
        section = ""
        for row in self.table():
            if row.section != section:
                section = row.section
                out.append(section)
            out.append(
                f"  {row.name:<30} {row.value}" + (f" ({row.interval})" if row.interval else "") + (f"  {row.more}" if row.more else "")
            )
        for name, found in (("source", self.sources), (self.by["name"] if self.by else "", self.by)):
            out += _parts(name, found)
        return "\n".join([*out, "", *self.account()]) + "\n"

    def head(self) -> str:
        m = self.model
        words = "sequence classifier" if m["kind"] == "score" else "implicit rewards of a causal model"
        return f"{m['folder']}: {words}, {self.figures['pairs']:,} pairs"

    def account(self) -> list[str]:
        """What was read, and what a reader should know."""
        c = self.counts
        dropped = sum(c["dropped"].values())
        out = [f"records: read {c['read']:,} = kept {c['kept']:,} + dropped {dropped:,}; intervals hold 95 %"]
        out += [f"  dropped {n:,}: {why}, {REASONS[why]}" for why, n in c["dropped"].items()]
        out += [f"note: {n}" for n in self.notes]
        if self.out:
            out.append(f"{self.out}: scores.parquet, scores.tsv, report.json, report.html and plots")
        if self.below:
            out.append(f"accuracy {percent(self.figures['accuracy']['value'])} is below --min-accuracy {self.min_accuracy:g}")
        return out


def _parts(name: str, found: dict[str, Any] | None) -> list[str]:
    if found is None or len(found["parts"]) < 2:
        return []
    out = [f"by {name}", f"  {'(macro average)':<30} {share(found['macro'])}"]
    for p in found["parts"]:
        longest = f", longest wins {percent(p['longest_wins']['value'])}" if p["longest_wins"] else ""
        out.append(f"  {p['name']:<30} {share(p['accuracy'])}  of {p['pairs']:,}{longest}")
    return out
