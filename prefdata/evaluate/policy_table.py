"""The answers of both policies side by side: from lists of candidates to the table of comparisons, and to the pairs that a judge gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import polars as pl

from prefdata.errors import UsageError
from prefdata.io.write import Writer, encode, replacing
from prefdata.schema.dtypes import in_order
from prefdata.schema.ids import add_ids, turns_key_of

BASE, TUNED = "base", "tuned"
"""Names of the policies, and parts of the names of columns."""
ABOUT = ("prompt", "tools", "source", "split", "meta")
"""What pairs take over from the prompts."""
WIN, TIE, LOSS = "win", "tie", "loss"
IDENTICAL = "identical"
VERDICTS = pl.Schema({"pair": pl.String, "outcome": pl.String, "p_tuned": pl.Float64, "why": pl.String})


def sides(lists: pl.DataFrame) -> pl.DataFrame:
    """One row per prompt and sample, in order: `row` (that of the list), `sample`, and of each policy `id_`, `messages_`, `score_` and
    `finish_`; null where it has no answer (or no score). Samples of equal text are one candidate, with one finish_reason each."""
    numbered = lists.with_row_index("row")
    flat = numbered.select("row", "completions").explode("completions").unnest("completions").select("row", "id", "messages", "score")
    said = numbered.select("row", "annotations").explode("annotations").unnest("annotations")
    said = said.filter(aspect="finish_reason", kind="source")
    both = []
    for name in (BASE, TUNED):
        own = said.filter(annotator=name).select("row", pl.col("completions").list.first().alias("id"), finish="rationale")
        own = own.with_columns(sample=pl.int_range(pl.len()).over("row"))
        own = own.join(flat, on=["row", "id"], how="left", maintain_order="left")
        both.append(own.select("row", "sample", *(pl.col(c).alias(f"{c}_{name}") for c in ("id", "messages", "score", "finish"))))
    return both[0].join(both[1], on=["row", "sample"], how="full", coalesce=True).sort("row", "sample")


def pairs_of(lists: pl.DataFrame, out: str) -> int:
    """Write the comparisons of different answers as pairs, tuned as chosen, for a judge; gives their number."""
    found = paired(lists, sides(lists)).filter(pl.col("pair").is_not_null())
    about = lists.select(c for c in ABOUT if c in lists.columns).with_row_index("row")
    df = found.select("row", chosen=f"messages_{TUNED}", rejected=f"messages_{BASE}").join(
        about, on="row", how="left", maintain_order="left"
    )
    df = add_ids(df.drop("row"), "pair")
    write_frame(df.select(in_order(df.columns)), out)
    return df.height


def paired(lists: pl.DataFrame, both: pl.DataFrame) -> pl.DataFrame:
    """The sides with the id of their pair as `pair`; null where an answer is missing or both are equal."""
    ids = (f"id_{BASE}", f"id_{TUNED}")
    differ = both.with_row_index("n").filter(pl.col(ids[0]) != pl.col(ids[1]))
    about = lists.select(c for c in ("prompt", "tools") if c in lists.columns).with_row_index("row")
    df = differ.join(about, on="row", how="left", maintain_order="left")
    df = df.rename({f"messages_{TUNED}": "chosen", f"messages_{BASE}": "rejected"})
    keys = pl.DataFrame({"n": df["n"], "pair": add_ids(df, "pair")["id"]}, schema={"n": pl.UInt32, "pair": pl.String})
    return both.with_row_index("n").join(keys, on="n", how="left", maintain_order="left").drop("n")


def by_scores(lists: pl.DataFrame, tie_margin: float) -> pl.DataFrame:
    """The table of scored lists: tuned wins where its score is higher by more than the margin."""
    difference = pl.col(f"score_{TUNED}") - pl.col(f"score_{BASE}")
    both = sides(lists).with_columns(difference=difference)
    tie = pl.when(pl.col("difference").abs() <= tie_margin).then(pl.lit(TIE))
    said = tie.when(pl.col("difference") > 0).then(pl.lit(WIN)).when(pl.col("difference") < 0).then(pl.lit(LOSS))
    same = pl.when(pl.col(f"id_{BASE}") == pl.col(f"id_{TUNED}")).then(pl.lit(IDENTICAL))
    why = (
        pl.when(pl.col("difference").is_null())
        .then(pl.lit("no-score"))
        .otherwise(pl.coalesce(same, pl.when(said == TIE).then(pl.lit(TIE))))
    )
    return _table(lists, both.with_columns(outcome=said, why=why))


def by_verdicts(lists: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """The table with what judges said (`VERDICTS`, by the ids of pairs); equal answers are a tie that nobody was asked about."""
    both = paired(lists, sides(lists)).drop(f"score_{BASE}", f"score_{TUNED}")
    both = both.join(verdicts.unique("pair"), on="pair", how="left", maintain_order="left")
    same = (pl.col(f"id_{BASE}") == pl.col(f"id_{TUNED}")).fill_null(False)
    both = both.with_columns(
        outcome=pl.when(same).then(pl.lit(TIE)).otherwise("outcome"),
        why=pl.when(same)
        .then(pl.lit(IDENTICAL))
        .when(pl.col("outcome").is_null())
        .then(pl.col("why").fill_null("not-judged"))
        .otherwise("why"),
    )
    return _table(lists, both.drop("pair"))


def _table(lists: pl.DataFrame, both: pl.DataFrame) -> pl.DataFrame:
    about = lists.select(
        prompt_id=turns_key_of(lists["prompt"]).str.head(32), **{c: c for c in ("source", "split", "part", "prompt") if c in lists.columns}
    ).with_row_index("row")
    gone = [pl.when(pl.col(f"id_{name}").is_null()).then(pl.lit(f"no-answer-{name}")) for name in (BASE, TUNED)]
    df = both.join(about, on="row", how="left", maintain_order="left").with_columns(
        **{name: _text(f"messages_{name}", both.schema[f"messages_{name}"]) for name in (BASE, TUNED)},
        identical=pl.col(f"id_{BASE}") == pl.col(f"id_{TUNED}"),
        why=pl.coalesce(*gone, "why"),
    )
    df = df.with_columns(pl.col(name).str.len_chars().cast(pl.Int64).alias(f"length_{name}") for name in (BASE, TUNED))
    names = ["prompt_id", "sample", "source", "split", "part", "prompt", BASE, TUNED, "identical"]
    names += [f"{what}_{name}" for what in ("length", "finish", "score") for name in (BASE, TUNED)]
    return df.select(c for c in (*names, "difference", "p_tuned", "outcome", "why") if c in df.columns)


def _text(column: str, dtype: pl.DataType) -> pl.Expr:
    """Turns as one text: what was said, and a line for every call of a tool."""
    turn = pl.element().struct
    parts = [turn.field("content")]
    if "tool_calls" in {f.name for f in dtype.inner.fields}:  # type: ignore[attr-defined]
        call = pl.element().struct.field("function").struct
        calls = turn.field("tool_calls").list.eval(pl.concat_str(call.field("name"), call.field("arguments"), separator=" "))
        parts.append(calls.list.join("\n"))
    filled = [pl.when(p != "").then(p) for p in parts]
    return pl.col(column).list.eval(pl.concat_str(*filled, separator="\n", ignore_nulls=True)).list.join("\n")


def with_part(lists: pl.DataFrame, by: str) -> pl.DataFrame:
    """The lists with the value of a column, or of a key of meta, as `part`. Raises UsageError when no record has it."""
    found, known = values_of(lists, by)
    if not any(v is not None for v in found):
        raise nothing_by(by, known)
    return lists.with_columns(part=pl.Series(found, dtype=pl.String))


def values_of(df: pl.DataFrame, by: str) -> tuple[list[str | None], set[str]]:
    """The values, and the keys of meta that there are."""
    if by in ("source", "split"):
        return df[by].to_list() if by in df.columns else [None] * df.height, set()
    metas = [_meta(m) for m in (df["meta"] if "meta" in df.columns else [None] * df.height)]
    values = [m.get(by) for m in metas]
    found = [v if isinstance(v, str) or v is None else orjson.dumps(v).decode() for v in values]
    return found, {k for m in metas for k in m}


def nothing_by(by: str, known: set[str]) -> UsageError:
    there = ", ".join(["source", "split", *sorted(known)[:20]])
    return UsageError(f"--by {by}: no record has such a column or key of meta; there are: {there}")


def _meta(text: str | None) -> Mapping[str, Any]:
    found = orjson.loads(text) if text else {}
    return found if isinstance(found, dict) else {}


def write_frame(df: pl.DataFrame, path: str) -> None:
    """A Parquet or JSON lines file, whole or not at all."""
    form = "parquet" if path.endswith(".parquet") else "jsonl"
    with replacing(path) as temporary:
        writer = Writer(temporary, form, encode(df.clear(), form))
        writer.append(encode(df, form))
        writer.close()
