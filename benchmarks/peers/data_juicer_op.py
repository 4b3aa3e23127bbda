"""Data-Juicer: one mapper that does the bare job, by rows or in batches, and its Parquet exporter. No tracer, monitor, hashes."""

from __future__ import annotations

from typing import Any

import bare
import child
import datasets
from data_juicer.core.data import NestedDataset
from data_juicer.core.exporter import Exporter
from data_juicer.ops.base_op import Mapper
from loguru import logger


class Row(Mapper):
    """A raw row to messages."""

    _name = "row"

    def __init__(self, task: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.run_row = bare.ROW[task]

    def process_single(self, sample: dict[str, Any]) -> dict[str, Any]:
        return self.run_row(sample)


class Batch(Mapper):
    """Raw rows to messages."""

    _name = "batch"
    _batched_op = True

    def __init__(self, task: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.run_batch = bare.batch(task)
        self.names = bare.COLUMNS[task]

    def process_batched(self, samples: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self.run_batch(samples)


def job(work: child.Work) -> int:
    procs = int(work.settings["procs"])
    rows = datasets.load_dataset("json", data_files=work.data, split="train")
    kind = Batch if work.settings["batched"] == "yes" else Row
    op = kind(work.task, num_proc=procs, auto_op_parallelism=False, batch_size=1000)
    done = NestedDataset(rows).process([op], open_monitor=False)
    done = done.select_columns(["prompt", "chosen", "rejected"])
    Exporter(work.out, export_type="parquet", num_proc=procs, export_stats=False).export(done)
    return len(done)


if __name__ == "__main__":
    logger.remove()
    datasets.disable_caching()
    datasets.disable_progress_bars()
    child.run(job, "py-data-juicer", "datasets", "pyarrow")
