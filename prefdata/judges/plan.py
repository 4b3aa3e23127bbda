"""The calls that one record needs: which candidates are shown in which order, what is asked, and what the replies say.

A plan depends on the record, the options and the replies alone. Its first request goes out alone; the others, which share its beginning,
follow together, so that a server with a prefix cache reads the prompt once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Any, NamedTuple

from prefdata.errors import UsageError
from prefdata.judges.constitution import Constitution, Principle, draw
from prefdata.judges.fill import fenced, fill, placeholders
from prefdata.judges.fit import criteria_of, fit, reference
from prefdata.judges.judge import Criterion, Judge
from prefdata.judges.options import JudgeOptions
from prefdata.judges.parse import parse
from prefdata.judges.reasons import AGAIN
from prefdata.judges.statement import Statement, Verdict
from prefdata.judges.structured import instruction, response_format
from prefdata.judges.subject import Subject
from prefdata.llm.plan import Plan
from prefdata.llm.request import Reply, Request, request

WARM = 0.7
"""Least temperature of a second try: at 0 the same words come again."""


class Call(NamedTuple):
    """One question: the candidates in the order shown, the words, and the principle that it is about."""

    shown: tuple[int, ...]
    words: str
    principle: Principle | None
    sample: int


def plan_of(
    judge: Judge, subject: Subject, model: str, pool: str, options: JudgeOptions, principles: Constitution | None = None
) -> Plan[list[Statement]]:
    """Ask a judge about a record: one statement per call, in the order of the calls. A record that does not `fit` has none.

    Raises UsageError when the judge draws principles and there is no constitution, and for votes at temperature 0.
    """
    if judge.principles and principles is None:
        raise UsageError(f"the judge {judge.name} draws principles: which constitution? For ours: --constitution default")
    if options.votes > 1 and not (judge.temperature if options.temperature is None else options.temperature):
        raise UsageError(f"--votes {options.votes} at temperature 0 pays for the same answer {options.votes} times; add --temperature 0.7")
    if fit(judge, subject):
        return []
    criteria = (criteria_of(judge, subject) or []) if judge.ask == "checklist" else []
    asked = [*_calls(judge, subject, options, principles, criteria)]
    n = len(criteria) or len(asked[0].shown)
    maker = _Maker(judge, model, pool, options, n)
    requests = [maker.request(call) for call in asked]
    replies = yield requests[:1]
    if len(requests) > 1:
        replies = replies + (yield requests[1:])
    verdicts = [maker.verdict(r, criteria) for r in replies]
    for again in range(1, options.resample + 1):
        failed = [i for i, v in enumerate(verdicts) if v.why in AGAIN]
        if not failed:
            break
        for i in failed:
            requests[i] = maker.request(asked[i], again, cut=verdicts[i].why == "cut-off")
        for i, reply in zip(failed, (yield [requests[i] for i in failed]), strict=True):
            verdicts[i] = maker.verdict(reply, criteria)
    by = judge.annotator(model)
    return [
        Statement(by, call.shown, verdict, r.id, call.principle.id if call.principle else None, call.sample)
        for call, r, verdict in zip(asked, requests, verdicts, strict=True)
    ]


def comparisons(subject: Subject, options: JudgeOptions) -> list[tuple[int, int]]:
    """The pairs of candidates that are compared, and that labels can be made of. Equal candidates are one."""
    places = subject.distinct
    return list(pairwise(places)) if options.pairs == "adjacent" else list(combinations(places, 2))


def _calls(
    judge: Judge, subject: Subject, options: JudgeOptions, principles: Constitution | None, criteria: Sequence[Criterion]
) -> list[Call]:
    values = {"prompt": subject.prompt_text}
    text = reference(subject) if "reference" in placeholders(judge.prompt) else None
    if text is not None:
        values["reference"] = fenced("reference", text, subject.token)
    if judge.ask == "aspects":
        values["aspects"] = "\n".join(f"{a.name}: {' '.join(a.about.split())}" for a in judge.aspects)
    if criteria:
        lines = (f"{i}. {' '.join(c.text.split())}" for i, c in enumerate(criteria, 1))
        values["criteria"] = fenced("criteria", "\n".join(lines), subject.token)
    out = []
    for shown, what in _shown(judge, subject, options):
        principle = draw(principles, options.seed, subject.id, what) if judge.principles and principles is not None else None
        if principle:
            values["principle"] = principle.text
        if judge.ask == "compare":
            values["first"], values["second"] = (subject.answer_text(i, f"answer {name}") for i, name in zip(shown, "AB", strict=True))
        elif judge.ask == "rank":
            values["answers"] = "\n\n".join(subject.answer_text(i, f"answer {k}") for k, i in enumerate(shown, 1))
        else:
            values["answer"] = subject.answer_text(shown[0], "answer")
        words = fill(judge.prompt, values)
        out += [Call(shown, words, principle, sample) for sample in range(options.votes)]
    return out


def _shown(judge: Judge, subject: Subject, options: JudgeOptions) -> list[tuple[tuple[int, ...], str]]:
    """What is shown in each question, and the name of its draws: both orders of a comparison share it."""
    if judge.ask == "compare":
        out: list[tuple[tuple[int, ...], str]] = []
        for i, j in comparisons(subject, options):
            what = "\n".join(sorted((subject.names[i], subject.names[j])))
            turned = options.order == "random" and _hash(options, subject, f"order\n{what}")[0] & 1
            out += [((j, i) if turned else (i, j), what)]
            out += [((j, i), what)] if options.order == "both" else []
        return out
    if judge.ask == "rank":
        places = tuple(subject.distinct)
        if options.order == "random":
            places = tuple(sorted(places, key=lambda i: _hash(options, subject, f"order\n{subject.names[i]}")))
        return [(places, "list"), *([(places[::-1], "list")] if options.order == "both" else [])]
    return [((i,), "score") for i in subject.distinct]


def _hash(options: JudgeOptions, subject: Subject, what: str) -> bytes:
    return hashlib.sha256(f"{options.seed}\n{subject.id}\n{what}".encode()).digest()


class _Maker:
    """Requests of one record and one judge, and the verdicts of their replies."""

    def __init__(self, judge: Judge, model: str, pool: str, options: JudgeOptions, n: int) -> None:
        self.judge, self.model, self.pool, self.options, self.n = judge, model, pool, options, n
        self.structured = options.structured == "json_schema"
        self.temperature = judge.temperature if options.temperature is None else options.temperature
        self.parameters: dict[str, Any] = {}
        if self.structured:
            self.parameters["response_format"] = response_format(judge, n)
        elif judge.top_logprobs and options.logprobs == "auto":
            self.parameters |= {"logprobs": True, "top_logprobs": judge.top_logprobs}
        parts = {"aspects": len(judge.aspects), "checklist": n, "rank": n}.get(judge.ask, 0)
        self.room = max(judge.max_tokens, 8 * parts) + (16 + 8 * parts if self.structured else 0)

    def request(self, call: Call, again: int = 0, *, cut: bool = False) -> Request:
        """The request of a call. A second try is another sample, warmer, with more room when the answer was cut off."""
        sample = call.sample + again * self.options.votes
        temperature = max(self.temperature, WARM) if again else self.temperature
        words = call.words + instruction(self.judge, self.n) if self.structured else call.words
        messages = [{"role": "user", "content": words}]
        if self.judge.system:
            messages.insert(0, {"role": "system", "content": self.judge.system})
        return request(
            self.model,
            messages,
            self.room * 2 if cut else self.room,
            sample=sample,
            pool=self.pool,
            temperature=temperature,
            seed=(self.options.seed + sample) % 2**31 if temperature else None,
            **self.parameters,
        )

    def verdict(self, reply: Reply, criteria: Sequence[Criterion]) -> Verdict:
        found = parse(reply, self.judge, self.n, structured=self.structured, min_p_valid=self.options.min_p_valid)
        if criteria and found.scores:
            return found._replace(score=weighted(found.scores, criteria))
        return found


def weighted(scores: dict[str, float | None], criteria: Sequence[Criterion]) -> float:
    """Σ w·pass / Σ w⁺: 1 when all is met and no pitfall is hit; pitfalls (w < 0) lower it (Rubrics as Rewards)."""
    passed = sum(c.weight * (scores[str(i)] or 0.0) for i, c in enumerate(criteria, 1))
    return passed / sum(c.weight for c in criteria if c.weight > 0)
