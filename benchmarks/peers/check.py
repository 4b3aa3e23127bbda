"""Checking a file of pairs: prefdata's row rules (all of them, or those of a default run with the rules over all rows), or pydantic row by
row. The pydantic ways only ask the record model; no rule beyond the schema, no ids, no line numbers."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Any

import child

import prefdata
from prefdata.cli import bulk
from prefdata.schema.records import Pair


def job(work: child.Work) -> int:
    how = work.settings["how"]
    if how in ("rows", "default"):
        return prefdata.validate(work.data, **(ROW_RULES if how == "rows" else {})).rows
    return {"parquet": from_parquet, "orjson": from_orjson, "json": from_json}[how](work.data)


def row_rules() -> dict[str, Any]:
    """Options that select every rule which looks at rows, also those that are off by default."""
    from prefdata.checks.rules import RULES

    return {"select": [code for code, rule in RULES.items() if not rule.facts and not rule.needs]}


def from_parquet(path: str) -> int:
    """Parquet by pyarrow in batches, a model per row."""
    import pyarrow.parquet as pq

    n = 0
    for batch in pq.ParquetFile(path).iter_batches(10_000):
        for row in batch.to_pylist():
            Pair.model_validate(row)
            n += 1
    return n


def from_orjson(path: str) -> int:
    import orjson

    with open(path, "rb") as f:
        return sum(Pair.model_validate(orjson.loads(line)) is not None for line in f)


def from_json(path: str) -> int:
    """pydantic's own JSON parser."""
    with open(path, "rb") as f:
        return sum(Pair.model_validate_json(line) is not None for line in f)


def load_modules(path: str) -> None:
    """Check one record, so that what is imported when it is used is imported before the clock starts, as for every way."""
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as folder:
        one = os.path.join(folder, "one" + os.path.splitext(path)[1])
        if path.endswith(".parquet"):
            pq.write_table(pq.ParquetFile(path).read_row_group(0).slice(0, 1), one)
        else:
            with open(path, "rb") as f, open(one, "wb") as target:
                target.write(f.readline())
        prefdata.validate(one, **ROW_RULES)


if __name__ == "__main__":
    if {"how=rows", "how=default"} & {*sys.argv}:
        bulk.set_up()  # as the command does; before polars and pyarrow are imported
    ROW_RULES = row_rules()
    load_modules(sys.argv[2])
    child.run(job, "prefdata", "polars", "pyarrow", "pydantic", "orjson")
    sys.exit(0)
