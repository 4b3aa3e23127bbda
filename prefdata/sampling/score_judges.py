"""Judges that score single answers, as scorers: the judges, prompts and parsers of `prefdata label`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefdata.errors import UsageError
from prefdata.io.journal import Journal
from prefdata.judges.fit import fit
from prefdata.judges.judge import as_yaml
from prefdata.judges.members import Member, Panel, panel_of
from prefdata.judges.options import JudgeOptions
from prefdata.judges.plan import plan_of
from prefdata.judges.statement import Statement
from prefdata.judges.subject import Subject, subject_of
from prefdata.llm.endpoints import address, authorization
from prefdata.llm.options import ClientOptions
from prefdata.llm.plan import Plan, Unanswered
from prefdata.llm.stored import answered_all
from prefdata.sampling.score_options import ScoreOptions
from prefdata.sampling.score_said import NO_REPLY, Dict, Said, weighed

SCORES = ("score", "aspects", "checklist")
"""What a judge may ask for: the others compare answers."""
OWN = ("judge", "votes", "resample", "temperature", "structured", "seed")


def judges_of(o: ScoreOptions) -> tuple[Panel, JudgeOptions]:
    """The judges with their servers. Raises UsageError."""
    given = o.model_dump(include={*ClientOptions.model_fields, *OWN})
    options = JudgeOptions.model_validate(given)
    panel = panel_of(options)
    for member in panel.members:
        if member.judge is None:
            raise UsageError(f"--judge rm:{member.model}: in score it is --reward-model {member.model}")
        if member.judge.ask not in SCORES:
            raise UsageError(f"--judge {member.judge.name}: it compares answers, and here each gets a score of its own; rubric gives one")
        if not (o.offline or o.dry_run):
            pool = panel.pools[member.pool]
            authorization(pool)
            for base in pool.base_url:
                address(pool, base, member.model)
    return panel, options


class JudgeScorer:
    """A judge of a panel. Its votes are statements of their own."""

    kind = "judge"

    def __init__(self, panel: Panel, member: Member, options: JudgeOptions, weights: dict[str, float]) -> None:
        assert member.judge is not None
        self.name, self._judge, self._member, self._options, self._weights = member.annotator, member.judge, member, options, weights
        named = tuple(a.name for a in self._judge.aspects)
        self.aspects: tuple[str, ...] | None = named if self._judge.ask == "aspects" else () if self._judge.ask == "score" else None

    def described(self) -> dict[str, Any]:
        return {"name": self.name, "model": self._member.model, "judge": as_yaml(self._judge)}

    def plans(self, row: Dict) -> list[Plan[Any]]:
        subject = subject_of(row)
        return [] if fit(self._judge, subject) else [self._plan(subject)]

    def _plan(self, subject: Subject) -> Plan[list[Statement]]:
        return plan_of(self._judge, subject, self._member.model, self._member.pool, self._options)

    def fillers(self) -> Sequence[Any]:
        return ()

    def said(self, rows: Sequence[Dict], journal: Journal) -> list[list[list[Said]]]:
        about = [subject_of(row) for row in rows]
        unfit = [fit(self._judge, subject) for subject in about]
        out = [[[Said(why=why)] for _ in s.candidates] for s, why in zip(about, unfit, strict=True)]
        plans = {i: self._plan(s) for i, (s, why) in enumerate(zip(about, unfit, strict=True)) if why is None}
        for i, found in answered_all(plans, journal):
            if isinstance(found, Unanswered):
                out[i] = [[Said(why=f"{NO_REPLY}: {found.why}")] for _ in about[i].candidates]
            else:
                by_place: dict[int, list[Said]] = {}
                for s in found:
                    by_place.setdefault(s.shown[0], []).append(self._one(s))
                out[i] = [by_place.get(k, [Said(why="not-scored")]) for k in about[i].same]
        return out

    def _one(self, s: Statement) -> Said:
        v = s.verdict
        if v.outcome in ("invalid", "abstain"):
            return Said(why=v.why or v.outcome, request=s.request)
        if v.scores is None:
            return Said(v.score, {}, None if v.score is not None else "no-verdict", v.rationale, s.request)
        if v.score is not None and not self._weights:
            return Said(v.score, v.scores, None, v.rationale, s.request)
        return weighed(v.scores, self._weights)._replace(rationale=v.rationale, request=s.request)
