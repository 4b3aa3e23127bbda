"""Prompts to be answered: of records of any kind, or of a file that has nothing but a column `prompt` (a text, or turns)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from pydantic import ValidationError

from prefdata.errors import UsageError
from prefdata.io.account import Counts
from prefdata.io.columns import TEXT, Layout, as_dtype, may, need
from prefdata.io.own import kinds_of
from prefdata.io.plan import Shard, plan
from prefdata.io.probe import layout, probe
from prefdata.io.read import read_shard
from prefdata.io.rejects import Reject, to_jsonl
from prefdata.io.sniff import Input
from prefdata.judges.records import SHARD_BYTES, Part, columns_of, head_of, parts, sources_of
from prefdata.schema.dtypes import TOOL_TURNS, TURNS, in_order
from prefdata.schema.ids import turns_key_of
from prefdata.schema.records import Record, explain
from prefdata.schema.valid import RULES, suspects
from prefdata.sources.intake import REASONS

COLUMNS = {
    "prompt": need(TURNS, TOOL_TURNS, TEXT),
    "system": may(TEXT),
    "tools": may(TEXT),
    "source": may(TEXT),
    "split": may(TEXT),
    "meta": may(TEXT),
}


class Prompts(NamedTuple):
    """The inputs as they are read: the kind of their records (None: prompts alone), their columns, and a function that reads them shard by
    shard, with the lines for the rejects file."""

    kind: str | None
    columns: dict[str, pl.DataType]
    parts: Callable[[], Iterator[tuple[Part, bytes]]]


def prompts_of(files: Sequence[Input], kind: str | None, limit: int | None) -> Prompts:
    """Raises UsageError when the inputs are neither records nor prompts, or some of each."""
    probes = [probe(f) for f in files]
    bare = [kind is None and not kinds_of(p) and "prompt" in p.columns for p in probes]
    for inp, p in zip(files, probes, strict=True):
        if kind is None and not kinds_of(p) and "prompt" not in p.columns:
            seen = ", ".join(p.columns[:10]) or "none that could be read"
            raise UsageError(
                f"{inp.name} has neither records nor a column 'prompt' (columns: {seen}); 'prefdata convert' makes records of other files"
            )
    if not any(bare):
        sources, found = sources_of(files, kind)
        columns = columns_of(sources, found)
        return Prompts(found, columns, partial(parts, sources, columns, limit, None))
    if not all(bare):
        names = [f.name for f, b in zip(files, bare, strict=True) if not b]
        raise UsageError(f"{', '.join(names)}: records, and the other inputs are prompts alone; take them one by one")
    layouts = [layout(p, COLUMNS) for p in probes]
    tools = any(lay.dtypes["prompt"] == TOOL_TURNS for lay in layouts)
    present = {c for lay in layouts for c in lay.present} - {"system"}
    types = {c: t for c, (t, *_) in ((c, column.types) for c, column in COLUMNS.items()) if c in present}
    columns = {"id": TEXT, **types, "prompt": TOOL_TURNS if tools else TURNS}
    columns = {c: columns[c] for c in in_order(list(columns))}
    return Prompts(None, columns, partial(_bare_parts, list(zip(files, layouts, strict=True)), columns, limit))


def _bare_parts(inputs: list[tuple[Input, Layout]], columns: dict[str, pl.DataType], left: int | None) -> Iterator[tuple[Part, bytes]]:
    for inp, lay in inputs:
        line = 1
        for shard in plan(inp, SHARD_BYTES):
            part = _bare_part(shard, lay, columns, left)
            yield part, to_jsonl(part.rejects, inp.name, part.unit, line)
            line += part.lines
            left = None if left is None else left - part.counts.read
            if left is not None and left <= 0:
                return


def _bare_part(shard: Shard, lay: Layout, columns: dict[str, pl.DataType], limit: int | None) -> Part:
    """One shard of prompts: turns made of texts, what the model of a record refuses rejected, ids made of the prompts."""
    batch = read_shard(shard, lay, COLUMNS)
    if limit is not None:
        batch = head_of(batch, limit)
    df = with_turns(batch.df, columns["prompt"])
    why = {i: Reject(batch.line_of(i), code, message, field, batch.raw(i)) for i, code, field, message in _refused(df, columns)}
    df = df if not why else df.with_row_index("_i").filter(~pl.col("_i").is_in(list(why))).drop("_i")
    df = df.with_columns(turns_key_of(df["prompt"]).str.head(32).alias("id")).select(list(columns))
    counts = Counts(batch.read, df.height, rejected=Counter(r.code for r in (*batch.rejects, *why.values())))
    rejects = sorted([*batch.rejects, *why.values()], key=lambda r: r.line)
    return Part(df, counts, rejects, batch.line_count, shard.unit, shard.packed)


def with_turns(df: pl.DataFrame, dtype: pl.DataType) -> pl.DataFrame:
    """The prompt as turns; a column `system` becomes the first turn."""
    prompt = df["prompt"].dtype
    if isinstance(prompt, pl.String):
        turn = pl.struct(pl.lit("user").alias("role"), pl.col("prompt").alias("content"))
        df = df.with_columns(pl.when(pl.col("prompt").is_not_null()).then(pl.concat_list(turn)).alias("prompt"))
    df = df.with_columns(as_dtype(pl.col("prompt"), df["prompt"].dtype, dtype).alias("prompt"))
    said = pl.struct(pl.lit("system").alias("role"), pl.col("system").alias("content"))
    system = as_dtype(pl.concat_list(said), TURNS, dtype)
    given = pl.col("system").str.contains(r"\S")  # the empty cell of a CSV file is no system text
    return df.with_columns(pl.when(given).then(pl.concat_list(system, "prompt")).otherwise("prompt").alias("prompt"))


def _refused(df: pl.DataFrame, columns: dict[str, pl.DataType]) -> Iterator[tuple[int, str, str, str]]:
    """`(row, code, field, message)` of every row that cannot be used, worded by the model of records."""
    for c in (c for c in df.columns if c not in columns and c != "system"):  # the first rows of the file lack it
        for i in df[c].is_not_null().arg_true().to_list():
            yield i, "late-field", c, f"{c}: {REASONS['late-field']}"
    df = df.select(c for c in columns if c in df.columns)
    for i in np.flatnonzero(suspects(df, "prompt")).tolist():
        row: dict[str, Any] = {"id": "0" * 32, **df.row(i, named=True)}
        try:
            Record.model_validate(row)
        except ValidationError as e:
            code = RULES.get(e.errors(include_url=False, include_input=False)[0]["type"], "PD101")
            field, message = explain(e)[0]
            missing = row["prompt"] is None
            yield i, "missing-field" if missing else code, field, f"prompt: {REASONS['missing-field']}" if missing else message
