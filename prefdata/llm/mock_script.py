"""Scripts of the mock server: replies that somebody wrote down, by what the prompt contains, by the texts shown, or by the request."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import orjson
from pydantic import Field, ValidationError, model_validator

from prefdata.errors import InputError
from prefdata.llm.mock_judges import Opinion, Piece, Spread, write
from prefdata.llm.mock_prompt import Asked
from prefdata.options import Options
from prefdata.schema.records import explain

SAMPLES = 16
"""Requests are told apart up to this sample number when a rule names one."""


class Rule(Options):
    """One line of a script. All conditions that it names have to hold; one without any always does. The first rule that holds answers."""

    contains: str | list[str] = Field(default_factory=list, description="Words that stand in the messages.")
    prompt: str | None = Field(None, description="The fenced prompt, without spaces around it.")
    texts: list[str] | None = Field(None, description="The fenced answers in the order shown, without spaces around them.")
    request: str | None = Field(None, description="The key of the request (64 hexadecimal digits).", pattern=r"^[0-9a-f]{64}$")
    reply: str | list[str] | None = Field(None, description="What is answered; of a list one after the other, then the last for ever.")
    verdict: Literal["first", "second", "tie"] | None = Field(None, description="What is answered, in the form that the prompt asks for.")
    score: float | None = Field(None, description="As verdict, for prompts that ask for a score.")
    p: dict[str, float] | None = Field(None, description="Probabilities of the labels in the last token of the reply.")
    finish_reason: str = "stop"
    status: int = Field(200, ge=200, le=599, description="Another status is sent as an error with the reply as its message.")
    retry_after: float | None = Field(None, ge=0, description="Seconds, of an error.")

    @model_validator(mode="after")
    def _one_answer(self) -> Rule:
        if sum(x is not None for x in (self.reply, self.verdict, self.score)) != 1:
            raise ValueError("a rule has one of 'reply', 'verdict' and 'score'")
        return self


class Script:
    """The rules of a file, those with texts found by them."""

    def __init__(self, rules: list[Rule]) -> None:
        self._rules = [(i, r) for i, r in enumerate(rules) if r.texts is None]
        self._by_texts: dict[tuple[str, ...], list[tuple[int, Rule]]] = {}
        for i, r in enumerate(rules):
            if r.texts is not None:
                self._by_texts.setdefault(tuple(t.strip() for t in r.texts), []).append((i, r))
        self._keyed = any(r.request for r in rules)
        self._used = [0] * len(rules)

    def find(self, body: bytes, messages: list[Any], asked: Asked) -> tuple[Rule, list[Piece]] | None:
        """The first rule that holds, and its reply."""
        keys = _keys(body) if self._keyed else set()
        said = orjson.dumps(messages).decode()
        texts = self._by_texts.get(tuple(t.strip() for t in asked.texts), [])
        for i, rule in sorted([*texts, *self._rules], key=lambda r: r[0]):
            if _holds(rule, said, keys, asked):
                n = self._used[i]
                self._used[i] += 1
                return rule, _pieces(rule, asked, n)
        return None


def _keys(body: bytes) -> set[str]:
    return {hashlib.sha256(b"chat/completions\n%d\n" % n + body).hexdigest() for n in range(SAMPLES)}


def _holds(rule: Rule, said: str, keys: set[str], asked: Asked) -> bool:
    words = [rule.contains] if isinstance(rule.contains, str) else rule.contains
    return (
        (rule.request is None or rule.request in keys)
        and (rule.prompt is None or rule.prompt.strip() == asked.prompt.strip())
        and all(orjson.dumps(w).decode()[1:-1] in said for w in words)
    )


def _pieces(rule: Rule, asked: Asked, n: int) -> list[Piece]:
    if rule.reply is not None:
        text = rule.reply if isinstance(rule.reply, str) else rule.reply[min(n, len(rule.reply) - 1)]
        return _with_spread(text, rule.p)
    low, high = asked.scale
    share = 0.5 if rule.score is None else (rule.score - low) / (high - low)
    merits = {"first": [2.0, 0.0], "second": [0.0, 2.0]}.get(rule.verdict or "", [0.0, 0.0])
    pieces = write(asked, Opinion(merits, [share]), "As it was written down.")
    if rule.p:
        pieces = [Piece(x.text, _like(rule.p, x.text)) if x.spread else x for x in pieces]
    return pieces


def _with_spread(text: str, p: Spread | None) -> list[Piece]:
    if not p:
        return [Piece(text)]
    last = next((k for k in p if text.endswith(k)), "")
    head = text.removesuffix(last)
    space = " " if head.endswith(" ") else ""
    return [Piece(head.removesuffix(" ")), Piece(space + last, _like(p, space))] if last else [Piece(text)]


def _like(p: Spread, token: str) -> Spread:
    """Tokens begin with a space where the token that was said does."""
    return {(" " if token.startswith(" ") else "") + k: v for k, v in p.items()}


def read(path: str) -> Script:
    """A script from its JSON lines. Raises InputError with the line of every wrong rule."""
    rules, wrong = [], []
    try:
        with open(path, "rb") as f:
            for number, line in enumerate(f, 1):
                if not line.strip():
                    continue
                try:
                    rules.append(Rule.model_validate(orjson.loads(line)))
                except ValidationError as e:
                    wrong += [
                        f"{path}:{number}: {field}: {message}" if field else f"{path}:{number}: {message}" for field, message in explain(e)
                    ]
                except orjson.JSONDecodeError as e:
                    wrong.append(f"{path}:{number}: not valid JSON: {e}")
    except OSError as e:
        raise InputError(f"{path}: cannot be read ({e.strerror or e})") from None
    if wrong:
        raise InputError("\n".join([*wrong[:10], 'a rule is like {"contains": "words of the prompt", "reply": "Answer: A"}']))
    return Script(rules)
