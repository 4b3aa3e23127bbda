"""Ask servers all that plans want to know, and keep what they say in the journal."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from prefdata.errors import PrefdataError
from prefdata.io.journal import Journal
from prefdata.llm.asking import Asking
from prefdata.llm.endpoints import Pool, pool_of
from prefdata.llm.options import ClientOptions
from prefdata.llm.plan import Plan
from prefdata.llm.running import Interrupted, Running
from prefdata.llm.stats import Stats

__all__ = ["Pool", "Stats", "ask_all", "pool_of"]


def ask_all(
    plans: Iterable[Plan[object]],
    options: ClientOptions,
    journal: Journal,
    pools: Mapping[str, Pool],
    progress: Callable[[Stats], None] | None = None,
    total: int | None = None,
) -> Stats:
    """Drive all plans with the servers of their requests' pools. Their replies are in the journal then, their results are thrown away.

    Plans are taken one by one as there is room. A request that fails for good is noted in the journal; it ends its plan, not the run.
    `progress` is called a few times a second.

    Raises ProviderError (no server answers, no quota), BudgetError, UsageError (key, model or address are wrong), InputError (the journal
    cannot be written), and within 2 seconds KeyboardInterrupt (Ctrl-C, SIGTERM). The message ends with how to go on.
    """
    stats = Stats(total=total)
    try:
        _run(lambda: Running(Asking(options, journal, pools, stats), options), plans, progress)
    except Interrupted:
        raise KeyboardInterrupt(f"interrupted; {_resume(journal)}") from None
    except PrefdataError as e:
        raise type(e)(f"{e}\n{_resume(journal)}") from None
    return stats


def _resume(journal: Journal) -> str:
    n = len(journal)
    return f"{n:,} replies are in {journal.path}; the same command goes on from there" if n else "the same command starts again"


def _run(make: Callable[[], Running], plans: Iterable[Plan[object]], progress: Callable[[Stats], None] | None) -> None:
    """Run an event loop, uvloop's where it is installed."""
    started: list[tuple[asyncio.AbstractEventLoop, Running]] = []

    async def run() -> None:
        running = make()
        started.append((asyncio.get_running_loop(), running))
        with _interruptible(running):
            await running.all(plans, progress)

    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with suppress(ImportError):
        from uvloop import new_event_loop

        factory = new_event_loop

    def loop() -> None:
        with _rare_collections(), asyncio.Runner(loop_factory=factory) as runner:
            runner.run(run())

    if not _inside_a_loop():
        loop()
        return
    with ThreadPoolExecutor(1) as thread:  # in a notebook, where a loop is running already
        done = thread.submit(loop)
        try:
            done.result()
        except KeyboardInterrupt:
            for own, running in started:
                own.call_soon_threadsafe(running.stop, Interrupted())
            done.result()


@contextmanager
def _rare_collections() -> Iterator[None]:
    """A request makes some hundred objects and no cycles: looking for cycles as often as Python does takes a tenth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(20_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _inside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@contextmanager
def _interruptible(running: Running) -> Iterator[None]:
    """Ctrl-C and SIGTERM stop the run. Python gives signals to the main thread only: elsewhere there is nothing to do."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    for s in before:
        loop.add_signal_handler(s, running.stop, Interrupted())
    try:
        yield
    finally:
        for s, handler in before.items():
            loop.remove_signal_handler(s)
            signal.signal(s, handler or signal.SIG_DFL)
