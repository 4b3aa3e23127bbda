"""prefdata: strict reading, conversion, every check, ids, rejects, balanced counts, manifest with hashes, a synced output."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Any

import as_command  # noqa: F401 - before polars and pyarrow: it sets the process up
import child

import prefdata

OPTIONS: dict[str, dict[str, Any]] = {
    "hh": {"from_": "hh-rlhf"},
    "evals": {"from_": "model-written-evals", "dimension": "matching"},
}


def job(work: child.Work) -> int:
    threads = {k: int(v) for k, v in work.settings.items() if k == "threads"}
    read: int = prefdata.convert(work.data, work.out, **OPTIONS[work.task], **threads, force=True).counts["read"]
    return read


def load_modules(task: str, data: str, out: str) -> None:
    """Convert one row, so that what prefdata imports when it is used is imported before the clock starts, as for every way."""
    with tempfile.TemporaryDirectory() as folder, open(data, "rb") as f:
        one = os.path.join(folder, "one.jsonl")
        with open(one, "wb") as target:
            target.write(f.readline())
        prefdata.convert(one, os.path.join(folder, "out" + os.path.splitext(out)[1]), **OPTIONS[task])


if __name__ == "__main__":
    load_modules(*sys.argv[1:4])
    child.run(job, "prefdata", "polars", "pyarrow", "pydantic", "orjson")
