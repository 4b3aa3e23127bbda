"""`prefdata sample`: generate, score and select as one command. Each step leaves its file, and does nothing when that is up to date."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from prefdata.errors import UsageError
from prefdata.io.write import file_format
from prefdata.llm.estimate import Estimate
from prefdata.options import Options
from prefdata.sampling.generate import generate
from prefdata.sampling.sample_options import parts
from prefdata.sampling.score import score
from prefdata.sampling.score_options import together
from prefdata.sampling.score_scorers import panel_of
from prefdata.sampling.select import select
from prefdata.sampling.select_options import check

Tell = Callable[[str], Any]


@dataclass
class SampleResult:
    """The accounts of the steps that ran, by name."""

    out: str
    steps: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        return max((int(s.exit_code) for s in self.steps.values()), default=0)

    @property
    def counts(self) -> dict[str, Any]:
        """Of the last step that ran."""
        found: dict[str, Any] = list(self.steps.values())[-1].counts
        return found

    def as_dict(self) -> dict[str, Any]:
        return {"out": self.out, "seconds": self.seconds, "exit_code": self.exit_code, **{n: s.as_dict() for n, s in self.steps.items()}}

    def lines(self) -> list[str]:
        return [line for s in self.steps.values() for line in s.lines()]


def files_of(out: str) -> tuple[str, str]:
    """Where the candidates go before and after they are scored."""
    return f"{out}.generated.parquet", f"{out}.scored.parquet"


def sample(data: Sequence[str] | str, out: str, options: Options, progress: Any = None) -> SampleResult | Estimate:
    """Have policies answer prompts, score the candidates and write what is selected (rejection sampling).

    `OUT.generated.parquet` has all candidates and `OUT.scored.parquet` all with their scores; each has its manifest, journal and side files
    as its own command would leave them. Raises what generate, score and select raise; what is done is not done again.
    """
    started = time.monotonic()
    if out == "-":
        raise UsageError("-o -: sample writes several files; name the last one")
    how, scorers, rule = parts(options)
    file_format(out)
    together(scorers, "listwise")
    check(rule)
    panel_of(scorers, "listwise")  # a scorer that is not there is told before anything is generated, and perhaps paid
    generated, scored = files_of(out)
    result = SampleResult(out)
    until = getattr(options, "until", "select")
    first = generate(data, generated, how, progress)
    if isinstance(first, Estimate):
        return first
    result.steps["generate"] = first
    if until != "generate":
        result.steps["score"] = score(generated, scored, scorers, progress)
    if until == "select":
        result.steps["select"] = select(scored, out, rule)
    result.seconds = round(time.monotonic() - started, 3)
    return result
