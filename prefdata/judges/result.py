"""What a labelling run did: for programs, for people, and for the manifest."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from prefdata.io.account import row_lines
from prefdata.judges.ask import NO_REPLY
from prefdata.judges.decide import REASONS
from prefdata.judges.gate import words
from prefdata.llm.stats import Stats


@dataclass
class LabelResult:
    """The account of a run. `counts` is in input rows, `records` in records written. `spent` is what the journal has cost over all runs."""

    out: str
    kind: str
    counts: dict[str, Any]
    records: dict[str, Any]
    inputs: list[dict[str, Any]]
    report: dict[str, Any]
    """Figures of the judges, the principles, the comparisons and the source (`tally.Tally.as_dict`)."""
    run: dict[str, Any] = field(default_factory=dict)
    """Of this run: calls, replies, retries ..."""
    spent: dict[str, Any] = field(default_factory=dict)
    gold: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)
    rejects: str | None = None
    undecided: str | None = None
    disagreements: str | None = None
    journal: str | None = None
    sha256: str | None = None
    """Of the output; none of stdout."""
    seconds: float = 0.0
    up_to_date: bool = False

    @property
    def unanswered(self) -> int:
        """Records without a reply."""
        return sum(n for code, n in self.counts["dropped"].items() if code.startswith(NO_REPLY))

    @property
    def exit_code(self) -> int:
        """1 when rows were rejected or got no reply, else 0."""
        return 1 if self.counts["rejected"] or self.unanswered else 0

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "exit_code": self.exit_code}

    def lines(self) -> list[str]:
        """The account in words."""
        done = ", up to date, nothing was done (--force labels again)" if self.up_to_date else ""
        out = [f"{self.out}: {self.records['written']:,} {self.kind} records{done}"]
        out += row_lines(self.counts, reason)
        out += [f"  comparisons without a pair, of records that give others: {n:,} {code}" for code, n in self.records["skipped"].items()]
        out += [f"  {words(self.gold)}"] if self.gold else []
        out += report_lines(self.report)
        if self.run and not self.up_to_date:
            out.append(f"  asked {self.run['calls']:,} times in this run, {self.run['reused']:,} replies were in the journal")
        out += [f"  spent in all: {money(self.spent)}"] if self.spent else []
        out += [f"  warning: {w}" for w in self.warnings]
        for what, path in (("not written records", self.undecided), ("disagreements", self.disagreements), ("rejected rows", self.rejects)):
            out += [f"  {what} are in {path}"] if path else []
        if self.unanswered:
            out.append(f"  {self.unanswered:,} records got no reply; the same command asks for them again")
        return out


def reason(code: str) -> str:
    if code.startswith(NO_REPLY):
        return f"{code}, the request was not answered"
    return f"{code}, {REASONS[code]}" if code in REASONS else code


def money(spent: dict[str, Any]) -> str:
    usd = f", {spent['usd']:,.4f} USD" if spent["usd"] else ""
    return f"{spent['calls']:,} calls, {spent['tokens_in']:,} + {spent['tokens_out']:,} tokens{usd}"


def report_lines(report: dict[str, Any]) -> list[str]:
    """What the judges said, in words."""
    out = []
    if report["comparisons"]:
        out.append("  comparisons: " + ", ".join(f"{n:,} {code}" for code, n in report["comparisons"].items()))
    for name, judged in report["judges"].items():
        said = ", ".join(
            f"{n:,} {code}" for code, n in {**judged["calls"], **judged["invalid"]}.items() if code not in ("invalid", "abstain")
        )
        out.append(f"  {name}: {said or 'nothing'}")
        out += _share("the answer shown first won", judged["first_shown"])
        out += _share("same verdict in both orders", judged["consistent"])
        p = judged["p_valid"]
        if p["below"]:
            out.append(f"    {p['below']:,} of {p['n']:,} answers give their valid labels too little probability (mean {p['mean']:.3f})")
    if any(report["soft"]):
        out.append("  probabilities that the first (in a pair: chosen) is better, by tenths: " + " ".join(f"{n:,}" for n in report["soft"]))
    if report["source"]:
        out.append("  beside the records' own labels: " + ", ".join(f"{n:,} {code}" for code, n in report["source"].items()))
    if report["unanimous"] is not None and report["comparisons"]:
        out.append(f"  the judges are unanimous on {report['unanimous']:,} comparisons")
    for name, p in report["principles"].items():
        wins = p["source_wins"]
        won = f"source wins {100 * wins['share']:.1f} % of {wins['n']:,}" if wins["n"] else "no decided comparison"
        cost = f"{p['usd']:,.4f} USD" if p["usd"] is not None else f"{p['tokens_in'] + p['tokens_out']:,} tokens"
        out.append(f"  principle {name}: {p['comparisons']:,} comparisons, {won}, {p['flips']:,} flips, {cost}")
    return out


def _share(what: str, s: dict[str, Any]) -> list[str]:
    if not s["n"]:
        return []
    return [f"    {what}: {100 * s['share']:.1f} % of {s['n']:,} (95 % interval {100 * s['low']:.1f}–{100 * s['high']:.1f} %)"]


def of_run(stats: list[Stats]) -> dict[str, Any]:
    """What the runs of the client did together."""
    failed: dict[str, int] = {}
    for s in stats:
        for code, n in s.failed.items():
            failed[code] = failed.get(code, 0) + n
    names = ("calls", "replies", "reused", "retries", "rate_limited", "tokens_in", "tokens_out", "usd", "estimated", "charged")
    return {**{n: sum(getattr(s, n) for s in stats) for n in names}, "failed": dict(sorted(failed.items()))}


def served_warnings(report: dict[str, Any], asked: dict[str, str]) -> list[str]:
    """Judges whose answers came from other models than the one that was asked, or from several."""
    out = []
    for name, judged in report["judges"].items():
        served, model = list(judged["served"]), asked.get(name)
        if len(served) > 1:
            out.append(f"{name}: several models answered ({', '.join(f'{m} {n:,}' for m, n in judged['served'].items())})")
        elif served and model and not (served[0].startswith(model) or served[0].endswith(f"/{model}")):
            out.append(f"{name}: {model} was asked, {served[0]} answered")
    return out
