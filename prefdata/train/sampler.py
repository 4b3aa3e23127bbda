"""Which rows make up each optimizer step, on each rank: a function of seed, epoch and the lengths alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def steps(lengths: Any, batch: int, seed: int, epoch: int) -> list[list[int]]:
    """The epoch's rows in random order, `batch` a step; the last step has what is left."""
    order = np.random.default_rng([seed, epoch]).permutation(len(lengths)).tolist()
    return [order[i : i + batch] for i in range(0, len(order), batch)]


def shared_out(rows: list[int], lengths: Any, ranks: int) -> list[list[int]]:
    """A step's rows by rank with about equal numbers of tokens: the longest row goes to the rank with the fewest so far."""
    out: list[list[int]] = [[] for _ in range(ranks)]
    load = [0] * ranks
    for i in sorted(rows, key=lambda i: (-int(lengths[i]), i)):
        at = load.index(min(load))
        out[at].append(i)
        load[at] += int(lengths[i])
    return out


def micro_batches(rows: list[int], lengths: Any, budget: int) -> list[list[int]]:
    """A rank's rows in as few runs of at most `budget` tokens as first-fit finds (a longer row is alone)."""
    out: list[list[int]] = []
    load: list[int] = []
    for i in sorted(rows, key=lambda i: (-int(lengths[i]), i)):
        at = next((k for k, used in enumerate(load) if used + lengths[i] <= budget), None)
        if at is None:
            out.append([i])
            load.append(int(lengths[i]))
        else:
            out[at].append(i)
            load[at] += int(lengths[i])
    return out


class StepSampler:
    """The batch sampler of a data loader: one list of rows per optimizer step, this rank's part."""

    def __init__(self, lengths: Any, batch: int, seed: int, rank: int = 0, ranks: int = 1) -> None:
        self.lengths, self.batch, self.seed, self.rank, self.ranks = lengths, batch, seed, rank, ranks
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return (len(self.lengths) + self.batch - 1) // self.batch

    def __iter__(self) -> Iterator[list[int]]:
        for rows in steps(self.lengths, self.batch, self.seed, self.epoch):
            yield shared_out(rows, self.lengths, self.ranks)[self.rank]
