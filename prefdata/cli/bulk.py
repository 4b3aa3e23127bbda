"""How the commands that work through shards set up their process. It ends with the work; the library leaves its host as it is.

Memory that a shard gave back is kept for the next one: allocators return it to the system, which clears every page before it hands it out
again, and that is a tenth of the time of a conversion. Python's lock changes hands after half a millisecond: shards are worked on in
native code, and a thread that needs the lock for a moment should not wait ten times as long. The garbage collector waits until there is
more than what imported modules consist of. And numpy's algebra, which nobody asks for here, starts no threads that look for work.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys

COMMANDS = {"convert", "validate", "export"}
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""


def set_up() -> None:
    """To be called before numpy, polars (whose allocator is jemalloc) and pyarrow (mimalloc) are imported."""
    os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:-1,muzzy_decay_ms:-1")
    os.environ.setdefault("MIMALLOC_PURGE_DELAY", "-1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 32 << 20)
        mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
    gc.set_threshold(500_000, 20, 100)
    sys.setswitchinterval(0.0005)
