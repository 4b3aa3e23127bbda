"""A progress bar for runs that ask servers: records, rate, spend, failures and the time left, on a terminal's stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefdata.judges.work import Progress, Seen


@contextmanager
def calls_bar(what: str, hidden: bool = False) -> Iterator[Progress | None]:
    """Gives a function that shows how far a run is, or None when there is nothing to show it on."""
    if hidden or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(20),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[said]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def update(seen: Seen) -> None:
            name = what if seen.what == what else f"{what}: {seen.what}"
            if name not in tasks:
                for earlier in tasks.values():
                    bar.remove_task(earlier)
                tasks.clear()
                tasks[name] = bar.add_task(name, total=None, said="")
            task = next(t for t in bar.tasks if t.id == tasks[name])
            bar.update(task.id, completed=seen.done, total=seen.total, said=said(seen, task.elapsed or 1e-9))

        yield update


def said(seen: Seen, seconds: float) -> str:
    """Rows, and of a client its rate, what it spent and what went wrong."""
    out = [f"{seen.rows:,} rows"]
    s = seen.stats
    if s is not None:
        local = not s.calls and s.tokens_out  # a local model: nothing is called
        out.append(f"{s.tokens_out / seconds:,.0f} tokens/s" if local else f"{s.calls / seconds:,.0f} calls/s")
        out.append(f"{s.usd:,.4f} USD" if s.usd else f"{s.tokens_in + s.tokens_out:,} tokens")
        out += [f"{s.retries:,} retries"] if s.retries else []
        out += [f"{s.failed.total():,} failed"] if s.failed else []
    return ", ".join(out)
