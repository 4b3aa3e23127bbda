"""Records to comparisons with gold, and what each judge said of them, as columns for `prefdata.judges.agreement`."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import combinations
from typing import Any, Literal

import numpy as np

from prefdata.evaluate.gold import GoldFile, characters, content
from prefdata.judges.agreement import Calls
from prefdata.judges.gold import SIGN, majority, of_source, votes
from prefdata.judges.settle import Settled
from prefdata.judges.statement import Row, Statement, Verdict
from prefdata.judges.subject import Subject, subject_of

JUDGES = ("judge", "reward_model")
Settle = Callable[[list[Statement], int, int], Settled]
NAN = float("nan")


def _floats() -> array[float]:
    return array("d")


def _ints() -> array[int]:
    return array("q")


@dataclass
class Said:
    """The verdicts of one judge: on which comparison (ascending), the sign, and the probability that the first answer is better."""

    at: array[int] = field(default_factory=_ints)
    sign: array[float] = field(default_factory=_floats)
    p: array[float] = field(default_factory=_floats)
    why: Counter[str] = field(default_factory=Counter)
    call_at: array[int] = field(default_factory=_ints)
    call_swapped: array[float] = field(default_factory=_floats)
    call_won: array[float] = field(default_factory=_floats)
    settled: dict[int, Settled] = field(default_factory=dict)

    def add(self, at: int, settled: Settled, keep: bool = False) -> None:
        self.at.append(at)
        self.sign.append(SIGN.get(settled.outcome, NAN))
        self.p.append(NAN if settled.p is None else settled.p)
        if settled.outcome in ("undecided", "tie"):
            self.why[settled.why or settled.outcome] += 1
        if keep:
            self.settled[at] = settled

    def call(self, at: int, statement: Statement, i: int) -> None:
        """A call about two answers that were shown together; others have no first place."""
        if len(statement.shown) != 2:
            return
        outcome = statement.verdict.outcome
        self.call_at.append(at)
        self.call_swapped.append(statement.shown[0] != i)
        self.call_won.append(SIGN.get(outcome or "", NAN))

    @property
    def calls(self) -> Calls | None:
        """The calls that showed two answers, with the comparisons numbered as in `at`; None when there are none."""
        if not self.call_at:
            return None
        return Calls(np.searchsorted(np.array(self.at), np.array(self.call_at)), np.array(self.call_swapped), np.array(self.call_won))


@dataclass
class Comparisons:
    """All comparisons with gold, and the verdicts on them. `said` is by judge and by part: "" for all, else an aspect or a source."""

    gold_is: Literal["source", "human"] | GoldFile
    settle: Settle
    judges: list[str]
    by: Literal["aspect", "source"] | None = None
    keep: bool = False
    """Whether every settled verdict is kept, for a jury."""
    gold: array[float] = field(default_factory=_floats)
    lengths: array[float] = field(default_factory=_floats)
    """Of the first and of the second answer, in turn."""
    prompt: array[int] = field(default_factory=_ints)
    said: dict[tuple[str, str], Said] = field(default_factory=dict)
    people_said: array[float] = field(default_factory=_floats)
    """Each person's vote, and in `people_gold` the majority of the others."""
    people_gold: array[float] = field(default_factory=_floats)
    people_prompt: array[int] = field(default_factory=_ints)
    others: Counter[str] = field(default_factory=Counter)
    """Annotators that are not measured, as "kind name"."""
    without_gold: int = 0
    _prompts: dict[bytes, int] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """The comparisons of one record."""
        subject = subject_of(row)
        said = self._statements(row, subject)
        prompt = content(subject.prompt)
        number = self._prompts.setdefault(prompt, len(self._prompts))
        answers = [content(c) for c in subject.candidates] if isinstance(self.gold_is, GoldFile) else []
        for i, j in combinations(subject.distinct, 2):
            about = {who: found for who, s in said.items() if (found := s.about(i, j))}
            people = list(votes(row, subject.names, i, j)) if self.gold_is == "human" else []
            gold: int | None
            sign: int | None
            if isinstance(self.gold_is, GoldFile):
                gold = self.gold_is.find(prompt, answers[i], answers[j])
            else:
                gold = of_source(row, i, j) if self.gold_is == "source" else majority(s for _, s in people)
            if gold is None:
                self.without_gold += bool(about)
                continue
            for k, (_, vote) in enumerate(people if len(people) > 1 else ()):
                self.people_prompt.append(number)
                self.people_said.append(vote)
                self.people_gold.append(majority(s for m, (_, s) in enumerate(people) if m != k) or 0)
            numbers: dict[int, int] = {}
            for who, found in about.items():
                others = [s for name, s in people if name != who]
                sign = gold if len(others) == len(people) else majority(others)
                if sign is None:  # the only person who said anything
                    continue
                if sign not in numbers:
                    numbers[sign] = len(self.gold)
                    self.gold.append(sign)
                    self.lengths.extend((characters(subject.candidates[i]), characters(subject.candidates[j])))
                    self.prompt.append(number)
                for part, statements in self._parts(row, found).items():
                    of = self.said.setdefault((who, part), Said())
                    of.add(numbers[sign], self.settle(statements, i, j), self.keep and not part)
                    for s in statements:
                        of.call(numbers[sign], s, i)

    def _parts(self, row: Row, found: list[Statement]) -> dict[str, list[Statement]]:
        parts = {"": joined(found)}
        if self.by == "source":
            parts[row.get("source") or "(none)"] = parts[""]
        elif self.by == "aspect":
            for s in found:
                parts.setdefault(s.aspect or "(none)", []).append(s)
        return parts

    def _statements(self, row: Row, subject: Subject) -> dict[str, _Statements]:
        """The annotations of the judges that are measured, by judge."""
        out: dict[str, _Statements] = {}
        place = {name: subject.names.index(name) for name in subject.names}
        for a in row.get("annotations") or ():
            who = a["annotator"]
            wanted = any(fnmatchcase(who, g) for g in self.judges) if self.judges else a["kind"] in JUDGES
            if not wanted:
                self.others[f"{a['kind']} {who}"] += 1
            elif a["completions"] and all(name in place for name in a["completions"]):
                out.setdefault(who, _Statements()).add(statement_of(a, tuple(place[name] for name in a["completions"])))
        return out


