"""PD7: is the answer in the language of its prompt? As far as scripts tell."""

from __future__ import annotations

import numpy as np
import polars as pl

from prefdata.checks.rule import Rule
from prefdata.checks.screens import hits
from prefdata.checks.view import Hits, Mask, View

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


COUNTS = [pl.col("t").str.count_matches(pattern).cast(pl.Int64).alias(name) for name, pattern in SCRIPTS.items()]


def script_of(texts: pl.Series, letters: int, share: float) -> pl.Series:
    """The script that most letters of each text are of; null where there are few letters, or no script has the share."""
    if not len(texts):
        return pl.Series("s", [], dtype=pl.String)
    counts = pl.DataFrame({"t": texts.str.head(HEAD)}).select(COUNTS)
    # kana make a text Japanese, whose other characters are Han
    kana = pl.col("Japanese") * 5 > pl.col("Han")
    counts = counts.with_columns(
        Japanese=pl.when(kana).then(pl.col("Japanese") + pl.col("Han")).otherwise(0), Han=pl.when(kana).then(0).otherwise(pl.col("Han"))
    )
    best, total = pl.max_horizontal(*SCRIPTS), pl.sum_horizontal(*SCRIPTS)
    name = pl.coalesce(pl.when(pl.col(s) == best).then(pl.lit(s)) for s in SCRIPTS)
    return counts.select(pl.when((best >= letters) & (best >= share * total)).then(name).alias("s"))["s"]


def language_mix(v: View, letters: int = 12, share: float = 0.6) -> list[Hits]:
    """Rows in which no text has many bytes per character are Latin throughout and not looked at."""
    rows = {c: np.repeat(np.arange(len(v)), v.turns(c).lengths) for c in v.answers}
    asked = v.turns("prompt").last
    look = _wide(asked)
    for c in v.answers:
        look[rows[c][_wide(v.turns(c).content)]] = True
    if not look.any():
        return []
    place = np.cumsum(look) - 1
    prompts = script_of(asked.filter(look), letters, share)
    out: list[Hits] = []
    for c in v.answers:
        at = np.flatnonzero(look[rows[c]])
        at = at[(v.turns(c).flat["role"].gather(at) == "assistant").to_numpy()]
        found = pl.DataFrame(
            {"a": prompts.gather(place[rows[c][at]]), "b": script_of(v.turns(c).content.gather(at), letters, share), "turn": at}
        )
        for (a, b), part in found.filter(pl.col("a") != pl.col("b")).group_by("a", "b", maintain_order=True):
            out += hits(v.turns(c), part["turn"], c, f"the prompt is in {a}, the answer in {b} script")
    if v.kind == "pair":
        at = np.flatnonzero(look)[prompts.is_null().to_numpy()]
        sides = {c: script_of(v.turns(c).first.gather(at), letters, share) for c in v.answers}
        found = pl.DataFrame({"a": sides["chosen"], "b": sides["rejected"], "row": at})
        for (a, b), part in found.filter(pl.col("a") != pl.col("b")).group_by("a", "b", maintain_order=True):
            out.append(Hits(part["row"].to_numpy(), "rejected", note=f"chosen is in {a}, rejected in {b} script"))
    return out


def _wide(texts: pl.Series) -> Mask:
    """Whether a third of the characters or more is not ASCII."""
    characters = texts.str.len_chars().cast(pl.Int64)
    return ((texts.str.len_bytes() - characters) * 3 >= characters).to_numpy(writable=True)


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
