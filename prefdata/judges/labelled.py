"""One shard of records and what stored replies say of it: the records to write, those that are not, and disagreements with the source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
import polars as pl

from prefdata.io.account import Counts
from prefdata.io.journal import Journal
from prefdata.io.write import encode
from prefdata.judges.annotations import annotations_of
from prefdata.judges.ask import CHUNK, Heard, Job, Verdicts, hear, settled
from prefdata.judges.decide import Choice, choose
from prefdata.judges.frames import Annotations, about_two, annotated, oriented, pairs_of
from prefdata.judges.gold import of_source
from prefdata.judges.options import LabelOptions
from prefdata.judges.records import Part
from prefdata.judges.statement import Row
from prefdata.judges.tally import Tally, beside


@dataclass
class Done:
    """A labelled shard: the records of the output, the lines of the side files, and the books."""

    out: pl.DataFrame
    undecided: bytes
    disagreements: bytes
    counts: Counts


@dataclass
class Decided:
    """What becomes of the records of a shard, as columns."""

    why: list[str | None] = field(default_factory=list)
    """Why a record is not written; None of those that are."""
    new: Annotations = field(default_factory=Annotations)
    at: list[int] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    """The pairs with the rows that they come from."""
    said: Annotations = field(default_factory=Annotations)
    """The annotations of each pair of a list."""
    skipped: Counter[str] = field(default_factory=Counter)
    disagreements: list[bytes] = field(default_factory=list)


class Labeller(NamedTuple):
    """Makes outputs of shards."""

    job: Job
    options: LabelOptions
    journal: Journal | None
    tally: Tally

    @property
    def kind(self) -> str:
        """The kind of the output."""
        return self.job.kind if self.options.decide == "none" else "pair"

    def part(self, part: Part) -> Done:
        """Label one shard."""
        found = Decided()
        for rows in chunks(part.df):
            for row, heard in zip(rows, hear(rows, self.job, self.journal), strict=True):
                self.record(row, heard, found)
        return self.made(part, found)

    def empty(self, columns: dict[str, pl.DataType]) -> pl.DataFrame:
        """The output of no records: its columns."""
        return self.made(Part(pl.DataFrame(schema=columns), Counts(), [], 0, "line", 0), Decided()).out

    def record(self, row: Row, heard: Heard, found: Decided) -> None:
        """Label one record."""
        verdicts = settled(heard, self.job)
        self.tally.add(row, heard, verdicts)
        new = annotations_of((s for statements in heard.statements for s in statements), heard.subject)
        found.new.add(new)
        found.disagreements += _disagreements(row, heard, verdicts)
        why = heard.why
        if why is None and self.options.decide != "none":
            why = self._choose(row, heard, verdicts, new, found)
        found.why.append(why)

    def _choose(self, row: Row, heard: Heard, verdicts: Verdicts, new: list[dict[str, Any]], found: Decided) -> str | None:
        """Take the pairs of a record; why there are none."""
        names = heard.subject.names
        choices, lost = choose(verdicts.jury, names, self.options)
        if not choices:
            return max(lost, key=lambda code: (lost[code], code))
        found.skipped.update(lost)
        for choice in choices:
            found.at.append(len(found.why))
            found.choices.append(choice)
            if self.job.kind == "listwise":
                found.said.add(about_two([*(row["annotations"] or ()), *new], names[choice.better], names[choice.worse]))
        return None

    def made(self, part: Part, found: Decided) -> Done:
        """The shard, from what its records came to."""
        whole = annotated(part.df, found.new.series())
        why = pl.Series("why", found.why, dtype=pl.String)
        kept = why.is_null()
        counts = Counts(part.counts.read, int(kept.sum()), rejected=part.counts.rejected)
        counts.dropped.update(w for w in found.why if w is not None)
        counts.skipped.update(found.skipped)
        soft = self.options.decide == "soft"
        if self.options.decide == "none":
            out = whole.filter(kept)
        elif self.job.kind == "listwise":
            out = pairs_of(part.df, found.at, found.choices, found.said.series(), soft)
        else:
            out = oriented(whole[found.at], [c.better == 1 for c in found.choices], [c.p for c in found.choices] if soft else None)
        counts.written = out.height
        lost = whole.with_columns(why).filter(~kept)
        return Done(out, encode(lost, "jsonl") if lost.height else b"", b"".join(found.disagreements), counts)


def chunks(df: pl.DataFrame) -> Iterator[list[Row]]:
    """Records as plain Python values, some at a time."""
    for piece in df.iter_slices(CHUNK):
        yield piece.to_dicts()


def _disagreements(row: Row, heard: Heard, verdicts: Verdicts) -> list[bytes]:
    """Lines for comparisons of which the record says one thing and the judge the other."""
    out = []
    names = heard.subject.names
    for (i, j), said in verdicts.jury.items():
        gold = of_source(row, i, j)
        if gold and beside(said, gold) == "disagrees":
            line = {
                "id": row["id"],
                "completions": [names[i], names[j]],
                "source": "first" if gold > 0 else "second",
                "judge": said.outcome,
                "p_first": said.p,
                "by": [e[i, j].outcome for e in verdicts.each] if len(verdicts.each) > 1 else None,
            }
            out.append(orjson.dumps({k: v for k, v in line.items() if v is not None}, option=orjson.OPT_APPEND_NEWLINE))
    return out
