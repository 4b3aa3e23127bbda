"""The ways of doing the job, and the settings that each is tried at: the best one counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

PEERS = Path(__file__).resolve().parent / "peers"


@dataclass(frozen=True)
class Way:
    """A script with the settings to try, the format it writes, and the prefdata way that it is compared with."""

    script: str
    form: str
    what: str
    settings: tuple[dict[str, str], ...] = field(default_factory=lambda: ({},))
    peer: str = ""
    """Runs under the interpreter given for this name with --peer, on --peer-rows rows."""

    @property
    def outside(self) -> bool:
        return bool(self.peer)

    @property
    def path(self) -> Path:
        return PEERS / self.script


_ROWS, _BATCHES = (tuple({"procs": p, "batched": b} for p in "12") for b in ("no", "yes"))

WAYS = {
    "prefdata-parquet": Way(
        "whole_path.py", "parquet", "whole path: strict read, convert, checks, ids, rejects, accounts, hashes, synced Parquet zstd-3"
    ),
    "floor-parquet": Way("floor.py", "parquet", "strict read alone + Parquet zstd-3 write alone, two threads each", ({"form": "parquet"},)),
    "datasets": Way("hf_datasets.py", "parquet", "bare parse: load_dataset, map row by row, to_parquet", _ROWS),
    "datasets-batched": Way("hf_datasets.py", "parquet", "bare parse: the same, with a function that takes 1,000 rows", _BATCHES),
    "distilabel": Way(
        "distilabel_step.py", "parquet", "bare parse: one step of a pipeline", ({"batch": "1000"}, {"batch": "5000"}), peer="distilabel"
    ),
    "data-juicer": Way("data_juicer_op.py", "parquet", "bare parse: one mapper that takes a row", _ROWS, peer="data-juicer"),
    "data-juicer-batched": Way("data_juicer_op.py", "parquet", "bare parse: the same, with 1,000 rows", _BATCHES, peer="data-juicer"),
    "prefdata-jsonl": Way("whole_path.py", "jsonl", "whole path, as above, to JSON lines"),
    "floor-jsonl": Way("floor.py", "jsonl", "strict read alone + JSON lines write alone, two threads each", ({"form": "jsonl"},)),
    "orjson+pydantic": Way("pydantic_loop.py", "jsonl", "bare parse: a loop over lines, a model per row"),
}
TASKS = {"hh": "HH-RLHF transcripts", "evals": "model-written evals"}
