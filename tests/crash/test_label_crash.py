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
from pathlib import Path

import pytest

from prefdata.llm.mock_judges import Piece
from prefdata.llm.mock_prompt import Asked
from prefdata.llm.mock_server import serving
from tests.judges.labelling import pair, store, truthful

CONCURRENCY = 16
KILLS = 52
MAIN = "from prefdata.cli.main import main; main()"


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


def command(data: str, out: Path, url: str, *more: str, main: str = MAIN) -> list[str]:
    fixed = ["--judge", "pairwise", "--model", "m", "--base-url", url, "--concurrency", str(CONCURRENCY), "--decide", "soft", "--quiet"]
    return [sys.executable, "-c", main, "label", data, "-o", str(out), *fixed, *more]


def files_of(out: Path) -> dict[str, bytes]:
    """The output and its side files; the manifest without what differs from run to run."""
    found = {s: Path(f"{out}{s}").read_bytes() for s in ("", ".undecided.jsonl", ".disagreements.jsonl")}
    manifest = json.loads(Path(f"{out}.manifest.json").read_text())
    kept = {k: v for k, v in manifest.items() if k in ("counts", "records", "report", "options", "judges")}
    return {**found, "manifest": json.dumps(kept, sort_keys=True).encode()}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    draw = random.Random(7)
    rows = [pair(n, draw.randint(1, 5), draw.randint(1, 5)) for n in range(450)]
    return store(tmp_path_factory.mktemp("label") / "pairs.jsonl", rows)


def whole(data: str, folder: Path) -> dict[str, bytes]:
    out = folder / "whole.parquet"
    with serving(judge=truthful) as server:
        assert subprocess.run(command(data, out, server.url)).returncode == 0
    return files_of(out)


def end_by(process: subprocess.Popen[bytes], watch: Watch, draw: random.Random) -> None:
    """Kill it at its n-th request, or some time after that; 0 is before it asks at all."""
    n = draw.choice([0, *range(1, 40)])
    kill = lambda: os.kill(process.pid, signal.SIGKILL)  # noqa: E731
    if n == 0:
        threading.Timer(draw.random() * 0.5, kill).start()
    elif draw.random() < 0.5:
        watch.at(n, kill)
    else:
        watch.at(n, threading.Timer(draw.random() * 0.02, kill).start)


def test_sigkill_at_random_moments(data: str, tmp_path: Path) -> None:
    """52 kills of one run at random requests and times. Each costs no more than the requests that were in flight."""
    expected = whole(data, tmp_path)
    out = tmp_path / "out.parquet"
    watch, draw, kills = Watch(), random.Random(1), 0
    with serving(judge=watch, latency=0.004) as server:
        while kills < KILLS:
            process = subprocess.Popen(command(data, out, server.url))
            end_by(process, watch, draw)
            code = process.wait()
            if code == 0:  # it was faster than the signal
                break
            assert code == -signal.SIGKILL
            kills += 1
            assert not out.exists()
            assert server.stats.repeated <= kills * CONCURRENCY
        watch.at(-1, lambda: None)
        assert subprocess.run(command(data, out, server.url)).returncode == 0
        assert kills >= 50, "the run was over too early"
        assert server.stats.repeated <= kills * CONCURRENCY
        assert server.stats.most_in_flight <= 2 * CONCURRENCY  # those of a killed process may still be in the server
    assert files_of(out) == expected


POINTS = {
    "a reply is queued for the journal": "prefdata.io.journal.Journal.put",
    "a transaction is open": "prefdata.io.journal_writer.Writer._write",
    "the first shard is labelled": "prefdata.judges.labelled.Labeller.part",
    "the output gets its name": "os.replace",
    "the manifest is written": "prefdata.io.account.write_manifest",
}
DYING = """
import importlib, os, signal, sys
path = {path!r}
module, _, name = path.rpartition(".")
try:
    owner = importlib.import_module(module)
except ModuleNotFoundError:
    outer, _, cls = module.rpartition(".")
    owner = getattr(importlib.import_module(outer), cls)
real, left = getattr(owner, name), [{n}]
def dying(*a, **k):
    left[0] -= 1
    if left[0] == 0:
        if {after}:
            real(*a, **k)
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*a, **k)
setattr(owner, name, dying)
from prefdata.cli.main import main
main()
"""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("point", POINTS)
def test_sigkill_at_named_points(point: str, after: bool, data: str, tmp_path: Path) -> None:
    """Right before and right after: the same command goes on, and ends with the same bytes."""
    small = store(tmp_path / "small.jsonl", [json.loads(line) for line in Path(data).read_text().splitlines()[:60]])
    expected = whole(small, tmp_path)
    out = tmp_path / "out.parquet"
    main = DYING.format(path=POINTS[point], n=5 if "put" in POINTS[point] else 1, after=after)
    with serving(judge=truthful) as server:
        assert subprocess.run(command(small, out, server.url, main=main)).returncode == -signal.SIGKILL
        asked = server.stats.requests
        assert subprocess.run(command(small, out, server.url)).returncode == 0
        assert server.stats.repeated <= CONCURRENCY
        if "journal" not in POINTS[point]:
            assert server.stats.requests == asked == 120
    assert files_of(out) == expected
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_at_once(number: signal.Signals, data: str, tmp_path: Path) -> None:
    """Within two seconds, though every answer takes five; the message says how to go on, and the same command does."""
    out = tmp_path / "out.parquet"
    watch, ready = Watch(), threading.Event()
    with serving(judge=watch, latency=0.002) as server:
        watch.at(40, ready.set)
        process = subprocess.Popen(command(data, out, server.url), stderr=subprocess.PIPE, text=True)
        assert ready.wait(30)
        started = time.monotonic()
        process.send_signal(number)
        _, said = process.communicate()
        seconds = time.monotonic() - started
        assert process.returncode == 130
        assert seconds < 2
        assert "interrupted" in said
        assert f"{out}.journal" in said
        assert "the same command goes on" in said
        assert "Traceback" not in said
        assert not out.exists()
        assert subprocess.run(command(data, out, server.url)).returncode == 0
        assert server.stats.repeated <= CONCURRENCY


def test_two_runs_never_share_a_journal(data: str, tmp_path: Path) -> None:
    """The second one is told so and ends; the first one is not disturbed."""
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
