"""Run the jobs of a plan over their shards and write what comes back, in order: records, rejects, counts."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import polars as pl

from prefdata.conversion.plan import Plan
from prefdata.conversion.shard import Result, convert_rows, convert_shard
from prefdata.errors import UsageError
from prefdata.io import account, runner
from prefdata.io.account import Counts
from prefdata.io.plan import plan
from prefdata.io.rejects import Reject, RejectsFile, to_jsonl
from prefdata.io.sniff import Input
from prefdata.io.write import Writer, encode, replacing
from prefdata.sources.intake import read_rows

Progress = Callable[[int, int, int], None]


class Written(NamedTuple):
    """The books, balanced, and the output's SHA-256 (none for stdout)."""

    counts: Counts
    sha256: str | None


def write_all(p: Plan, out: str, rejects: str, progress: Progress | None) -> Written:
    """Everything to files that appear whole or not at all (stdout excepted)."""
    empty = encode(pl.DataFrame(schema=p.schema), p.form)
    if out == "-":
        bad = RejectsFile(rejects)
        with bad:
            counts = _pump(p, sys.stdout.buffer.write, bad, progress)
        sys.stdout.buffer.flush()
        return Written(counts, None)
    with replacing(out) as good, RejectsFile(rejects) as bad:
        writer = Writer(good, p.form, empty)
        try:
            counts = _pump(p, writer.append, bad, progress)
        finally:
            writer.close()
        if os.path.exists(account.manifest_path(out)):
            os.unlink(account.manifest_path(out))
    if not counts.rejected and rejects == f"{out}.rejects.jsonl" and os.path.exists(rejects):
        os.unlink(rejects)  # of an earlier run
    return Written(counts, writer.sha256)


def _pump(p: Plan, append: Callable[[Any], Any], bad: RejectsFile, progress: Progress | None) -> Counts:
    counts = Counts()
    total = sum(i.size for i in p.inputs)
    done = 0
    for inp, unit, first_line, result in _results(p):
        append(result.encoded)
        counts.add(result.counts)
        bad.write(to_jsonl(result.rejects, inp.name, unit, first_line))
        done += result.packed
        if progress:
            progress(done, total, counts.read)
    counts.check()
    return counts


def _results(p: Plan) -> Iterator[tuple[Input, str, int, Result]]:
    """`(input, "line" or "row", the shard's first line, result)` of every shard, in the order of the inputs."""
    if any(j.grouped for j in p.jobs):
        yield from _whole(p)
    elif p.options.limit is not None:
        yield from _limited(p, p.options.limit)
    else:
        for inp, job in zip(p.inputs, p.jobs, strict=True):
            line = 1
            for result in runner.run(partial(convert_shard, job=job), plan(inp), p.options.threads):
                yield inp, result.unit, line, result
                line += result.line_count


def _limited(p: Plan, limit: int) -> Iterator[tuple[Input, str, int, Result]]:
    left = limit
    for inp, job in zip(p.inputs, p.jobs, strict=True):
        line = 1
        for shard in plan(inp, 1 << 20):
            if left <= 0:
                return
            result = convert_shard(shard, job, left)
            yield inp, result.unit, line, result
            left -= result.counts.read
            line += result.line_count


def _whole(p: Plan) -> Iterator[tuple[Input, str, int, Result]]:
    """Sources and policies that put rows together: read everything, convert once."""
    frames: list[pl.DataFrame] = []
    places: list[tuple[int, int]] = []  # (input, line) of every row
    units: dict[int, str] = {}
    left = p.options.limit
    for n, (inp, job) in enumerate(zip(p.inputs, p.jobs, strict=True)):
        line = 1
        for shard in plan(inp):
            batch = read_rows(shard, job.source, job.layout, left)
            units[n] = shard.unit
            yield (
                inp,
                shard.unit,
                line,
                Result(encode(pl.DataFrame(schema=p.schema), p.form), _read(batch.rejects), batch.rejects, packed=shard.packed),
            )
            places += [(n, line + batch.line_of(i)) for i in range(batch.df.height)]
            frames.append(batch.df)
            line += batch.line_count
            if left is not None:
                left -= batch.read
                if left <= 0:
                    break
    df = _together(frames) if frames else pl.DataFrame(schema=p.jobs[0].layout.dtypes)
    result = convert_rows(df, p.jobs[0], lambda i: i, lambda i: _json_row(df, i))
    lost = result.rejects
    result.rejects = []
    yield p.inputs[0], "line", 0, result
    for n, inp in enumerate(p.inputs):
        mine = [r._replace(line=places[r.line][1]) for r in lost if places[r.line][0] == n]
        if mine:
            yield inp, units[n], 0, Result(encode(pl.DataFrame(schema=p.schema), p.form), Counts(), mine)


def _together(frames: list[pl.DataFrame]) -> pl.DataFrame:
    try:
        return pl.concat(frames)
    except (pl.exceptions.SchemaError, pl.exceptions.ShapeError):
        raise UsageError(
            "the inputs have different columns or types, and their rows must be put together: convert the files one by one, "
            "then group their outputs"
        ) from None


def _read(rejects: list[Reject]) -> Counts:
    counts = Counts(read=len(rejects))
    counts.rejected.update(r.code for r in rejects)
    return counts


def _json_row(df: pl.DataFrame, i: int) -> bytes:
    import orjson

    return orjson.dumps(df.row(i, named=True), default=str)
