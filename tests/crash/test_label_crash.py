"""Kill a labelling run again and again: the output is the same to the byte, and what was paid is paid once but for what was in flight."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from prefdata.cli.main import main
from prefdata.llm.mock_judges import Piece
from prefdata.llm.mock_prompt import Asked
from prefdata.llm.mock_server import serving
from tests.judges.labelling import pair, store, truthful

CONCURRENCY = 16
KILLS = 52


class Watch:
    """A judge that calls somebody at its n-th request."""

    def __init__(self) -> None:
        self.left = -1
        self.then: Callable[[], object] = lambda: None

    def at(self, n: int, then: Callable[[], object]) -> None:
        self.left, self.then = n, then

    def __call__(self, asked: Asked) -> list[Piece]:
        self.left -= 1
        if self.left == 0:
            self.then()
        return truthful(asked)


FORKED = get_context("forkserver")
FORKED.set_forkserver_preload(["prefdata.judges.run", "prefdata.cli.label_", "prefdata.llm.transport", "aiohttp", "uvloop"])
"""Processes that are killed start from one that has the imports: fifty starts would take a minute."""


def arguments(data: str, out: Path, url: str) -> list[str]:
    fixed = ["--judge", "pairwise", "--model", "m", "--base-url", url, "--concurrency", str(CONCURRENCY), "--decide", "soft", "--quiet"]
    return ["label", data, "-o", str(out), *fixed]


def command(data: str, out: Path, url: str) -> list[str]:
    return [sys.executable, "-c", "from prefdata.cli.main import main; main()", *arguments(data, out, url)]


def labelling(argv: list[str], dying: tuple[str, int, bool] | None = None) -> None:
    """The command, in a process of its own; `dying` is a function, at which call it kills itself, and whether after it."""
    sys.argv = ["prefdata", *argv]
    if dying is not None:
        die(*dying)
    main()


def die(path: str, n: int, after: bool) -> None:
    """Make a function kill the process right before or after its n-th call."""
    module, _, name = path.rpartition(".")
    cls = module.rpartition(".")[2]
    owner: Any = getattr(import_module(module.rpartition(".")[0]), cls) if cls[0].isupper() else import_module(module)
    real, calls = getattr(owner, name), count(1)

    def dying(*args: Any, **options: Any) -> Any:
        last = next(calls) == n
        if not last or after:
            found = real(*args, **options)
            if not last:
                return found
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("a killed process goes on")

    setattr(owner, name, dying)


def started(argv: list[str], dying: tuple[str, int, bool] | None = None) -> Any:
    process = FORKED.Process(target=labelling, args=(argv, dying))
    process.start()
    return process


def ended(process: Any) -> int:
    process.join()
    code: int = process.exitcode
    process.close()
    return code


def files_of(out: Path) -> dict[str, bytes]:
    """The output and its side files; the manifest without what differs from run to run."""
    found = {s: Path(f"{out}{s}").read_bytes() for s in ("", ".undecided.jsonl", ".disagreements.jsonl")}
    manifest = json.loads(Path(f"{out}.manifest.json").read_text())
    kept = {k: v for k, v in manifest.items() if k in ("counts", "records", "report", "options", "judges")}
    return {**found, "manifest": json.dumps(kept, sort_keys=True).encode()}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    draw = random.Random(7)
    rows = [pair(n, draw.randint(1, 5), draw.randint(1, 5)) for n in range(1000)]
    return store(tmp_path_factory.mktemp("label") / "pairs.jsonl", rows)


@pytest.fixture(scope="module")
def small(data: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, bytes]]:
    """60 records, and what a run that nothing disturbs makes of them."""
    folder = tmp_path_factory.mktemp("small")
    rows = store(folder / "small.jsonl", [json.loads(line) for line in Path(data).read_text().splitlines()[:60]])
    return rows, undisturbed(rows, folder)


def undisturbed(data: str, folder: Path) -> dict[str, bytes]:
    out = folder / "whole.parquet"
    with serving(judge=truthful) as server:
        assert ended(started(arguments(data, out, server.url))) == 0
    return files_of(out)


def end_by(process: Any, watch: Watch, draw: random.Random) -> None:
    """Kill it at its n-th request, or some time after that; 0 is some time after its start, mostly before it asks at all."""
    n = draw.choice([0, *range(1, 30)])
    if n == 0:
        threading.Timer(draw.random() * 0.1, process.kill).start()
    elif draw.random() < 0.5:
        watch.at(n, process.kill)
    else:
        watch.at(n, threading.Timer(draw.random() * 0.02, process.kill).start)


def test_sigkill_at_random_moments(data: str, tmp_path: Path) -> None:
    """52 kills of one run at random requests and times. Each costs no more than the requests that were in flight."""
    expected = undisturbed(data, tmp_path)
    out = tmp_path / "out.parquet"
    watch, draw = Watch(), random.Random(1)
    with serving(judge=watch, latency=0.02) as server:
        for kills in range(1, KILLS + 1):
            process = started(arguments(data, out, server.url))
            end_by(process, watch, draw)
            assert ended(process) == -signal.SIGKILL
            assert not out.exists()
            assert server.stats.repeated <= kills * CONCURRENCY
        watch.at(-1, lambda: None)
        assert ended(started(arguments(data, out, server.url))) == 0
        assert server.stats.repeated <= KILLS * CONCURRENCY
        assert server.stats.most_in_flight <= 2 * CONCURRENCY  # those of a killed process may still be in the server
    assert files_of(out) == expected


POINTS = {
    "a reply is queued for the journal": ("prefdata.io.journal.Journal.put", 5),
    "a transaction is open": ("prefdata.io.journal_writer.Writer._write", 1),
    "a shard is labelled": ("prefdata.judges.labelled.Labeller.made", 2),
    "the output gets its name": ("os.replace", 1),
    "the manifest is written": ("prefdata.io.account.write_manifest", 1),
}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("point", POINTS)
def test_sigkill_at_named_points(point: str, after: bool, small: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    """Right before and right after: the same command goes on, and ends with the same bytes."""
    data, expected = small
    out = tmp_path / "out.parquet"
    with serving(judge=truthful) as server:
        argv = arguments(data, out, server.url)
        assert ended(started(argv, (*POINTS[point], after))) == -signal.SIGKILL
        asked = server.stats.requests
        assert ended(started(argv)) == 0
        assert server.stats.repeated <= CONCURRENCY
        if "journal" not in POINTS[point][0]:
            assert server.stats.requests == asked == 120
    assert files_of(out) == expected
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_at_once(number: signal.Signals, small: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    """Within two seconds, though the server has fallen silent; the message says how to go on, and the same command does."""
    data, expected = small
    out = tmp_path / "out.parquet"
    watch, ready, go_on = Watch(), threading.Event(), threading.Event()

    def hold() -> None:
        ready.set()
        go_on.wait(30)

    with serving(judge=watch) as server:
        watch.at(40, hold)
        process = subprocess.Popen(command(data, out, server.url), stderr=subprocess.PIPE, text=True)
        assert ready.wait(30)
        began = time.monotonic()
        process.send_signal(number)
        _, said = process.communicate()
        seconds = time.monotonic() - began
        go_on.set()
        assert process.returncode == 130
        assert seconds < 2
        assert "interrupted" in said
        assert f"{out}.journal" in said
        assert "the same command goes on" in said
        assert "Traceback" not in said
        assert not out.exists()
        assert ended(started(arguments(data, out, server.url))) == 0
        assert server.stats.repeated <= CONCURRENCY
    assert files_of(out) == expected


def test_two_runs_never_share_a_journal(small: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    """The second one is told so and ends; the first one is not disturbed."""
    data, expected = small
    out = tmp_path / "out.parquet"
    watch, ready, go_on = Watch(), threading.Event(), threading.Event()

    def hold() -> None:
        ready.set()
        go_on.wait(30)

    with serving(judge=watch) as server:
        watch.at(5, hold)
        first = subprocess.Popen(command(data, out, server.url))
        assert ready.wait(30)
        second = subprocess.run(command(data, out, server.url), capture_output=True, text=True)
        go_on.set()
        assert first.wait() == 0
        assert second.returncode == 2
        assert str(first.pid) in second.stderr
        assert server.stats.repeated == 0
    assert files_of(out) == expected
