"""The local runner: a function over shards on threads, results in order, a bounded number in flight.

polars and pyarrow release the GIL, so threads are enough. The function and its shards can be pickled, and the result does not depend on
who runs them: the same function runs as Ray tasks.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(fn: Callable[[T], R], items: Iterable[T], threads: int | None = None) -> Iterator[R]:
    """`map`, on threads, in order. At most two items more than there are threads are held, so that no thread waits while
    a result is taken."""
    threads = threads or cores()
    with ThreadPoolExecutor(threads, thread_name_prefix="prefdata") as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(fn, item))
                if len(waiting) > threads + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
