"""A constitution: written principles by which a model compares answers (RL-CAI) or criticises and revises them (SL-CAI).

Bai et al. 2022, arXiv:2212.08073. Those that ship are in `recipes/constitutions/`; `constitution_json.py` reads the paper's JSON files.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator

from prefdata.errors import UsageError
from prefdata.options import Options

About = Literal["harmlessness", "helpfulness", "honesty", "anti-preachiness"]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Words = Annotated[str, Field(min_length=1, max_length=10_000)]


class Principle(Options):
    """What the better of two answers is told by: a question or an instruction, as it stands in the judge's prompt."""

    id: Id
    text: Words
    about: About | None = None


class CritiquePair(Options):
    """What to look for in an answer, and how to rewrite it after that."""

    id: Id
    critique: Words
    revision: Words
    about: About | None = None


class Example(Options):
    """A worked critique and revision, shown to the model before its own (few-shot). `pair` is the id of the critique pair it follows."""

    pair: Id
    prompt: Words
    draft: Words
    critique: Words
    revision: Words


class Constitution(Options):
    """Principles with stable ids. `version` goes up when a text changes; manifests also hold the hash of every text."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    version: int = Field(ge=1)
    about: str = Field(description="One sentence for 'prefdata list constitutions'.")
    comparison: list[Principle] = Field(default_factory=list)
    critique: list[CritiquePair] = Field(default_factory=list)
    examples: list[Example] = Field(default_factory=list)

    @model_validator(mode="after")
    def _whole(self) -> Constitution:
        if not self.comparison and not self.critique:
            raise ValueError("a constitution has 'comparison' principles, 'critique' pairs, or both")
        for part, ids in (("comparison", [p.id for p in self.comparison]), ("critique", [c.id for c in self.critique])):
            twice = sorted(i for i, n in Counter(ids).items() if n > 1)
            if twice:
                raise ValueError(f"{part}: the ids {twice} are used twice; labels name principles by their id")
        unknown = sorted({e.pair for e in self.examples} - {c.id for c in self.critique})
        if unknown:
            raise ValueError(f"examples: no critique pair is called {unknown}")
        return self


def load(name: str) -> Constitution:
    """A shipped constitution by its name, a YAML of one's own or a JSON file of the paper's repository by its path.

    Raises UsageError that says what is wrong with the file.
    """
    if name.lower().endswith(".json"):
        from prefdata.judges import constitution_json

        return constitution_json.load(name)
    from prefdata.yaml_files import read

    found: Constitution = read(Constitution, "constitutions", name)
    return found


def only(constitution: Constitution, about: Sequence[str]) -> Constitution:
    """The principles about these values. Raises UsageError when none is left."""
    comparison = [p for p in constitution.comparison if p.about in about]
    critique = [c for c in constitution.critique if c.about in about]
    if not comparison and not critique:
        values = [*(p.about for p in constitution.comparison), *(c.about for c in constitution.critique)]
        have = sorted({v for v in values if v})
        raise UsageError(
            f"the constitution {constitution.name} has no principle about {', '.join(about)}; it has {', '.join(have) or 'no values'}"
        )
    kept = {c.id for c in critique}
    return constitution.model_copy(
        update={"comparison": comparison, "critique": critique, "examples": [e for e in constitution.examples if e.pair in kept]}
    )


def draw(constitution: Constitution, seed: int, record_id: str, what: str) -> Principle:
    """The comparison principle for one comparison (`what` says which) of one record. Raises UsageError when there is none."""
    if not constitution.comparison:
        raise UsageError(f"the constitution {constitution.name} has no comparison principles, which judges compare by; 'revise' can use it")
    return _drawn(constitution.comparison, seed, record_id, what)


def draw_pair(constitution: Constitution, seed: int, record_id: str, what: str) -> CritiquePair:
    """The critique pair for one step (`what` says which) of one record. Raises UsageError when there is none."""
    if not constitution.critique:
        raise UsageError(f"the constitution {constitution.name} has no critique pairs, which 'revise' needs; judges can compare by it")
    return _drawn(constitution.critique, seed, record_id, what)


T = TypeVar("T", Principle, CritiquePair)


def _drawn(principles: Sequence[T], seed: int, record_id: str, what: str) -> T:
    """Uniform, from SHA-256: the principle whose hash with the seed, the record and the place is the smallest.

    So neither the order of the file nor of the records matters, and a principle that is added takes over its own share of the draws
    only: all other replies in a journal stay good.
    """
    base = hashlib.sha256(f"{seed}\n{record_id}\n{what}\n".encode())

    def rank(principle: T) -> tuple[bytes, str]:
        digest = base.copy()
        digest.update(principle.id.encode())
        return digest.digest(), principle.id

    return min(principles, key=rank)


def as_manifest(constitution: Constitution) -> dict[str, Any]:
    """Name, version and the hash of every text by principle id, for manifests."""
    return {
        "name": constitution.name,
        "version": constitution.version,
        "comparison": {p.id: _hash(p.text) for p in constitution.comparison},
        "critique": {c.id: _hash(c.critique, c.revision) for c in constitution.critique},
        "examples": [_hash(e.pair, e.prompt, e.draft, e.critique, e.revision) for e in constitution.examples],
    }


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
