"""What the mock server answers: judges that go by something simple, so that what they say can be worked out by hand.

longest, shortest   the longer (shorter) answer is better; equal lengths are a tie
overlap             the answer that shares more words with the reference (without one: the prompt) is better
first, second       the place decides, whatever the answers say
tie                 all answers are equally good
constant            always the same line, `Answer: A`, whatever is asked
garbage, empty      words without a verdict; no words at all
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import orjson

from prefdata.llm.mock_prompt import Asked, is_number, is_yes_no

Name = Literal["longest", "shortest", "overlap", "first", "second", "tie", "constant", "garbage", "empty", "script"]
NAMES: tuple[str, ...] = get_args(Name)
Spread = dict[str, float]
"""Probabilities of the tokens that could stand in one place."""


class Piece(NamedTuple):
    """A part of a reply. One with a spread is a single token."""

    text: str
    spread: Spread | None = None


class Opinion(NamedTuple):
    """What a judge thinks, before it is written in the form asked for. `merits` are on the scale of log-odds, `shares` of the scale from
    its lowest (0) to its highest score (1), one for each answer."""

    merits: Sequence[float]
    shares: Sequence[float]


def _overlap(text: str, asked: Asked) -> float:
    """Share of the words of the reference (the prompt) that the text has."""
    wanted, words = (set(re.findall(r"\w+", t.lower())) for t in (asked.reference or asked.prompt, text))
    return len(wanted & words) / len(wanted) if wanted else 0.0


def opinion(judge: str, asked: Asked) -> Opinion:
    texts = asked.texts or (asked.prompt,)
    if judge in ("longest", "shortest"):
        sign = 1 if judge == "longest" else -1
        shares = [len(t) / (len(t) + 400) for t in texts]
        return Opinion([sign * 3 * math.log1p(len(t)) for t in texts], shares if sign == 1 else [1 - s for s in shares])
    if judge == "overlap":
        shares = [_overlap(t, asked) for t in texts]
        return Opinion([6 * s for s in shares], shares)
    step = {"first": -2.5, "second": 2.5}.get(judge, 0.0)
    return Opinion([step * i for i in range(len(texts))], [0.5] * len(texts))


def reply(judge: str, asked: Asked) -> list[Piece]:
    """The reply of a judge by name. The same prompt always gets the same reply."""
    if judge == "empty":
        return []
    if judge == "garbage":
        return [Piece("".join(f"{w} " for w in re.findall("....", _digest(asked))) + "{[" + "…")]
    if judge == "constant":
        return [Piece("Answer:"), Piece(" A", labels(1.0))]
    if asked.form in ("critique", "revision", "chat"):
        return [Piece(_prose(asked))]
    return write(asked, opinion(judge, asked), f"Judged by the rule '{judge}'.")


def write(asked: Asked, found: Opinion, reason: str) -> list[Piece]:
    """An opinion in the form that the prompt asks for."""
    if asked.schema:
        return list(_json(asked.schema, asked, found, reason, iter(range(1 << 20))))
    lines: list[list[Piece]] = [[Piece(reason)]] if asked.reasons else []
    space = "" if asked.bare else " "
    start = [] if asked.bare else [Piece({"compare": "Answer:", "score": "Score:", "rank": "Ranking:"}.get(asked.form, ""))]
    if asked.form == "compare":
        lines.append([*start, _token(compared(found), space)])
    elif asked.form == "rank":
        lines.append([*start, Piece(space + ranked(found))])
    elif asked.form == "score":
        lines.append([*start, _token(scored(found.shares[0], *asked.scale), space)])
    elif asked.form == "aspects":
        lines += [[Piece(f"{n}:"), _token(scored(found.shares[0], *asked.scale), " ")] for n in asked.names]
    else:
        lines += [[Piece(f"{n}:"), Piece(" yes" if _passes(found, i, len(asked.names)) else " no")] for i, n in enumerate(asked.names)]
    return [piece for i, line in enumerate(lines) for piece in ([Piece("\n"), *line] if i else line)]


def _token(spread: Spread, space: str, quoted: Callable[[str], str] = str) -> Piece:
    found = {space + quoted(k): p for k, p in spread.items()}
    return Piece(max(found, key=lambda k: found[k]), found)


def labels(a: float, b: float = 0.0, tie: float = 0.0) -> Spread:
    return {"A": a, "B": b, "tie": tie}


def compared(found: Opinion) -> Spread:
    """Probabilities of A, B and tie: the logistic function of the difference of merits, at least 0.3 and at most 6 to either side."""
    first, second = (*found.merits, 0.0, 0.0)[:2]
    if first == second:
        return labels(0.05, 0.05, 0.9)
    odds = math.copysign(min(max(abs(first - second), 0.3), 6.0), first - second)
    p = 1 / (1 + math.exp(-odds))
    return labels(0.98 * p, 0.98 * (1 - p), 0.02)


def scored(share: float, low: int, high: int) -> Spread:
    """Probabilities of the scores: they fall by the factor e^1.5 with every point of distance."""
    x = low + min(max(share, 0.0), 1.0) * (high - low)
    weights = {str(i): math.exp(-1.5 * abs(i - x)) for i in range(low, high + 1)}
    return {k: w / sum(weights.values()) for k, w in weights.items()}


def levels(found: Opinion) -> list[list[int]]:
    """The places (from 1) by merit, best first; equal merits share a level."""
    return [[i + 1 for i, m in enumerate(found.merits) if m == merit] for merit in sorted(set(found.merits), reverse=True)]


def ranked(found: Opinion) -> str:
    return " > ".join(" = ".join(map(str, level)) for level in levels(found))


def _passes(found: Opinion, i: int, n: int) -> bool:
    """Whether the i-th of n criteria is met: the better an answer, the more of them."""
    return found.shares[0] > (i + 1) / (n + 1)


def _json(schema: Mapping[str, Any], asked: Asked, found: Opinion, reason: str, seen: Iterator[int], name: str = "") -> Iterator[Piece]:
    """A value of a schema, the opinion in its places for labels, numbers, lists and yes or no."""
    kind, values = schema.get("type"), schema.get("enum")
    if kind == "object" or "properties" in schema:
        yield Piece("{")
        for i, (key, inner) in enumerate(schema.get("properties", {}).items()):
            yield Piece(("," if i else "") + orjson.dumps(key).decode() + ":")
            yield from _json(inner, asked, found, reason, seen, key)
        yield Piece("}")
    elif is_yes_no(schema):
        yes = _passes(found, next(seen), max(len(asked.names), 1))
        yield Piece(str(yes).lower() if kind == "boolean" else '"yes"' if yes else '"no"')
    elif is_number(schema):
        low, high = schema.get("minimum", asked.scale[0]), schema.get("maximum", asked.scale[1])
        numbers = [v for v in values or () if v is not None]
        low, high = (min(numbers), max(numbers)) if numbers else (int(low), int(high))
        yield _token(scored(found.shares[0], low, high), "")
    elif kind == "array":
        inner = schema.get("items", {})
        order = levels(found) if inner.get("type") == "array" else [i for level in levels(found) for i in level]
        yield Piece(orjson.dumps([str(i) for i in order] if inner.get("type") == "string" else order).decode())
    elif values:
        spread = dict(zip(_labelled(values), compared(found).values(), strict=False))
        yield from (Piece('"'), _token(spread, ""), Piece('"'))
    else:
        yield Piece(orjson.dumps(ranked(found) if "rank" in name and asked.form == "rank" else reason).decode())


def _labelled(values: list[Any]) -> list[str]:
    """The values of an enum in the order first, second, tie."""
    ties = [str(v) for v in values if re.fullmatch("tie|tied|equal|c|both|neither", str(v), re.IGNORECASE)]
    return [str(v) for v in values if str(v) not in ties][:2] + ties[:1]


def _digest(asked: Asked) -> str:
    return hashlib.sha256("\0".join([asked.form, asked.prompt, *asked.texts]).encode("utf-8", "surrogatepass")).hexdigest()


_SENTENCES = (
    "It goes a little further than others do.",
    "It has an example, too: take the first thing that comes to mind.",
    "And at the end it says everything once more in other words.",
)
"""What longer samples say behind the first sentence."""


def _prose(asked: Asked) -> str:
    """Words of the right kind, different for every prompt."""
    mark = _digest(asked)[:8]
    if asked.form == "critique":
        return f"The answer could be more careful and more to the point (note {mark})."
    if asked.form == "revision":
        return f"I would rather help with this in a safe way. What exactly do you want to achieve? (version {mark})"
    said = f"This is what a mock model has to say about it (answer {mark})."
    if asked.seed is not None:
        drawn = hashlib.sha256(f"{mark} {asked.seed}".encode()).digest()
        said = " ".join([f"This is a sample of a mock model (answer {drawn.hex()[:8]}).", *_SENTENCES[: drawn[-1] % (len(_SENTENCES) + 1)]])
    return f"[[thought]]\nWhat could be asked here? (thought {mark})\n[[answer]]\n{said}" if asked.thoughts else said
