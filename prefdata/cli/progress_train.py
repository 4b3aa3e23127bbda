"""A progress bar for trainings, on a terminal's stderr: what comes before the first step; then steps, tokens per second, loss, time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def steps_bar(what: str, hidden: bool = False) -> Iterator[Callable[[int, int, str], None] | None]:
    """Gives a function of (steps done, steps in all, words), or None when there is nothing to show it on. No steps in all: a stage whose
    length nobody knows."""
    if hidden or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(what),
        BarColumn(20),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[words]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None, count="", words="")
        begun = False

        def update(done: int, total: int, words: str) -> None:
            nonlocal begun, task
            if bool(total) != begun:  # a task of its own, so that the time left is that of steps
                bar.remove_task(task)
                task = bar.add_task(what, total=total or None, completed=max(0, done - 1), count="", words="")
                begun = bool(total)
            count = f"step {done:,}/{total:,}" if total else ""
            bar.update(task, completed=done, total=total or None, count=count, words=words)

        yield update
