"""What a prompt asks for, read from the prompt alone, as a model would: the fenced texts, and the form of the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Form = Literal["compare", "score", "aspects", "checklist", "rank", "critique", "revision", "chat"]


class Asked(NamedTuple):
    """A prompt as the mock judges see it."""

    form: Form
    texts: tuple[str, ...] = ()
    """The answers to judge, in the order shown."""
    prompt: str = ""
    """What they answer (of a chat: the last user message)."""
    reference: str | None = None
    names: tuple[str, ...] = ()
    """Of aspects and criteria, in the order in which they are to be answered."""
    scale: tuple[int, int] = (1, 10)
    reasons: bool = False
    """Whether there is room for reasons before the verdict."""
    bare: bool = False
    """Whether there is room for the label alone."""
    schema: Mapping[str, Any] | None = None
    """The JSON Schema that the reply has to follow."""
    seed: int | None = None
    """Of an answer that is sampled: another seed is another answer."""
    thoughts: bool = False
    """Whether thoughts are to be written before the answer, behind markers."""


class Fenced(NamedTuple):
    name: str
    text: str


_OPEN = re.compile(r"^<<<(?!end )([^<>\n]+) ([0-9a-f]{8,64})>>>$", re.MULTILINE)
_ABOUT = re.compile(
    r"^(prompt|conversation|question|instruction|reference|principle|aspects?|criteri|checklist|rubric|critique|draft)", re.IGNORECASE
)


def fenced(text: str) -> tuple[list[Fenced], str]:
    """The outermost fenced texts in their order, and the text without them. The first fence's token is the record's; a fence with any
    other token is part of somebody's text."""
    first = _OPEN.search(text)
    if not first:
        return [], text
    token = first[2]
    edge = re.compile(rf"^<<<(.+) {token}>>>$\n?", re.MULTILINE)
    found: list[Fenced] = []
    outside: list[str] = []
    depth, behind, name, inner = 0, 0, "", 0
    for m in edge.finditer(text):
        if m[1] == "end":
            depth -= 1
            if depth == 0:
                found.append(Fenced(name, text[inner : m.start()].removesuffix("\n")))
                behind = m.end()
        else:
            if depth == 0:
                outside.append(text[behind : m.start()])
                name, inner = m[1], m.end()
            depth += 1
    return found, "".join([*outside, text[behind:]])


_LINES: dict[Form, str] = {
    "compare": r"\banswer:|\[\[A\]\]",
    "score": r"\bscore:|\[\[rating\]\]",
    "rank": r"\branking:",
    "checklist": r"\b1: ?(?:yes|no)\b",
    "revision": r"\brevision ?(?:request)?:",
    "critique": r"\bcritique ?(?:request)?:",
}
"""The line that says how the answer is to be written; the last one in the prompt counts."""
_WORDS: dict[Form, str] = {"revision": r"\b(?:revis|rewrit)", "critique": r"\bcriti(?:que|ci)"}
_ASPECT = re.compile(r"^[-*` ]*([a-z][a-z0-9_-]*)`?: *(?:`?<?(?:\d+|N|number|score)>?`?) *$", re.MULTILINE)
_SCALE = re.compile(r"(?<![\d.])(-?\d{1,3}) *(?:to|through|-|–|and) *(\d{1,3})(?!\d|\.\d)")
BARE = 4
"""Up to so many tokens there is room for a label alone."""
REASONS = 64
"""From so many tokens on, reasons are written first."""


