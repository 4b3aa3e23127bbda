"""From a file to drafts of records: what every command that reads foreign files does first.

`intake` settles how a file is read (its source, its column layout, what the preference is about), `read_rows` reads a shard that way, and
`drafts` turns the rows into records of the source's kind. What is wrong with a row stands in its `fate`.
"""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from prefdata.errors import UsageError
from prefdata.io.columns import Layout, as_dtype
from prefdata.io.plan import Shard
from prefdata.io.probe import layout, probe
from prefdata.io.read import Batch, read_shard
from prefdata.io.rejects import Reject
from prefdata.io.sniff import Input
from prefdata.schema.dtypes import TOOL_TURNS
from prefdata.sources import decide
from prefdata.sources.choose import choose
from prefdata.sources.options import SourceOptions
from prefdata.sources.recognise import NotRecognised, named, recognise
from prefdata.sources.source import Choices, Source

REASONS = {
    "missing-field": "a required field is missing or null",
    "late-field": "the first rows of the file lack this field, so its column is not in the output; move such a row to the top",
    "bad-label": "the label is none of the source's values",
}
"""What may be wrong with a row of any source."""

TABLE_OPTIONS = (
    *("map", "system", "prompt", "chosen", "rejected", "first", "second", "preferred", "first_is", "second_is", "tie_is"),
    *("completion", "label", "score", "score_first", "score_second", "margin"),
)


class Intake(NamedTuple):
    """How a file is read."""

    source: Source
    layout: Layout
    choices: Choices
    kind: str
    """The kind of record that the source gives."""
    why: str
    """Why it is taken for this source."""


def intake(inp: Input, options: SourceOptions, to: str | None = None) -> Intake:
    """Look at the first rows of a file and settle how it is read. Raises UsageError."""
    found = probe(inp)
    if options.from_ == "auto":
        try:
            source, why = recognise(inp, found)
        except NotRecognised as e:
            if not (given := _mapped(options)):
                raise
            seen = f"its columns are {', '.join(found.columns[:12])}"
            raise UsageError(f"{inp.name}: {given}: columns are mapped with --from table; add it ({seen})") from e
    else:
        source, why = named(options.from_), "--from names it"
    if source.name != "table":
        _no_map(options, source.name)
    if source.configure is not None:
        source = source.configure(options, found, source)
    dimension = choose(source, found.columns, options.dimension, to, inp.name)
    choices = Choices(dimension or source.dimension, options.weights, options.threshold)
    kind = "pair" if source.emits == "comparison" else source.emits
    return Intake(source, layout(found, dict(source.columns), options.tools), choices, kind, why)


def _no_map(options: SourceOptions, source: str) -> None:
    if given := _mapped(options):
        raise UsageError(f"{given}: only --from table maps columns (this file is read as {source}); add --from table")


def _mapped(options: SourceOptions) -> str:
    """The given options that map columns."""
    return ", ".join(f"--{name.replace('_', '-')}" for name in TABLE_OPTIONS if getattr(options, name) is not None)


def read_rows(shard: Shard, source: Source, layout: Layout, limit: int | None = None) -> Batch:
    """The rows of a shard that have all required fields; the others are among the rejects."""
    batch = _rows_of_file(shard, source, layout) if source.rows is not None else read_shard(shard, layout, dict(source.columns))
    if limit is not None:
        batch = _head(batch, limit)
    if "file" in layout.dtypes and "file" not in layout.present:
        from os.path import basename

        batch.df = batch.df.with_columns(pl.lit(basename(shard.input.name).split(".")[0], pl.String).alias("file"))
    batch = _complete(batch, [c for c in layout.required if c in batch.df.columns])
    return _announced(batch, sorted(source.late)) if source.late else batch


def _rows_of_file(shard: Shard, source: Source, layout: Layout) -> Batch:
    import orjson

    from prefdata.io.read import fit_rows

    assert source.rows is not None and shard.data is not None
    rows = list(source.rows(shard.data, shard.input.name))
    batch = fit_rows(iter(rows), layout, dict(source.columns))
    at = dict(rows)
    lines = batch.lines or []
    batch.raw = lambda i: orjson.dumps(at[lines[i]])
    return batch


