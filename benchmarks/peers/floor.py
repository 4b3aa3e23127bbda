"""The floor: two stages that a strict converter cannot leave out, each alone, on two threads, with nothing between them.

Read: the strict JSON reader over byte ranges, `validate(full=True)`, the tables thrown away. Write: the records that prefdata writes,
ready in memory, with prefdata's own writer settings, half to one file and half to another. The floor is the sum of the two times.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import as_command  # noqa: F401 - before polars and pyarrow: it sets the process up
import child
import polars as pl
import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq

from prefdata.io.parquet import ROW_GROUP, parquet_writer

THREADS = 2
SHARD, BLOCK = 16 << 20, 4 << 20


def timed(fn: Callable[[Any], int], items: Iterable[Any]) -> tuple[float, int]:
    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        total = sum(pool.map(fn, items))
    return time.perf_counter() - started, total


def read(path: str) -> tuple[float, int]:
    """Seconds and rows of a strict read of the whole file."""
    with open(path, "rb") as f:
        first = json.loads(f.readline())
    kinds = {str: pa.string(), float: pa.float64()}
    optional = {"statement": pa.string(), "label_confidence": pa.float64()} if "question" in first else {}
    schema = pa.schema({k: kinds[type(v)] for k, v in first.items()} | optional)

    def one(span: tuple[int, int]) -> int:
        with open(path, "rb") as f:
            f.seek(span[0])
            data = f.read(span[1] - span[0])
        table = pj.read_json(
            pa.BufferReader(data),
            read_options=pj.ReadOptions(block_size=BLOCK, use_threads=False),
            parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
        table.validate(full=True)
        rows: int = table.num_rows
        return rows

    return timed(one, _spans(path))


def _spans(path: str) -> Iterable[tuple[int, int]]:
    size, start = os.path.getsize(path), 0
    with open(path, "rb") as f:
        while start < size:
            f.seek(min(start + SHARD, size))
            f.readline()
            yield start, f.tell()
            start = f.tell()


def write_parquet(table: pa.Table, out: str) -> float:
    half = table.num_rows // 2
    parts = [(table.slice(0, half), out + ".0"), (table.slice(half), out + ".1")]

    def one(part: tuple[pa.Table, str]) -> int:
        with open(part[1], "wb") as f, parquet_writer(f, part[0].schema) as writer:
            writer.write_table(part[0], row_group_size=ROW_GROUP)
        return 0

    return timed(one, parts)[0]


def write_jsonl(table: pa.Table, out: str) -> float:
    df = pl.DataFrame(pl.from_arrow(table))
    step = -(-df.height // THREADS)

    def one(i: int) -> int:
        with open(f"{out}.{i}", "wb") as f:
            for part in df.slice(i * step, step).iter_slices(ROW_GROUP):
                part.write_ndjson(f)
        return 0

    return timed(one, range(THREADS))[0]


def job(work: child.Work) -> dict[str, Any]:
    table = pq.read_table(work.settings["converted"]).combine_chunks()
    reading, rows = read(work.data)
    writing = (write_parquet if work.settings["form"] == "parquet" else write_jsonl)(table, work.out)
    return {"rows": rows, "seconds": reading + writing, "stages": {"read": round(reading, 3), "write": round(writing, 3)}}


if __name__ == "__main__":
    child.run(job, "polars", "pyarrow")
