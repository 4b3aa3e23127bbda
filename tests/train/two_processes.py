"""What each of two processes does in test_distributed.py: the jobs of a file, one after the other. Not a test itself.

accelerate shards models (FSDP) on GPUs only, though torch does it on CPUs too: it is told that these processes have GPUs.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

from prefdata.cli.train_ import run
from prefdata.errors import PrefdataError
from prefdata.train.options import TrainOptions

begin = AcceleratorState.__init__


def as_if_on_gpus(self: Any, *args: Any, **kwargs: Any) -> None:
    PartialState(cpu=True)
    if AcceleratorState._shared_state == {}:
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    begin(self, *args, **kwargs)


def main(jobs: str, ends: str) -> None:
    """Run the jobs; how each ended goes to a file of this process."""
    torch.set_num_threads(1)
    os.environ |= {"FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP"}
    found = []
    for job in json.loads(Path(jobs).read_text()):
        os.environ |= {"ACCELERATE_USE_FSDP": str(job["fsdp"]).lower(), "FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}  # as the launcher does
        # with Linear the output layer is a unit of its own, whose weight is there only while it is called
        os.environ["FSDP_TRANSFORMER_CLS_TO_WRAP"] = "Linear" if job["method"] == "dpo" else "LlamaDecoderLayer"
        AcceleratorState.__init__ = as_if_on_gpus if job["fsdp"] else begin
        try:
            run(TrainOptions(**job["options"]), job["method"], [job["data"]], job["out"], False, False)
            found.append("done")
        except (PrefdataError, SystemExit) as e:
            found.append(f"{type(e).__name__}: {e}")
    Path(f"{ends}-{os.environ['RANK']}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
