"""What the rules on the data set as a whole look at in a record: its best and its worst answer, their format, and what was shown first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from prefdata.checks.refusals import is_refusal
from prefdata.checks.view import Ints, Turns, View
from prefdata.sources.decide import FIRST_WINS

FORMATS: dict[str, str | bytes] = {
    "a list": r"\n- |\n\* |\n• |\n1\. |\n2\. |\n1\) |\n2\) ",
    "bold text": r"\*\*",
    "a heading": r"(?:^|\n)#{1,6} ",
    "a code block": r"```",
    "a table": r"\|--|\| --|\|:-|\| :-",
    "a link": r"://",
    "more than one paragraph": r"\n\n",
    "an exclamation mark": r"!",
    "an emoji": b"\xf0\x9f",
    "a question mark at its end": r"\?\s*$",
    "an end without punctuation": r"[\p{L}\p{N},]\s*$",
}
"""Features of an answer that need no reading, in the order of the bits of a format fact. Alternatives of literal texts are searched many
times faster than a class beside an anchor, so a list that opens a text is told by its second item; the bytes begin all of U+1F000-1FFFF."""


def formats(content: pl.Series) -> pl.Series:
    """The features that each text has, as bits."""
    out = np.zeros(len(content), dtype=np.uint16)
    encoded = content.cast(pl.Binary)
    for bit, what in enumerate(FORMATS.values()):
        flags = encoded.bin.contains(what) if isinstance(what, bytes) else content.str.contains(what)
        out |= flags.to_numpy().astype(np.uint16) << np.uint16(bit)
    return pl.Series("format", out)


def of_answer(v: View, best: bool, what: Callable[[Turns], pl.Series]) -> pl.Series:
    """Something about each record's best (or worst) answer: chosen or rejected, the completion where its label says so, the candidate
    with the best or worst score or rank. Null where there is none."""
    if v.kind == "pair":
        return what(v.turns("chosen" if best else "rejected"))
    if v.kind == "binary":
        rows = np.flatnonzero(v.df["label"].to_numpy() == best)
        found = v.df["completion"].gather(rows)
    else:
        rows, found = _extreme(v, best)
    place = np.full(len(v), -1)
    place[rows] = np.arange(len(rows))
    at = pl.DataFrame({"at": place}).select(pl.when(pl.col("at") >= 0).then("at"))["at"]
    return what(Turns(found)).gather(at)


def candidates(v: View) -> pl.DataFrame:
    """One line per candidate that has a value: `row`, `messages`, `value` (higher is better: the score if every decided candidate of the
    record has one, else minus the rank if every one has a rank), and `many`: whether the record has several of them."""
    lists = v.df["completions"]
    rows = np.repeat(np.arange(len(v)), lists.list.len().fill_null(0).to_numpy())
    df = lists.list.explode(empty_as_null=False, keep_nulls=False).struct.unnest().with_columns(pl.Series("row", rows))
    score, rank = pl.col("score"), pl.col("rank")
    by_score = (score.is_not_null() | rank.is_null()).all().over("row")
    by_rank = (rank.is_not_null() | score.is_null()).all().over("row")
    df = df.select("row", "messages", pl.when(by_score).then(score).when(by_rank).then(-rank).alias("value")).drop_nulls("value")
    return df.with_columns((pl.len().over("row") > 1).alias("many"))


def _extreme(v: View, best: bool) -> tuple[Ints, pl.Series]:
    """The rows whose candidates are not all equal, and their best (or worst) candidate's turns; of equal ones the first."""
    df = candidates(v).with_row_index("i")
    value = pl.col("value")
    at = pl.col("i").get(value.arg_max() if best else value.arg_min())
    found = df.group_by("row", maintain_order=True).agg(at, (value.n_unique() > 1).alias("decided")).filter("decided")
    return found["row"].to_numpy(), df["messages"].gather(found["i"])


def tied(v: View) -> pl.Series:
    """Whether all candidates of a record with a value have the same; null where fewer than two have one."""
    df = candidates(v).filter("many")
    found = df.group_by("row", maintain_order=True).agg((pl.col("value").n_unique() == 1).alias("tied"))
    out = pl.Series([None], dtype=pl.Boolean).new_from_index(0, len(v))
    return out.scatter(found["row"].to_numpy(), found["tied"])


def refuses(turns: Turns) -> pl.Series:
    """Whether an answer refuses."""
    return pl.DataFrame({"content": turns.last}).select(is_refusal(pl.col("content")).alias("f"))["f"]


def first_wins(v: View) -> pl.Series:
    """Whether the first of two compared answers is the chosen one. It is known of comparisons, whose columns are the order."""
    return v.df[FIRST_WINS] if FIRST_WINS in v.df.columns else pl.repeat(None, len(v), dtype=pl.Boolean, eager=True)


def votes(v: View, won: bool) -> pl.Series:
    """How many times people and judges were shown two answers and preferred one; or how many times the one shown first (`won`)."""
    if "annotations" not in v.df.columns:
        return pl.repeat(0, len(v), dtype=pl.UInt16, eager=True)
    lists = v.df["annotations"]
    flat = lists.list.explode(keep_nulls=False, empty_as_null=False).struct.unnest()
    said = pl.col("kind").is_in(["human", "judge"]) & (pl.col("completions").list.len() == 2)
    flags = flat.select((said & pl.col("outcome").is_in(["first"] if won else ["first", "second"])).fill_null(False).alias("f"))["f"]
    total = np.concatenate([[0], np.cumsum(flags.to_numpy())])
    ends = np.cumsum(lists.list.len().fill_null(0).to_numpy().astype(np.int64))
    return pl.Series(np.diff(total[np.concatenate([[0], ends])]).astype(np.uint16))
