"""Hugging Face datasets: `load_dataset("json").map(...)` and `to_parquet`, without a cache from before."""

from __future__ import annotations

import bare
import child
import datasets


def job(work: child.Work) -> int:
    procs, batched = int(work.settings["procs"]), work.settings["batched"] == "yes"
    rows = datasets.load_dataset("json", data_files=work.data, split="train")
    parsed = rows.map(
        bare.batch(work.task) if batched else bare.ROW[work.task],
        batched=batched,
        num_proc=procs if procs > 1 else None,
        remove_columns=rows.column_names,
    )
    parsed.to_parquet(work.out)
    return len(parsed)


if __name__ == "__main__":
    datasets.disable_caching()
    datasets.disable_progress_bars()
    child.run(job, "datasets", "pyarrow")
