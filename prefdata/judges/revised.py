"""One shard of prompts and what stored replies make of it: the records to write, every step, and the prompts without a revision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import orjson
import polars as pl

from prefdata.io.account import Counts
from prefdata.io.journal import Journal
from prefdata.io.write import encode
from prefdata.judges.ask import NO_REPLY
from prefdata.judges.critique_like import FLAWS
from prefdata.judges.records import Part
from prefdata.judges.revise_plan import REVISED, Prompt, Revised, Reviser, plan_of
from prefdata.judges.revise_rows import KIND, UNUSABLE, frame, prompt_of, rows_of, steps_of
from prefdata.judges.statement import Row
from prefdata.judges.tally import Cost, Prices, counted
from prefdata.llm.batch import Make
from prefdata.llm.plan import Unanswered
from prefdata.llm.request import REFUSALS, Reply
from prefdata.llm.stored import answered
from prefdata.schema.ids import add_ids

CHUNK = 256
"""Records that are plain Python objects at a time."""
WORDS = {
    **UNUSABLE,
    **FLAWS,
    **REFUSALS,
    "cut-off": "the text ended at --max-tokens (of critiques --critique-tokens)",
    "tool-call": "the model called a tool",
    "refusal": "the model refused to answer",
    "copy": "the critique repeats the answer",
}
"""What may be wrong with a text; `draft-` and `critique-` in front of a code say which one."""


def words(code: str) -> str:
    """A reason for people."""
    if code.startswith(NO_REPLY):
        return "no server answered; the same command asks again"
    what = next((w for w in ("draft", "critique") if code.startswith(f"{w}-")), None)
    return f"the {what}: {WORDS.get(code.removeprefix(f'{what}-'), code)}" if what and code not in WORDS else WORDS.get(code, code)


@dataclass
class Tally:
    """What became of the steps, counted from the replies that the output rests on."""

    cost: Cost = field(default_factory=Cost)
    steps: Counter[str] = field(default_factory=Counter)
    """By outcome: `revised`, or why not."""
    principles: dict[str, Counter[str]] = field(default_factory=dict)
    served: Counter[str] = field(default_factory=Counter)
    """Replies by the model that the server named."""
    records: int = 0

    def add(self, revised: Revised, replies: dict[str, Reply]) -> None:
        """Count one record."""
        self.records += 1
        for step in revised.steps:
            self.steps[step.outcome] += 1
            self.principles.setdefault(step.pair, Counter())[step.outcome] += 1
        for reply in replies.values():
            self.cost.add(reply)
            if reply.model is not None:
                self.served[reply.model] += 1

    def as_dict(self, prices: Prices) -> dict[str, Any]:
        """Fields of a result."""
        return {
            "steps": counted(self.steps),
            "principles": {name: counted(found) for name, found in sorted(self.principles.items())},
            "cost": self.cost.as_dict(prices),
            "served": counted(self.served),
        }


@dataclass
class Done:
    """A shard that was revised: the records of the output, the lines of the side files, and the books."""

    out: pl.DataFrame
    steps: bytes
    undecided: bytes
    counts: Counts


class Shards(NamedTuple):
    """Makes plans and outputs of shards."""

    by: Reviser
    columns: dict[str, pl.DataType]

    def makers(self, part: Part) -> Iterator[Make]:
        """A function for every record that begins its plan."""
        for piece in _pieces(part.df):
            for row in piece.iter_rows(named=True):
                prompt = prompt_of(row, self.by.options.draft)
                if isinstance(prompt, Prompt):
                    yield partial(plan_of, prompt, self.by)

    def part(self, part: Part, journal: Journal, tally: Tally) -> Done:
        """What stored replies make of one shard."""
        frames = [self.frame([])]
        steps: list[bytes] = []
        why: list[str | None] = []
        for piece in _pieces(part.df):
            rows: list[Row] = []
            for row in piece.iter_rows(named=True):
                found = self._record(row, journal, tally, steps)
                why.append(found if isinstance(found, str) else None)
                rows += [] if isinstance(found, str) else found
            frames.append(self.frame(rows))
        lost = part.df.with_columns(pl.Series("why", why, dtype=pl.String)).filter(pl.col("why").is_not_null())
        counts = Counts(part.counts.read, part.df.height - lost.height, rejected=part.counts.rejected)
        counts.dropped.update(w for w in why if w is not None)
        out = pl.concat(frames)
        counts.written = out.height
        return Done(out, b"".join(steps), encode(lost, "jsonl") if lost.height else b"", counts)

    def frame(self, rows: list[Row]) -> pl.DataFrame:
        """Records with their ids; without rows the columns of the output."""
        emit = self.by.options.emit
        return add_ids(frame(rows, emit, self.columns), KIND[emit])

    def _record(self, row: Row, journal: Journal, tally: Tally, steps: list[bytes]) -> list[Row] | str:
        """The records of one input row, or why there are none."""
        prompt = prompt_of(row, self.by.options.draft)
        if isinstance(prompt, str):
            return prompt
        replies: dict[str, Reply] = {}
        found = answered(plan_of(prompt, self.by), journal, replies)
        if isinstance(found, Unanswered):
            return f"{NO_REPLY}:{found.why}"
        tally.add(found, replies)
        steps += [orjson.dumps(s, option=orjson.OPT_APPEND_NEWLINE) for s in steps_of(prompt, found)]
        return rows_of(self.by.options.emit, row, found, self.by) or found.why or _last(found)


def _last(found: Revised) -> str:
    return next(s.outcome for s in reversed(found.steps) if s.outcome != REVISED)


def _pieces(df: pl.DataFrame) -> Iterator[pl.DataFrame]:
    return df.drop("annotations", strict=False).iter_slices(CHUNK)
