"""Records to JSON lines: prefdata's export to TRL (gate, account, hashes, card, synced folder), or polars' bare sink."""

from __future__ import annotations

import os

import as_command  # noqa: F401 - before polars and pyarrow: it sets the process up
import child
import polars as pl
import pyarrow.parquet as pq

import prefdata


def job(work: child.Work) -> int:
    if work.settings["how"] == "export":
        kept: int = prefdata.export(work.data, f"{work.out}.folder", to="trl").counts["kept"]
        return kept
    pl.scan_parquet(work.data).select("prompt", "chosen", "rejected").sink_ndjson(work.out)
    return pq.ParquetFile(work.data).metadata.num_rows


def load_modules(data: str, out: str) -> None:
    """Export one record, so that imports are done before the clock starts."""
    one = f"{out}.one.parquet"
    pq.write_table(pq.ParquetFile(data).read_row_group(0).slice(0, 1), one)
    prefdata.export(one, f"{out}.warm", to="trl")
    os.unlink(one)


if __name__ == "__main__":
    import sys

    load_modules(sys.argv[2], sys.argv[3])
    child.run(job, "prefdata", "polars", "pyarrow")