def asked(body: Mapping[str, Any]) -> Asked:
    """What the body of a chat completion asks for."""
    texts = [_text(m) for m in body["messages"]]
    last = texts[-1]
    cut = [fenced(text) for text in texts]
    fences = next((f for f, _ in reversed(cut) if f), [])  # of several messages those before are examples
    outside = "\n".join(static for _, static in cut)
    schema = _schema(body)
    room = body.get("max_completion_tokens") or body.get("max_tokens") or 1 << 20
    seed = body.get("seed")
    form, names = _of_schema(schema) if schema else _of_words(cut[-1][1], outside, fences)
    about = [f for f in fences if _ABOUT.match(f.name)]
    prompts = [f.text for f in about if re.match("prompt|conversation|question|instruction", f.name, re.IGNORECASE)]
    scale = next(((int(a), int(b)) for a, b in _SCALE.findall(outside) if int(a) < int(b)), (1, 10))
    return Asked(
        form=form,
        texts=tuple(f.text for f in fences if not _ABOUT.match(f.name)),
        prompt=prompts[0] if prompts else last,
        reference=next((f.text for f in about if f.name.lower().startswith("reference")), None),
        names=names,
        scale=scale,
        reasons=room >= REASONS,
        bare=room <= BARE,
        schema=schema,
        seed=seed if type(seed) is int and body.get("temperature") else None,
        thoughts=all(any(marker in text for text in texts) for marker in ("[[thought]]", "[[answer]]")),
    )


def _text(message: Any) -> str:
    """The text of a message; of a list of parts, those that are text."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        content = "\n".join(p["text"] for p in content if isinstance(p, dict) and isinstance(p.get("text"), str))
    return content if isinstance(content, str) else ""


def _schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    wanted = body.get("response_format")
    inner = wanted.get("json_schema") if isinstance(wanted, dict) else None
    schema = inner.get("schema") if isinstance(inner, dict) else None
    return schema if isinstance(schema, dict) else None


def _of_schema(schema: Mapping[str, Any]) -> tuple[Form, tuple[str, ...]]:
    """The form by what the properties may be: labels, a list, numbers, yes or no. Numbers in an object of their own are aspects."""
    properties = {k: v for k, v in (schema.get("properties") or {}).items() if isinstance(v, dict)}
    nested = next((v for v in properties.values() if v.get("type") == "object"), None)
    numbers = [k for k, v in properties.items() if is_number(v)]
    yes_no = [k for k, v in properties.items() if is_yes_no(v)]
    if nested:
        form, names = _of_schema(nested)
        return ("aspects" if form == "score" else form), names
    if any(v.get("type") == "array" for v in properties.values()) or "ranking" in properties:
        return "rank", ()
    if yes_no:
        return "checklist", tuple(yes_no)
    if any("enum" in v and not is_number(v) for v in properties.values()):
        return "compare", ()
    return ("score" if len(numbers) == 1 else "aspects" if numbers else "chat"), tuple(numbers)


def is_number(schema: Mapping[str, Any]) -> bool:
    """A number, or null."""
    kinds, values = schema.get("type"), schema.get("enum")
    said = set(kinds) if isinstance(kinds, list) else {kinds}
    return bool(said & {"integer", "number"}) or (isinstance(values, list) and all(type(v) is int for v in values))


def is_yes_no(schema: Mapping[str, Any]) -> bool:
    values = schema.get("enum")
    return schema.get("type") == "boolean" or (isinstance(values, list) and {str(v).lower() for v in values} == {"yes", "no"})


def _of_words(last: str, outside: str, fences: list[Fenced]) -> tuple[Form, tuple[str, ...]]:
    for text in (last, outside):
        places = {form: _last(pattern, text) for form, pattern in _LINES.items()}
        form = max(places, key=lambda f: places[f])
        aspects = [(m.start(), m[1]) for m in _ASPECT.finditer(text) if m[1] not in ("answer", "score", "ranking")]
        if aspects and aspects[-1][0] > places[form]:
            return "aspects", tuple(dict.fromkeys(name for _, name in aspects))
        if places[form] >= 0:
            return form, _criteria(outside, fences) if form == "checklist" else ()
    places = {form: _last(pattern, last) for form, pattern in _WORDS.items()}
    form = max(places, key=lambda f: places[f])
    return (form if places[form] >= 0 else "chat"), ()


def _last(pattern: str, text: str) -> int:
    return max((m.start() for m in re.finditer(pattern, text, re.IGNORECASE)), default=-1)


def _criteria(outside: str, fences: list[Fenced]) -> tuple[str, ...]:
    """The numbers of the criteria: of numbered lines, fenced or not."""
    source = next((f.text for f in fences if re.match("criteri|checklist", f.name, re.IGNORECASE)), outside)
    return tuple(dict.fromkeys(re.findall(r"^ *(\d+)[.):]", source, re.MULTILINE))) or ("1",)
