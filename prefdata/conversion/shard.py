"""The convert step: a function from a shard to a shard with its counts. It depends on its arguments only, so any runner may run it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from prefdata.conversion import kinds
from prefdata.conversion.options import ConvertOptions
from prefdata.errors import AccountError, UsageError
from prefdata.io.account import Counts
from prefdata.io.columns import TEXT, Layout, as_dtype
from prefdata.io.plan import Shard
from prefdata.io.rejects import Reject
from prefdata.io.write import encode
from prefdata.schema.dtypes import in_order
from prefdata.schema.ids import add_ids, arrow_of
from prefdata.schema.valid import problems
from prefdata.sources.intake import drafts, has_tools, read_rows, reason_of
from prefdata.sources.source import Choices, Source

DROPS = {
    "tie": "neither answer is preferred (--ties soft keeps it as a pair with p_chosen 0.5)",
    "abstain": "the annotator gave no verdict",
    "invalid": "the verdict could not be read",
    "undecided": "fewer than two candidates have a score or rank",
    "small-margin": "no two candidates differ by --min-margin",
    "both-labels": "the same completion of the same prompt also has the other label",
    "no-counterpart": "no completion of the same prompt has the other label",
}
TURN_COLUMNS = ("prompt", "chosen", "rejected", "completion")
GROUPED_ROUTES = {("pair", "listwise"), ("binary", "pair"), ("binary", "listwise")}


@dataclass(frozen=True)
class Job:
    """Everything that a shard's conversion depends on besides its rows. It can be pickled."""

    source: Source
    layout: Layout
    choices: Choices
    options: ConvertOptions
    to: str
    form: str
    schema: dict[str, pl.DataType] = field(default_factory=dict)
    """Columns of the output with their dtypes; empty while they are being found out."""

    @property
    def route(self) -> tuple[str, str]:
        return ("", self.to) if self.to in self.source.also else (self.source.emits, self.to)

    @property
    def grouped(self) -> bool:
        return self.source.grouped or self.route in GROUPED_ROUTES


@dataclass
class Result:
    """A converted shard: the encoded records, the books, and the unusable rows."""

    encoded: Any
    counts: Counts
    rejects: list[Reject]
    line_count: int = 0
    packed: int = 0
    unit: str = "line"
    """What the rejects' numbers count: lines, or rows where a file has no lines."""


def convert_shard(shard: Shard, job: Job, limit: int | None = None) -> Result:
    """Read, convert, check and encode one shard."""
    batch = read_rows(shard, job.source, job.layout, limit)
    result = convert_rows(batch.df, job, batch.line_of, batch.raw)
    result.counts.read = batch.read
    result.counts.rejected.update(r.code for r in batch.rejects)
    result.rejects = sorted([*batch.rejects, *result.rejects], key=lambda r: r.line)
    result.line_count, result.packed, result.unit = batch.line_count, shard.packed, shard.unit
    return result


def convert_rows(df: pl.DataFrame, job: Job, line_of: Callable[[int], int], raw: Callable[[int], bytes]) -> Result:
    """Rows of a source to encoded records with their books. `counts.read` covers these rows only."""
    records = records_of(df, job)
    good = records.filter(pl.col("fate").is_null())
    if len(good) == len(records):
        good = records
    counts, lost = _settle(records, df.height, job.source)
    reasons, fields = _refused(records, "why"), _refused(records, "at")
    counts.written = good.height
    rejects = [Reject(line_of(row), code, reasons.get(row) or _reason(code, job.source), fields.get(row), raw(row)) for row, code in lost]
    arrow = {c: arrow_of(good[c]) for c in TURN_COLUMNS if c in good.columns}
    out = add_ids(good.select(pl.exclude("fate", "_row", "why", "at")), job.to, arrow)
    if not job.schema:
        return Result(out, counts, rejects)
    same = {c: a for c, a in arrow.items() if out.schema[c] == job.schema[c]}
    return Result(encode(shaped(out, job.schema), job.form, same), counts, rejects)


def _refused(records: pl.DataFrame, column: str) -> dict[int, str]:
    """What the models say about each row that they refuse; what they say about a grouped record holds for all of its rows."""
    if column not in records.columns:
        return {}
    refused = records.filter(pl.col(column).is_not_null()).select("_row", column)
    if isinstance(refused.schema["_row"], pl.List):
        refused = refused.explode("_row", empty_as_null=False, keep_nulls=False)
    return dict(zip(*refused, strict=True))


def records_of(df: pl.DataFrame, job: Job) -> pl.DataFrame:
    """Records of the wanted kind with `_row`, `fate` and, for those that the models refuse, `why` and `at`."""
    o = job.options
    draft, emits = drafts(df, job.source, job.choices, job.to, ties=o.ties, name=o.source, split=o.split)
    return _to_kind(_checked(draft, emits), emits, job.to, o)