class _Statements:
    """What one judge says of one record, by what it is about."""

    def __init__(self) -> None:
        self._together: dict[tuple[int, ...], list[Statement]] = {}
        self._alone: dict[int, list[Statement]] = {}
        self._lists: list[Statement] = []

    def add(self, s: Statement) -> None:
        if len(s.shown) == 1:
            self._alone.setdefault(s.shown[0], []).append(s)
        elif len(s.shown) == 2:
            self._together.setdefault(tuple(sorted(s.shown)), []).append(s)
        else:  # a ranking that could not be read
            self._lists.append(s)

    def about(self, i: int, j: int) -> list[Statement]:
        """The comparisons of two answers; where there are none, the scores of both. Who compared them said it there: what the same
        annotator scored is about something else."""
        compared = self._together.get((i, j), []) + [s for s in self._lists if i in s.shown and j in s.shown]
        if compared or i not in self._alone or j not in self._alone:
            return compared
        return self._alone[i] + self._alone[j]


def statement_of(a: dict[str, Any], shown: tuple[int, ...]) -> Statement:
    """An annotation as the statement that it was written from. Of a tie the probability is that of a tie: what is stored has half of
    P(tie) in it, and would look like a verdict."""
    outcome: Any = a["outcome"] if a["outcome"] or a["score"] is not None else "invalid"
    p = 0.5 if outcome == "tie" and a["p_first"] is not None else a["p_first"]
    kind: Any = "reward_model" if a["kind"] == "reward_model" else "judge"
    return Statement(a["annotator"], shown, Verdict(outcome=outcome, p_first=p, score=a["score"]), a["request"], a["aspect"], kind=kind)


def joined(statements: list[Statement]) -> list[Statement]:
    """The scores of one call for several aspects as one statement again; an aspect that does not apply has none."""
    out: list[Statement] = []
    calls: dict[tuple[tuple[int, ...], str | None], dict[str, float | None]] = {}
    for s in statements:
        if len(s.shown) > 1 or s.aspect is None or s.verdict.outcome == "invalid":
            out.append(s)
            continue
        scores = calls.get((s.shown, s.request))
        if scores is None or s.aspect in scores:
            scores = calls[s.shown, s.request] = {}
            out.append(s._replace(verdict=Verdict(scores=scores), aspect=None))
        scores[s.aspect] = s.verdict.score
    return out
