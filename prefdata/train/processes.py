"""Several processes that train one model (`accelerate launch`): who writes, who waits, and what all of them must agree on."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from prefdata.errors import PrefdataError

T = TypeVar("T")
PATIENCE = timedelta(hours=6)
"""How long a process waits for another: all but the first wait while it tokenises."""


def begin() -> torch.device:
    """Join the processes that a launcher has started, if one has. Gives the device of this process."""
    from accelerate import PartialState

    # With it transformers gives all processes but the first an empty model; here each scores a part of the reference's log-probs.
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
    device: torch.device = PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE).device
    return device


def count() -> int:
    """How many there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which one this is; the first is 0, and it alone writes."""
    return dist.get_rank() if count() > 1 else 0


def largest(number: int) -> int:
    """The largest of the processes' numbers: what all of them go by where they could decide differently."""
    if count() == 1:
        return number
    found = _moved(torch.tensor([number], dtype=torch.int64))
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return int(found.item())


def summed(numbers: torch.Tensor) -> torch.Tensor:
    """The sum over the processes, on the CPU."""
    if count() == 1:
        return numbers
    found = _moved(numbers)
    dist.all_reduce(found)
    return found.cpu()


def first(work: Callable[[], T]) -> T:
    """Do the work in the first process, then in the others, who find what it has kept. If it fails there, it does so with its message, and
    the others end with its exit code and without one."""
    if count() == 1:
        return work()
    if rank():
        if code := largest(0):
            raise SystemExit(code)
        return work()
    code = PrefdataError.exit_code
    try:
        found = work()
        code = 0
    except PrefdataError as e:
        code = e.exit_code
        raise
    finally:
        largest(code)
    return found


def _moved(tensor: torch.Tensor) -> torch.Tensor:
    """On the device that the processes talk over: NCCL carries nothing that lies on the CPU."""
    return tensor.to(torch.device("cuda", torch.cuda.current_device()) if "nccl" in dist.get_backend() else torch.device("cpu"))
