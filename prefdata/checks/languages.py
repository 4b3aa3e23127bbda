"""PD7: is the answer in the language of its prompt? As far as scripts tell."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from prefdata.checks.rule import Rule
from prefdata.checks.screens import Blocks, texts_of
from prefdata.checks.view import Hits, Ints, Mask, View
from prefdata.io.positions import before, words

HEAD = 1000
"""How many characters of a text are counted: enough to come past an instruction that stands before a text in another language."""

SCRIPTS = {
    "Latin": r"\p{Latin}",
    "Cyrillic": r"\p{Cyrillic}",
    "Greek": r"\p{Greek}",
    "Arabic": r"\p{Arabic}",
    "Hebrew": r"\p{Hebrew}",
    "Devanagari": r"\p{Devanagari}",
    "Bengali": r"\p{Bengali}",
    "Tamil": r"\p{Tamil}",
    "Thai": r"\p{Thai}",
    "Korean": r"\p{Hangul}",
    "Han": r"\p{Han}",
    "Japanese": r"[\p{Hiragana}\p{Katakana}]",
}


NONE, UNKNOWN = len(SCRIPTS), 255
_SCRIPT = np.full(0x110000, UNKNOWN, dtype=np.uint8)
"""The script of each character (its place in SCRIPTS, or NONE), as far as characters have been seen."""
_IS = [pl.col("c").str.contains(pattern).alias(name) for name, pattern in SCRIPTS.items()]
_HAN, _JAPANESE = ([*SCRIPTS].index(name) for name in ("Han", "Japanese"))
TEXTS = 1000
"""Texts that are counted at a time."""


def script_of(texts: pl.Series, letters: int, share: float) -> Ints:
    """The script that most letters of each text are of (its place in SCRIPTS); -1 where there are few letters, or no script has the
    share."""
    heads = texts.str.head(HEAD).to_list()
    parts = [_counts(heads[i : i + TEXTS]) for i in range(0, len(heads), TEXTS)]
    counts = np.concatenate([np.zeros((0, len(SCRIPTS)), dtype=np.int64), *parts])
    japanese, han = counts[:, _JAPANESE], counts[:, _HAN]
    kana = japanese * 5 > han  # kana make a text Japanese, whose other characters are Han
    counts[:, _JAPANESE], counts[:, _HAN] = np.where(kana, japanese + han, 0), np.where(kana, 0, han)
    best = counts.max(axis=1)
    return np.where((best >= letters) & (best >= share * counts.sum(axis=1)), counts.argmax(axis=1), -1)


def _counts(texts: list[str]) -> Ints:
    """How many letters of each script each text has."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), dtype="<u4")
    new = np.unique(codes[_SCRIPT[codes] == UNKNOWN])
    if len(new):
        flags = pl.DataFrame({"c": [chr(c) for c in new]}).select(_IS).to_numpy()
        _SCRIPT[new] = np.where(flags.any(axis=1), flags.argmax(axis=1), NONE)
    owner = np.repeat(np.arange(len(texts)), [len(t) for t in texts])
    places = np.bincount(owner * (NONE + 1) + _SCRIPT[codes], minlength=len(texts) * (NONE + 1))
    return places.reshape(-1, NONE + 1)[:, :NONE]


def language_mix(v: View, letters: int = 12, share: float = 0.6) -> list[Hits]:
    """Rows in which no text has many bytes per character are Latin throughout and not looked at."""
    prompt = v.turns("prompt")
    wide = dict(zip(v.columns, map(_wide, texts_of(v).blocks), strict=True))
    rows = {c: np.repeat(np.arange(len(v)), v.turns(c).lengths) for c in v.answers}
    look = wide["prompt"][prompt.ends - 1]
    for c in v.answers:
        look[rows[c][wide[c]]] = True
    some = np.flatnonzero(look)
    if not len(some):
        return []
    prompts = np.full(len(v), -1)
    prompts[some] = script_of(prompt.last.gather(some), letters, share)
    out: list[Hits] = []
    for c in v.answers:
        turns = v.turns(c)
        at = np.flatnonzero(look[rows[c]])
        at = at[(turns.flat["role"].gather(at) == "assistant").to_numpy()]
        for which, (a, b) in _differing(prompts[rows[c][at]], script_of(turns.content.gather(at), letters, share)):
            out.append(turns.hits_at(at[which], c, f"the prompt is in {a}, the answer in {b} script"))
    if v.kind == "pair":
        at = some[prompts[some] < 0]
        sides = (script_of(v.turns(c).first.gather(at), letters, share) for c in v.answers)
        for which, (a, b) in _differing(*sides):
            out.append(Hits(at[which], "rejected", note=f"chosen is in {a}, rejected in {b} script"))
    return out


def _differing(a: Ints, b: Ints) -> Iterator[tuple[Mask, tuple[str, str]]]:
    """Where two known scripts differ, by the two."""
    names = [*SCRIPTS]
    differ = (a >= 0) & (b >= 0) & (a != b)
    for x, y in dict.fromkeys(zip(a[differ].tolist(), b[differ].tolist(), strict=True)):
        yield (a == x) & (b == y), (names[x], names[y])


def _wide(blocks: Blocks) -> Mask:
    """Texts of which a third of the characters or more is not ASCII: that many bytes (128 to 191) continue a character."""
    more = np.diff(before(words(pl.Series(blocks.bytes.view(np.int8)) < -64), blocks.offsets))
    found: Mask = more * 3 >= np.diff(blocks.offsets) - more
    return found


RULES = (
    Rule(
        code="PD704",
        name="language-mix",
        severity="info",
        message="an answer is written in another script than its prompt",
        reason="Unless a translation was asked for, it teaches the model to switch languages.",
        bad='"prompt": "Was ist …?", "chosen": "Это …"',
        good='"prompt": "Was ist …?", "chosen": "Das ist …"',
        fix="drop the row, unless a translation was asked for",
        row=language_mix,
        on=False,
    ),
)