def _to_kind(df: pl.DataFrame, emits: str, to: str, o: ConvertOptions) -> pl.DataFrame:
    """Valid records to another kind; what was refused keeps its fate."""
    if emits == to:
        return df
    if (emits, to) == ("listwise", "pair"):
        return kinds.listwise_to_pair(df, o)
    if (emits, to) == ("listwise", "binary"):
        return kinds.listwise_to_binary(df, o)
    if (emits, to) == ("pair", "binary"):
        return kinds.pair_to_binary(df)
    if (emits, to) == ("pair", "listwise"):
        return kinds.pair_to_listwise(df)
    if (emits, to) == ("binary", "pair"):
        return kinds.binary_to_pair(df, o)
    if (emits, to) == ("binary", "listwise"):
        return kinds.binary_to_listwise(df)
    raise UsageError(f"cannot turn {emits} records into {to} records")


def _checked(df: pl.DataFrame, kind: str) -> pl.DataFrame:
    live = df["fate"].is_null().to_numpy()
    found: dict[int, tuple[str, str, str]] = {}
    for p in problems(df.select(pl.exclude("fate", "_row", "at")), kind, live):
        found.setdefault(p.row, (p.code, p.message, p.field))
    if not found:
        return df
    rows = list(found)
    none = pl.Series([None] * df.height, dtype=pl.String)
    codes, whys, fields = (none.clone().scatter(rows, list(column)) for column in zip(*found.values(), strict=True))
    return df.with_columns(
        pl.coalesce("fate", codes).alias("fate"),
        whys.alias("why"),
        pl.coalesce(*([pl.col("at")] if "at" in df.columns else []), fields).alias("at"),
    )


def _settle(records: pl.DataFrame, n: int, source: Source) -> tuple[Counts, list[tuple[int, str]]]:
    """The counts of n rows, and the rejected rows with their codes."""
    counts = Counts(read=n)
    fates = records.select("_row", "fate")
    if isinstance(fates.schema["_row"], pl.List):
        fates = fates.explode("_row", empty_as_null=False, keep_nulls=False)
    if fates.height == n and np.array_equal(fates["_row"].to_numpy(), np.arange(n)):  # the plain case: one draft per row, in order
        at = fates["fate"].is_not_null().arg_true()
        lost = list(zip(at.to_list(), fates["fate"].gather(at).to_list(), strict=True))
    else:
        rows = fates.group_by("_row").agg(kept=pl.col("fate").is_null().any(), fate=pl.col("fate").drop_nulls().first()).sort("_row")
        if rows.height != n:
            raise AccountError(
                f"source {source.name}: {n} rows went in and {rows.height} came out; nothing was written. Please report this"
            )
        kept = rows.filter("kept")["_row"]
        counts.skipped.update(fates.filter(pl.col("fate").is_not_null() & pl.col("_row").is_in(kept.implode()))["fate"].to_list())
        lost = [(int(row), code) for row, code in rows.filter(~pl.col("kept")).select("_row", "fate").iter_rows()]
    counts.kept = n - len(lost)
    drops = {**DROPS, **{d.code: d.reason for d in source.defects if d.action == "drop"}}
    counts.dropped = Counter(code for _, code in lost if code in drops)
    rejected = [(row, code) for row, code in lost if code not in drops]
    counts.rejected = Counter(code for _, code in rejected)
    return counts, rejected


def _reason(code: str, source: Source) -> str:
    return DROPS.get(code) or reason_of(code, source)


def shaped(df: pl.DataFrame, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """The frame with exactly these columns; columns and turn fields that it lacks are null."""
    columns = [(as_dtype(pl.col(c), df.schema[c], t) if c in df.columns else pl.lit(None, t)).alias(c) for c, t in schema.items()]
    return df.with_columns(columns).select(list(schema))


def output_schema(jobs: list[Job]) -> dict[str, pl.DataType]:
    """Columns of the output: the union over the sources, with tool fields where one of them has them."""
    from prefdata.schema.dtypes import schema

    found: dict[str, pl.DataType] = {}
    for job in jobs:
        empty = pl.DataFrame(schema=job.layout.dtypes or {"json": TEXT}).drop(job.source.late)
        records = records_of(empty, job)
        frame = add_ids(records.select(pl.exclude("fate", "_row", "why", "at")), job.to)
        for name, dtype in frame.schema.items():
            full = schema(job.to)[name]
            narrow = not has_tools(dtype) and not has_tools(found.get(name, dtype))
            found[name] = _without_tools(full) if narrow else full
    return {c: found[c] for c in in_order(list(found))}


def _without_tools(dtype: pl.DataType) -> pl.DataType:
    if isinstance(dtype, pl.List):
        return pl.List(_without_tools(dtype.inner))  # type: ignore[arg-type]
    if isinstance(dtype, pl.Struct):
        fields = {f.name: f.dtype for f in dtype.fields}
        if "tool_calls" in fields:
            return pl.Struct({k: fields[k] for k in ("role", "content")})
        return pl.Struct({k: _without_tools(t) for k, t in fields.items()})  # type: ignore[arg-type]
    return dtype
