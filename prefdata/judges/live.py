"""Writing while asking: a record is labelled as soon as its plans and those of all records before it have ended, from what they came to, so
that most records are planned and parsed once and not twice.

What is written is the same: a plan's result depends on its record and its replies only. Records whose plans ended early, and all behind a
request that keeps others waiting too long, are labelled from the journal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

from prefdata.judges.ask import CHUNK, Heard, Said, hear, paid_of
from prefdata.judges.fit import fit
from prefdata.judges.labelled import Decided, Done, Labeller, chunks
from prefdata.judges.records import Part
from prefdata.judges.statement import Statement
from prefdata.judges.subject import subject_of
from prefdata.llm.plan import Plan
from prefdata.llm.request import Reply, Request

MOST = 2
"""Shards that wait in memory; those behind them are read again."""


class _Shard:
    """A shard whose records are being asked about."""

    def __init__(self, part: Part, bad: bytes, members: int) -> None:
        rows = part.df.height
        self.part, self.bad, self.found = part, bad, Decided()
        self.said: list[list[Said | None]] = [[None] * members for _ in range(rows)]
        self.open = [members * (min(i + CHUNK, rows) - i) for i in range(0, rows, CHUNK)]
        """How many plans of each chunk have not ended."""
        self.at = 0
        """The chunk that is labelled next."""


class Live:
    """Labels shards in order while their plans are driven. `write` gets each when it is whole."""

    def __init__(self, labeller: Labeller, write: Callable[[Part, bytes, Done], None]) -> None:
        self._labeller, self._write = labeller, write
        self._waiting: deque[_Shard] = deque()
        self._late = False
        self.written = 0
        """Shards that are done: the first ones."""

    def plans(self, parts: Iterator[tuple[Part, bytes]], at: Callable[[Part, int], None]) -> Iterator[Plan[object]]:
        """The plans of all records, watched. `at` is told which record of a shard is next."""
        job = self._labeller.job
        members = [(m, m.judge) for m in job.panel.members if m.judge is not None]
        for part, bad in parts:
            self._late = self._late or len(self._waiting) >= MOST
            shard = None if self._late else _Shard(part, bad, len(members))
            if shard is not None:
                self._waiting.append(shard)
            for i, rows in enumerate(chunks(part.df.drop("annotations", strict=False))):
                for n, row in enumerate(rows, i * CHUNK):
                    at(part, n)
                    subject = subject_of(row)
                    for k, (member, judge) in enumerate(members):
                        unfit = fit(judge, subject)
                        if shard is None:
                            if not unfit:
                                yield job.plan(member, judge, subject)
                        elif unfit:
                            self._tell(shard, n, k, Said([], unfit, {}))
                        else:
                            yield _watched(job.plan(member, judge, subject), partial(self._tell, shard, n, k))
            self.go_on()

    def _tell(self, shard: _Shard, n: int, k: int, said: Said | None) -> None:
        shard.said[n][k] = said
        shard.open[n // CHUNK] -= 1
        if said is not None and not shard.open[n // CHUNK]:  # plans are also closed when a run is stopped: then nothing is labelled
            self.go_on()

    def go_on(self) -> None:
        """Label what can be labelled."""
        while self._waiting:
            shard = self._waiting[0]
            while shard.at < len(shard.open) and not shard.open[shard.at]:
                self._label(shard)
            if shard.at < len(shard.open):
                return
            self._waiting.popleft()
            self._write(shard.part, shard.bad, self._labeller.made(shard.part, shard.found))
            self.written += 1

    def _label(self, shard: _Shard) -> None:
        begin = shard.at * CHUNK
        for n, row in enumerate(shard.part.df[begin : begin + CHUNK].to_dicts(), begin):
            said = shard.said[n]
            whole = [s for s in said if s is not None]
            if len(whole) == len(said):
                heard = Heard(subject_of(row), [s.statements for s in whole], [s.missing for s in whole], [s.paid for s in whole])
            else:
                heard = next(hear([row], self._labeller.job, self._labeller.journal))
            self._labeller.record(row, heard, shard.found)
            shard.said[n] = []
        shard.at += 1


def _watched(plan: Plan[list[Statement]], tell: Callable[[Said | None], None]) -> Plan[object]:
    """The plan, with an ear on its replies: `tell` gets what it came to, None when it was closed before its end."""
    paid = {}
    said: Said | None = None
    try:
        asked: list[Request] = next(plan)
        while True:
            replies: list[Reply] = yield asked
            for request, reply in zip(asked, replies, strict=True):
                paid[request.id] = paid_of(reply)
            asked = plan.send(replies)
    except StopIteration as end:
        said = Said(end.value, None, paid)
        return None
    finally:
        tell(said)
