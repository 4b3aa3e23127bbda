"""Judges that answer requests: one that knows the truth, and those that go wrong in known ways."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping

from prefdata.judges.judge import Judge
from tests.judges.reading import Body, Key, Server, Spread, answers, completion, odds, tokens_of

Quality = Mapping[Key, int]
"""From 1 to 5, by candidate."""


def oracle(judge: Judge, quality: Quality) -> Server:
    """Says the truth in whatever form the request asks for."""
    return lambda body: speak(judge, body, [quality[a] for a in answers(body)])


def by_place(judge: Judge, first: bool = True) -> Server:
    """Prefers the first (or the last) place whatever stands there, and scores everything alike."""

    def server(body: Body) -> bytes:
        n = len(answers(body))
        return speak(judge, body, [3] if n == 1 else [max(1, 5 - i) if first else min(5, 1 + i) for i in range(n)])

    return server


def speak(judge: Judge, body: Body, qualities: list[int]) -> bytes:
    """A reply that says how good the answers shown are, as JSON where the request has a schema."""
    if "response_format" in body:
        return completion(json.dumps(_fields(judge, body, qualities)))
    text, spreads = _FORMS[judge.ask](judge, qualities, body)
    if judge.reasoning:
        text = 'The first says "[[A]]" and "Answer: A".\nScore: 2\nRanking: 1 > 2\n\n' + text
    return completion(text, tokens_of(text, spreads) if body.get("logprobs") else None)


Form = Callable[[Judge, list[int], Body], tuple[str, dict[int, Spread]]]


def _compare(judge: Judge, q: list[int], body: Body) -> tuple[str, dict[int, Spread]]:
    label = "A" if q[0] > q[1] else "B" if q[0] < q[1] else "tie"
    if judge.reasoning:
        return f"**Answer: {label}**", {}
    return label, {0: odds(1.5 * (q[0] - q[1])) if label != "tie" else odds(0.0, tie=0.8)}


def near(score: int, judge: Judge, space: str = "") -> Spread:
    """Log-probs of scores that fall by 3 with every point of distance."""
    values = range(judge.scale[0], judge.scale[1] + 1)
    total = sum(math.exp(-3.0 * abs(v - score)) for v in values)
    return {f"{space}{v}": -3.0 * abs(v - score) - math.log(total) for v in values}


def _score(judge: Judge, q: list[int], body: Body) -> tuple[str, dict[int, Spread]]:
    return (f"Score: {q[0]}", {}) if judge.reasoning else (str(q[0]), {0: near(q[0], judge)})


def _aspects(judge: Judge, q: list[int], body: Body) -> tuple[str, dict[int, Spread]]:
    lines = [f"{a.name}: {q[0]}" for a in reversed(judge.aspects)]
    return "\n".join(lines), {}


def _checklist(judge: Judge, q: list[int], body: Body) -> tuple[str, dict[int, Spread]]:
    return "\n".join(f"{i}: {'yes' if i <= q[0] else 'no'}" for i in range(1, 6)), {}


def levels(q: list[int]) -> list[list[int]]:
    return [[i for i, x in enumerate(q, 1) if x == level] for level in sorted(set(q), reverse=True)]


def _rank(judge: Judge, q: list[int], body: Body) -> tuple[str, dict[int, Spread]]:
    return "Ranking: " + " > ".join(" = ".join(map(str, level)) for level in levels(q)), {}


_FORMS: dict[str, Form] = {"compare": _compare, "score": _score, "aspects": _aspects, "checklist": _checklist, "rank": _rank}


def _fields(judge: Judge, body: Body, q: list[int]) -> dict[str, object]:
    said: dict[str, object] = {"rationale": 'It says {"verdict": "A"}.'} if judge.reasoning else {}
    if judge.ask == "compare":
        said["verdict"] = "A" if q[0] > q[1] else "B" if q[0] < q[1] else "tie"
    elif judge.ask == "score":
        said["score"] = q[0]
    elif judge.ask == "aspects":
        said["scores"] = {a.name: q[0] for a in judge.aspects}
    elif judge.ask == "checklist":
        said["scores"] = {str(i): "yes" if i <= q[0] else "no" for i in range(1, 6)}
    else:
        said["ranking"] = levels(q)
    assert list(body["response_format"]["json_schema"]["schema"]["properties"]) == list(said)
    return said
