"""Records of prefdata's own files, shard by shard and in order, with the rows that cannot be used: what every run that asks about
records reads. Memory holds a few shards, whatever the size of the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import polars as pl

from prefdata.errors import PrefdataError, UsageError
from prefdata.io import runner
from prefdata.io.account import Counts
from prefdata.io.columns import as_dtype
from prefdata.io.own import OwnFile, own_file
from prefdata.io.plan import Shard, plan
from prefdata.io.read import Batch, read_shard
from prefdata.io.rejects import Reject, to_jsonl
from prefdata.io.sniff import Input
from prefdata.schema.dtypes import in_order, schema
from prefdata.schema.ids import add_ids
from prefdata.schema.valid import problems
from prefdata.sources.intake import REASONS

SHARD_BYTES = 4 * 1024 * 1024
"""Smaller than for convert: asking is slow, so memory counts more than the overhead of a shard."""


MOST_ROWS = 8_000
"""Records that are labelled together."""


class Source(NamedTuple):
    """An input and how it is read."""

    input: Input
    file: OwnFile


class Part(NamedTuple):
    """The usable records of a shard, the books of the other rows, and what is wrong with them."""

    df: pl.DataFrame
    counts: Counts
    rejects: list[Reject]
    lines: int
    unit: str
    packed: int


def sources_of(files: Sequence[Input], kind: str | None) -> tuple[list[Source], str]:
    """How the inputs are read, and their common kind. Raises UsageError, with everything that is wrong in one message."""
    found, wrong = [], []
    for inp in files:
        try:
            found.append(Source(inp, own_file(inp, kind)))
        except PrefdataError as e:
            wrong.append(str(e))
    kinds = sorted({s.file.kind for s in found})
    if len(kinds) > 1:
        wrong.append(f"the inputs hold different kinds ({', '.join(kinds)}); take them one by one")
    if wrong:
        raise UsageError("\n".join(wrong))
    return found, kinds[0]


def columns_of(sources: Sequence[Source], kind: str) -> dict[str, pl.DataType]:
    """The columns of all inputs together, with `id` and `annotations`, in file order."""
    full = schema(kind)
    out: dict[str, pl.DataType] = {"id": full["id"], "annotations": full["annotations"]}
    for s in sources:
        for name in s.file.layout.present:
            dtype = s.file.layout.dtypes[name]
            out[name] = dtype if out.get(name, dtype) == dtype else full[name]  # one has room for tool calls
    return {c: out[c] for c in in_order(list(out))}


def parts(
    sources: Sequence[Source], columns: dict[str, pl.DataType], limit: int | None, threads: int | None
) -> Iterator[tuple[Part, bytes]]:
    """The inputs' records with their lines for the rejects file, shard by shard, in order; at most `limit` rows are read."""
    left = limit
    for source in sources:
        line = 1
        shards = plan(source.input, SHARD_BYTES)
        found = (
            runner.run(partial(read_part, source=source, columns=columns), shards, threads)
            if left is None
            else (read_part(shard, source, columns, left) for shard in shards)
        )
        for part in found:
            lines = to_jsonl(part.rejects, source.input.name, part.unit, line)
            for piece in _pieces(part):
                yield piece, lines
                lines = b""
            line += part.lines
            if left is not None:
                left -= part.counts.read
                if left <= 0:
                    return


def _pieces(part: Part) -> Iterator[Part]:
    """A shard of many small records in pieces: what is made of a record takes more memory than the record. The first has the books."""
    rest = part.df.height - MOST_ROWS
    if rest <= 0:
        yield part
        return
    books = part.counts
    yield part._replace(df=part.df[:MOST_ROWS], counts=Counts(books.read - rest, MOST_ROWS, rejected=books.rejected))
    for df in part.df[MOST_ROWS:].iter_slices(MOST_ROWS):
        yield part._replace(df=df, counts=Counts(df.height, df.height), rejects=[], lines=0, packed=0)


def read_part(shard: Shard, source: Source, columns: dict[str, pl.DataType], limit: int | None = None) -> Part:
    """One shard: its valid records with exactly these columns, ids made where the file has none."""
    kind, layout = source.file.kind, source.file.layout
    batch = read_shard(shard, layout, source.file.columns)
    if limit is not None:
        batch = head_of(batch, limit)
    df = batch.df if "id" in layout.present else batch.df.drop("id", strict=False)
    why: dict[int, Reject] = {}
    for p in problems(df, kind):
        why.setdefault(p.row, Reject(batch.line_of(p.row), p.code, p.message, p.field, batch.raw(p.row)))
    for c in (c for c in df.columns if c not in columns):  # the first rows of the file lack it
        for i in df[c].is_not_null().arg_true().to_list():
            why.setdefault(i, Reject(batch.line_of(i), "late-field", f"{c}: {REASONS['late-field']}", c, batch.raw(i)))
    df = df if not why else df.with_row_index("_i").filter(~pl.col("_i").is_in(list(why))).drop("_i")
    df = df if "id" in df.columns else add_ids(df, kind)
    have = df.schema
    df = df.with_columns((as_dtype(pl.col(c), have[c], t) if c in have else pl.lit(None, t)).alias(c) for c, t in columns.items())
    counts = Counts(batch.read, df.height, rejected=Counter(r.code for r in (*batch.rejects, *why.values())))
    rejects = sorted([*batch.rejects, *why.values()], key=lambda r: r.line)
    return Part(df.select(list(columns)), counts, rejects, batch.line_count, shard.unit, shard.packed)


def head_of(batch: Batch, limit: int) -> Batch:
    """The first rows, usable or not."""
    lines = [(batch.line_of(i), True) for i in range(batch.df.height)] + [(r.line, False) for r in batch.rejects]
    kept = sorted(lines)[:limit]
    last = kept[-1][0] if kept else -1
    batch.df = batch.df.head(sum(good for _, good in kept))
    batch.rejects = [r for r in batch.rejects if r.line <= last]
    return batch
