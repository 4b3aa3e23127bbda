"""Answers graded in processes of their own, which are ended when one takes too long, dies, or says what it should not."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from prefdata.errors import UsageError
from prefdata.graders.graded import Failed

KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "VIRTUAL_ENV", "PYTHONPATH")
"""What a grader sees of the environment: no keys."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
START = 60.0
"""Most seconds for imports, beside the grader's own time-out."""
LONGEST_REPLY = 16 << 10
AWAKE = 0.5
"""Seconds after which Ctrl-C is looked at: a thread that waits without end may not hear of it."""


class Job(NamedTuple):
    """What a process is set up with."""

    kind: str
    setup: dict[str, Any]
    timeout: float
    memory_mb: int


class Child:
    """One process; it is started again after every row that broke it."""

    def __init__(self, job: Job, folder: str) -> None:
        self.job, self.folder = job, folder
        self.process: subprocess.Popen[bytes] | None = None
        self.rest = b""

    def grade(self, n: int, row: dict[str, Any]) -> float:
        """The score of a row. Raises Failed, and UsageError when the grader itself does not load."""
        if self.process is None:
            self.start()
        return self._asked(n, {"n": n, "row": row}, self.job.timeout)

    def start(self) -> None:
        root = str(Path(__file__).parents[2])
        kept = {k: os.environ[k] for k in KEPT if k in os.environ}
        path = os.pathsep.join([root, *filter(None, [kept.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "prefdata.graders.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            env={**kept, **ONE_THREAD, "PYTHONPATH": path, "TMPDIR": self.folder, "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
        )
        self.rest = b""
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        ready = {"kind": self.job.kind, "setup": self.job.setup, "memory_mb": self.job.memory_mb}
        try:
            self._asked(-1, ready, START + self.job.timeout)
        except Failed as e:
            self.stop()
            raise UsageError(f"the grader cannot be started: {e}") from None

    def _asked(self, n: int, what: dict[str, Any], timeout: float) -> float:
        until = time.monotonic() + timeout
        try:
            self._write(json.dumps(what).encode() + b"\n", until)
            line = self._line(until)
            try:
                number, score, words = json.loads(line)
            except (ValueError, TypeError):
                raise Failed("too-much-output", "it wrote into the pipe of its scores") from None
            if number != n or not (isinstance(score, float | int | str) or n == -1):
                raise Failed("too-much-output", "it wrote into the pipe of its scores")
        except TimeoutError:
            self.stop()
            raise Failed("time-out", f"no score in {timeout:g} s") from None
        except (BrokenPipeError, EOFError):
            raise Failed("exited", self._ended()) from None
        except Failed:
            self.stop()
            raise
        if isinstance(score, str):
            raise Failed(score[:40], str(words)[:400])
        return float(score or 0.0)

    def _write(self, data: bytes, until: float) -> None:
        assert self.process is not None and self.process.stdin is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdin, selectors.EVENT_WRITE)
            while data:
                if not selector.select(max(until - time.monotonic(), 0)):
                    raise TimeoutError
                data = data[os.write(self.process.stdin.fileno(), data[: 64 << 10]) :]

    def _line(self, until: float) -> bytes:
        assert self.process is not None and self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.rest:
                if len(self.rest) > LONGEST_REPLY:
                    raise Failed("too-much-output", "it wrote into the pipe of its scores")
                if not selector.select(max(until - time.monotonic(), 0)):
                    raise TimeoutError
                found = os.read(self.process.stdout.fileno(), LONGEST_REPLY)
                if not found:
                    raise EOFError
                self.rest += found
        line, _, self.rest = self.rest.partition(b"\n")
        return line

    def _ended(self) -> str:
        process = self.process
        assert process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
        code = process.returncode
        self.stop()
        if code is None:
            return "it closed the pipe of its scores"
        with contextlib.suppress(ValueError):
            if code < 0:
                return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process ended with code {code}"

    def stop(self) -> None:
        """End the process and whatever it has started."""
        process, self.process = self.process, None
        if process is None:
            return
        _kill(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def grade_all(job: Job, rows: Sequence[dict[str, Any]], workers: int) -> list[float | Failed]:
    """The scores of rows, in their order, from `workers` processes. Raises UsageError when the grader does not load."""
    out: list[float | Failed] = [Failed("exited", "not graded")] * len(rows)
    numbers = count()
    children: list[Child] = []

    def work(folder: str) -> None:
        child = Child(job, folder)
        children.append(child)
        try:
            while (n := next(numbers)) < len(rows):
                try:
                    out[n] = child.grade(n, rows[n])
                except Failed as e:
                    out[n] = e
        finally:
            child.stop()

    n = max(1, min(workers, len(rows)))
    with tempfile.TemporaryDirectory(prefix="prefdata-grader-", ignore_cleanup_errors=True) as folder, ThreadPoolExecutor(n) as threads:
        try:
            left = {threads.submit(work, folder) for _ in range(n)}
            while left:
                done, left = wait(left, AWAKE, FIRST_COMPLETED)
                for each in done:
                    each.result()
        except BaseException:  # Ctrl-C, or a grader that does not load: the other threads need not go on
            numbers = count(len(rows))
            for child in children:
                if (process := child.process) is not None:
                    _kill(process)
            raise
    return out
