"""Commands in processes that begin with everything imported, and that can be told when to die: dozens of kills in a minute."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple

MODULES = (
    "torch",
    "transformers",
    "prefdata.cli.run_",
    "prefdata.conversion.run",
    "prefdata.checks.reports",
    "prefdata.checks.run",
    "prefdata.judges.run",
    "prefdata.llm.transport",
    "prefdata.evaluate.rm",
    "prefdata.exporters.run",
    "prefdata.sampling.sample",
    "prefdata.sampling.gumbel",
    "prefdata.train.run",
    "prefdata.train.trainer",
)


class Sign(NamedTuple):
    """What a process does right before it dies: it opens, renames or makes a path that ends like this, for the n-th time. Python says so
    itself (sys.addaudithook), so the moment is exact and nothing of ours is replaced."""

    event: str
    path: str
    n: int = 1


class Child:
    """A command that runs; `stderr` has its lines as they come."""

    def __init__(self, pid: int, stderr: IO[str], ended: Callable[[int], int]) -> None:
        self.pid, self.stderr, self._ended = pid, stderr, ended
        self.said = ""

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """The exit code, negative of a signal."""
        self.said += self.stderr.read()
        self.stderr.close()
        return self._ended(self.pid)


class Forker:
    """A process that imports everything once and then forks a child for each command."""

    def __init__(self) -> None:
        here = [sys.executable, "-c", "from tests.recipe.forked import serve; serve()"]
        self._process = subprocess.Popen(here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])

    def start(self, argv: list[str], cwd: Path, sign: Sign | None = None) -> Child:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pipe = cwd / ".stderr"
        os.mkfifo(pipe)
        self._process.stdin.write(json.dumps([argv, str(cwd), sign]) + "\n")
        self._process.stdin.flush()
        stderr = open(pipe, encoding="utf-8")  # noqa: SIM115 - closed by Child.wait
        os.unlink(pipe)
        return Child(int(self._process.stdout.readline()), stderr, self._wait)

    def _wait(self, pid: int) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def serve() -> None:
    """Read commands from stdin, one after the other, and say of each its pid and its exit code."""
    import warnings
    from importlib import import_module

    warnings.simplefilter("ignore")
    for name in MODULES:
        import_module(name)
    for line in sys.stdin:
        argv, cwd, sign = json.loads(line)
        pid = os.fork()
        if not pid:
            _run(argv, cwd, sign)
        os.write(1, f"{pid}\n".encode())
        os.write(1, f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n".encode())
    os._exit(0)  # there is nothing to tidy up, and much that would be


def _run(argv: list[str], cwd: str, sign: list[str | int] | None) -> None:
    os.chdir(cwd)
    pipe = os.open(".stderr", os.O_WRONLY)
    os.dup2(pipe, 2)
    os.close(pipe)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    if sign is not None:
        die_at(*sign)  # type: ignore[arg-type]
    sys.argv = ["prefdata", *argv]
    from prefdata.cli.main import main

    code = 70
    try:
        main()
        code = 0
    except SystemExit as e:
        code = int(e.code or 0)
    finally:
        sys.stderr.flush()
        os._exit(code)


def die_at(event: str, ending: str, n: int) -> None:
    """Kill this process right before its n-th `event` with a path of this ending. Of a renaming the ending is that of the new name."""
    seen = 0

    def hook(name: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if name == event and str(arguments[1 if name == "os.rename" else 0]).endswith(ending):
            seen += 1
            if seen == n:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
