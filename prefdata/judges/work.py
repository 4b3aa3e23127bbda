"""Records to be judged, read as often as it takes: to ask, to count votes, to write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

from prefdata.errors import BudgetError, ProviderError
from prefdata.io.journal import Journal
from prefdata.judges.ask import Heard, Job, each_settled, hear, subjects
from prefdata.judges.jury import Votes, dawid_skene, votes
from prefdata.judges.labelled import chunks
from prefdata.judges.live import Live
from prefdata.judges.options import LabelOptions
from prefdata.judges.records import Part, Source, parts
from prefdata.judges.statement import Row
from prefdata.judges.subject import Subject
from prefdata.llm.client import Stats, ask_all
from prefdata.llm.plan import Plan


class Seen(NamedTuple):
    """How far a run is: bytes of the inputs, rows, and what the client has done."""

    what: str
    done: int
    total: int
    rows: int
    stats: Stats | None


Progress = Callable[[Seen], None]


@dataclass
class Work:
    """Inputs with what is asked about them."""

    sources: list[Source]
    columns: dict[str, pl.DataType]
    job: Job
    options: LabelOptions
    what: str
    limit: int | None = None
    done: int = 0
    rows: int = 0
    stats: Stats = field(default_factory=Stats)
    _begin: tuple[int, int] = (0, 0)

    def parts(self) -> Iterator[tuple[Part, bytes]]:
        """The records with the lines for the rejects file, shard by shard, in order. One thread reads ahead: what is done with them takes
        longer than reading them, and shards take memory."""
        self._begin = self.done, self.rows = 0, 0
        for part, lines in parts(self.sources, self.columns, self.limit, 1):
            yield part, lines
            self._begin = self.done, self.rows = self._begin[0] + part.packed, self._begin[1] + part.counts.read

    def at(self, part: Part, n: int) -> None:
        """The n-th record of the shard is looked at: a small file is one shard, and asking about it may take hours."""
        self.done, self.rows = self._begin[0] + part.packed * n // part.df.height, self._begin[1] + n

    def seen(self, what: str, stats: Stats | None = None) -> Seen:
        return Seen(what, self.done, sum(s.input.size for s in self.sources), self.rows, stats)

    def subjects(self) -> Iterator[Subject]:
        """The records as subjects."""
        for part, _ in self.parts():
            for n, subject in enumerate(subjects(part.df)):
                self.at(part, n)
                yield subject

    def ask(self, journal: Journal, progress: Progress | None, live: Live | None = None) -> None:
        """Have every plan answered, with its replies in the journal; `live` labels records meanwhile."""
        tell = None if progress is None else lambda stats: progress(self.seen(self.what, stats))
        plans: Iterator[Plan[object]] = iter(self.job.plans(self.subjects())) if live is None else live.plans(self.parts(), self.at)
        try:
            self.stats = ask_all(plans, self.options, journal, self.job.panel.pools, tell)
            if live is not None:
                live.go_on()
        except (BudgetError, ProviderError) as e:
            raise type(e)(f"{e}\nwith --offline it writes what can be written from the replies so far") from None

    def heard(self, journal: Journal | None) -> Iterator[tuple[Row, Heard]]:
        """What the judges say of every record."""
        for part, _ in self.parts():
            for rows in chunks(part.df):
                yield from zip(rows, hear(rows, self.job, journal), strict=True)

    def settle(self, journal: Journal | None) -> None:
        """Find out whom to believe, where the jury's model needs all votes for that."""
        if self.options.jury != "dawid-skene" or len(self.job.panel.members) < 2:
            return
        counts: Counter[Votes] = Counter()
        for _, heard in self.heard(journal):
            each = each_settled(heard, self.job)
            counts.update(votes([e[at] for e in each]) for at in each[0])
        self.job.posterior = dawid_skene(counts)
