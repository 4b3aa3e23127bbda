"""Records to plans, and stored replies to what every judge said: the same plans, driven twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import NamedTuple

import polars as pl

from prefdata.io.journal import Journal
from prefdata.judges import constitution as constitutions
from prefdata.judges import reward_model
from prefdata.judges.constitution import Constitution
from prefdata.judges.fit import fit
from prefdata.judges.judge import Judge
from prefdata.judges.jury import Votes, combine
from prefdata.judges.members import Member, Panel
from prefdata.judges.options import JudgeOptions
from prefdata.judges.plan import comparisons, plan_of
from prefdata.judges.settle import Settled, settle
from prefdata.judges.statement import Row, Statement
from prefdata.judges.subject import Subject, subject_of
from prefdata.llm.plan import Plan, Unanswered
from prefdata.llm.request import Reply
from prefdata.llm.stored import answered_all
from prefdata.rewards.load import RewardModel

NO_REPLY = "no-reply"
CHUNK = 64
"""Records that are plain Python objects at a time."""


@dataclass
class Job:
    """Everything that the labels depend on besides records and replies."""

    panel: Panel
    options: JudgeOptions
    kind: str
    posterior: dict[Votes, tuple[float, float]] = field(default_factory=dict)
    """Of a Dawid-Skene jury, once it is known."""

    @cached_property
    def constitution(self) -> Constitution | None:
        """That of the judges that compare by principles. Raises UsageError."""
        if any(m.judge is not None and m.judge.principles for m in self.panel.members):
            return constitutions.load(self.options.constitution or "default")
        return None

    def plan(self, member: Member, judge: Judge, subject: Subject) -> Plan[list[Statement]]:
        return plan_of(judge, subject, member.model, member.pool, self.options, self.constitution)

    def plans(self, subjects: Iterable[Subject]) -> Iterator[Plan[list[Statement]]]:
        """All plans of some records, those of one record one behind the other: they share their prompt."""
        asked = [(m, m.judge) for m in self.panel.members if m.judge is not None]
        for subject in subjects:
            for member, judge in asked:
                yield self.plan(member, judge, subject)

    def makers(self, subjects: Iterable[Subject]) -> Iterator[Callable[[], Plan[object]]]:
        """The same as functions that begin the plan."""
        for subject in subjects:
            for m in self.panel.members:
                if m.judge is not None:
                    yield partial(self.plan, m, m.judge, subject)


class Paid(NamedTuple):
    """What is kept of a reply: the rest would take a megabyte for some."""

    code: str
    model: str | None
    usage: tuple[int, int] | None


class Heard(NamedTuple):
    """What the judges said of one record. Everything by judge, in the order of the judges."""

    subject: Subject
    statements: list[list[Statement]]
    missing: list[str | None]
    """Why a judge has no statements: a key of `reasons.UNFIT`, or `no-reply:` and the reason; None when it has."""
    paid: list[dict[str, Paid]]
    """The replies of each judge by the id of the request, first tries of what was asked again included."""

    @property
    def why(self) -> str | None:
        """Why the record as a whole is not judged: a reply is missing, or it fits no judge."""
        unanswered = [w for w in self.missing if w is not None and w.startswith(NO_REPLY)]
        return unanswered[0] if unanswered else self.missing[0] if all(self.missing) else None


def subjects(frame: pl.DataFrame) -> Iterator[Subject]:
    """The records of a frame; annotations are not looked at."""
    for row in frame.drop("annotations", strict=False).iter_rows(named=True):
        yield subject_of(row)


def hear(rows: Sequence[Row], job: Job, journal: Journal | None) -> Iterator[Heard]:
    """What stored replies and local models say of some records, in order. The journal is asked for the replies of all of them at once."""
    scored = {m.model: reward_model.statements(rm, rows, job.kind) for m, rm in _local(job)}
    about = [subject_of(row) for row in rows]
    found = []
    for member in job.panel.members:
        if member.judge is None:
            found.append([Said(statements, None, {}) for statements in scored[member.model]])
        else:
            assert journal is not None
            found.append(_said(member, member.judge, about, job, journal))
    for subject, *said in zip(about, *found, strict=True):
        yield Heard(subject, [s.statements for s in said], [s.missing for s in said], [s.paid for s in said])


class Said(NamedTuple):
    """What one judge said of one record."""

    statements: list[Statement]
    missing: str | None
    paid: dict[str, Paid]


def _said(member: Member, judge: Judge, about: Sequence[Subject], job: Job, journal: Journal) -> list[Said]:
    out: list[Said | None] = [None] * len(about)
    plans: dict[int, Plan[list[Statement]]] = {}
    paid: list[dict[str, Paid]] = [{} for _ in about]
    for n, subject in enumerate(about):
        unfit = fit(judge, subject)
        if unfit:
            out[n] = Said([], unfit, {})
        else:
            plans[n] = job.plan(member, judge, subject)
    for n, found in answered_all(plans, journal, lambda n, request, reply: paid[n].__setitem__(request.id, paid_of(reply))):
        missing = f"{NO_REPLY}:{found.why}" if isinstance(found, Unanswered) else None
        out[n] = Said([] if isinstance(found, Unanswered) else found, missing, paid[n])
    return [s for s in out if s is not None]


def paid_of(reply: Reply) -> Paid:
    """What is kept of a reply."""
    return Paid(reply.code, reply.model, reply.usage)


def _local(job: Job) -> Iterator[tuple[Member, RewardModel]]:
    for member in job.panel.members:
        if member.judge is None:
            yield member, job.panel.reward_models[member.model]


Comparisons = dict[tuple[int, int], Settled]
"""Verdicts by the places of the two candidates."""


class Verdicts(NamedTuple):
    """What every judge says of the comparisons of one record, and what they say together."""

    each: list[Comparisons]
    jury: Comparisons


def settled(heard: Heard, job: Job) -> Verdicts:
    """The verdicts on a record's comparisons."""
    each = each_settled(heard, job)
    weights = [m.weight for m in job.panel.members]
    return Verdicts(each, {at: combine([e[at] for e in each], weights, job.options.jury, job.posterior) for at in each[0]})


def each_settled(heard: Heard, job: Job) -> list[Comparisons]:
    """The verdicts of each judge; one that a record does not fit, or that has no reply, has none."""
    at = comparisons(heard.subject, job.options) if heard.subject.kind != "binary" else []
    out: list[Comparisons] = []
    for member, statements, missing in zip(job.panel.members, heard.statements, heard.missing, strict=True):
        if missing is not None:
            out.append({pair: Settled("undecided", None, missing) for pair in at})
        elif member.judge is None:
            out.append({(i, j): reward_model.settle_scores(statements, i, j) for i, j in at})
        else:
            out.append({(i, j): settle(statements, i, j, job.options, member.judge) for i, j in at})
    return out