def _head(batch: Batch, limit: int) -> Batch:
    lines = [(batch.line_of(i), True) for i in range(batch.df.height)] + [(r.line, False) for r in batch.rejects]
    kept = sorted(lines)[:limit]
    last = kept[-1][0] if kept else -1
    batch.df = batch.df.head(sum(good for _, good in kept))
    batch.rejects = [r for r in batch.rejects if r.line <= last]
    return batch


def _complete(batch: Batch, required: list[str]) -> Batch:
    """Reject the rows that lack a required field."""
    df = batch.df
    if not any(df[c].null_count() for c in required):
        return batch
    missing = df.select(pl.coalesce([pl.when(pl.col(c).is_null()).then(pl.lit(c)) for c in required]).alias("f"))["f"]
    return _without(batch, missing, "missing-field")


def _announced(batch: Batch, late: list[str]) -> Batch:
    """Reject the rows that have a field which the first rows of the file lack, then drop these columns."""
    df = batch.df
    if any(df[c].null_count() < df.height for c in late):
        found = df.select(pl.coalesce([pl.when(pl.col(c).is_not_null()).then(pl.lit(c)) for c in late]).alias("f"))["f"]
        batch = _without(batch, found, "late-field")
    batch.df = batch.df.drop(late)
    return batch


def _without(batch: Batch, fields: pl.Series, code: str) -> Batch:
    """The batch without the rows for which a field is named; they become rejects."""
    for i in fields.is_not_null().arg_true().to_list():
        batch.rejects.append(Reject(batch.line_of(i), code, f"{fields[i]}: {REASONS[code]}", fields[i], batch.raw(i)))
    keep = fields.is_null().arg_true().to_list()
    before, lines = batch.raw, [batch.line_of(i) for i in keep]
    return Batch(batch.df[keep], sorted(batch.rejects, key=lambda r: r.line), lines, batch.line_count, lambda i: before(keep[i]))


def drafts(
    df: pl.DataFrame,
    source: Source,
    choices: Choices,
    to: str,
    *,
    ties: str = "drop",
    name: str | None = None,
    split: str | None = None,
    order: bool = False,
) -> tuple[pl.DataFrame, str]:
    """`(records with _row and fate, their kind)`: comparisons are decided, every other kind is the source's own (`to` picks among those
    that a source states). `name` and `split` fill the columns source and split; `order` asks for `decide.FIRST_WINS`."""
    direct = to in source.also
    draft = (source.also[to] if direct else source.read)(df, choices)  # type: ignore[index]
    draft = same_turns(_with_books(draft, name or source.name, name is not None, split))
    emits = to if direct else source.emits
    if emits != "comparison":
        return draft, emits
    return (decide.to_listwise(draft), "listwise") if to == "listwise" else (decide.to_pair(draft, ties, order), "pair")


def same_turns(df: pl.DataFrame) -> pl.DataFrame:
    """The draft with tool fields in all of its turns if they are in some: turns of two types cannot stand in one column."""
    turns = {c: df.schema[c] for c in ("prompt", "chosen", "rejected", "first", "second", "completion") if c in df.columns}
    if not any(has_tools(t) for t in turns.values()):
        return df
    return df.with_columns(as_dtype(pl.col(c), t, TOOL_TURNS).alias(c) for c, t in turns.items())


def has_tools(dtype: pl.DataType) -> bool:
    """Whether turns of this type have tool fields."""
    return "tool_calls" in str(dtype)


def _with_books(draft: pl.DataFrame, name: str, override: bool, split: str | None) -> pl.DataFrame:
    if "_row" not in draft.columns:
        draft = draft.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("_row"))
    if "fate" not in draft.columns:
        draft = draft.with_columns(pl.lit(None, pl.String).alias("fate"))
    given = pl.lit(name, pl.String)
    draft = draft.with_columns((given if "source" not in draft.columns or override else pl.coalesce("source", given)).alias("source"))
    if split:
        draft = draft.with_columns((pl.coalesce("split", pl.lit(split)) if "split" in draft.columns else pl.lit(split)).alias("split"))
    return draft


def reason_of(code: str, source: Source) -> str:
    """Why a row with this fate is not used."""
    return {**REASONS, **{d.code: d.reason for d in source.defects}}.get(code, code)
