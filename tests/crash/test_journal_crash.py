"""Kill the journal's process, cut its log, fill its disk: what was acknowledged is there, and nothing that was not put."""

from __future__ import annotations

import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from prefdata.errors import UsageError
from prefdata.io.journal import Journal, Stored, Usage
from tests.io.test_journal import key

WRITER = r"""
import hashlib, os, random, sys, threading
from prefdata.io.journal import Journal, Stored, Usage

path, first, last, size, together = sys.argv[1], *map(int, sys.argv[2:])
slots = threading.Semaphore(together)


def told(i, error):
    os.write(1, b"%d %s\n" % (i, b"ok" if error is None else str(error).encode()))  # straight into the pipe
    slots.release()


os.write(1, b"ready\n")
with Journal(path) as journal:
    os.write(1, b"open\n")
    for i in range(first, last):
        slots.acquire()
        raw = random.Random(i).randbytes(size) if size else b"%d" % i
        journal.put(hashlib.sha256(b"%d" % i).digest(), Stored("ok", raw), Usage(1, 2, 3, 0.5), lambda error, i=i: told(i, error))
    for _ in range(together):
        slots.acquire()
    os.write(1, b"end\n")
    sys.stdin.read()
"""


def raw_of(i: int, size: int) -> bytes:
    return random.Random(i).randbytes(size) if size else b"%d" % i


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def writer() -> Iterator[Start]:
    """`writer(path, first, last, size, together)`: a process that puts replies `first` to `last`, at most `together` unacknowledged, and
    prints a line per acknowledgement. It ends when its stdin is closed."""
    with ExitStack() as started:

        def start(path: Path, first: int, last: int, size: int = 0, together: int = 1, **more: Any) -> subprocess.Popen[bytes]:
            words = [sys.executable, "-c", WRITER, str(path), *map(str, (first, last, size, together))]
            pipe = subprocess.PIPE
            process = started.enter_context(subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, **more))
            started.callback(process.kill)
            return process

        yield start


def until(process: subprocess.Popen[bytes], word: bytes) -> list[bytes]:
    """The lines that it prints, up to `word`."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if lines[-1] == word:
            return lines
    assert process.stderr is not None
    raise AssertionError(f"it ended: {lines[-5:]} {process.stderr.read().decode()}")


def kill(process: subprocess.Popen[bytes]) -> bytes:
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    return rest


@pytest.fixture
def copy() -> Iterator[Path]:
    """A path in memory where there is such a place: thousands of journals are opened there."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder) / "x.journal"


def commits(log: bytes) -> list[int]:
    """Where the commits of a write-ahead log end, from its format: a header of 32 bytes, then frames of 24 bytes and a page; the second
    number of a frame is not 0 in the last frame of a commit (https://www.sqlite.org/fileformat2.html#walformat)."""
    page = struct.unpack(">I", log[8:12])[0]
    ends = range(32 + 24 + page, len(log) + 1, 24 + page)
    return [end for end in ends if struct.unpack(">I", log[end - page - 20 : end - page - 16])[0]]


def test_the_log_cut_at_every_byte(tmp_path: Path, copy: Path, writer: Start) -> None:
    """Opens to exactly the puts whose commits are whole, in order. Every byte of the last commit, every 89th of those before."""
    path = tmp_path / "x.journal"
    process = writer(path, 0, 8)
    until(process, b"end")
    main, log = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    kill(process)
    ends = commits(log)
    assert len(ends) == 8
    assert ends[-1] == len(log)
    puts = [(key(i), Stored("ok", b"%d" % i), Usage(1, 2, 3, 0.5)) for i in range(8)]
    cuts = [*range(0, ends[-2], 89), *range(ends[-2], len(log) + 1)]
    for cut in cuts:
        copy.write_bytes(main)
        Path(f"{copy}-wal").write_bytes(log[:cut])
        whole = sum(end <= cut for end in ends)
        write = cut % 101 == 0
        with Journal(str(copy), write=write) as journal:
            assert list(journal.entries()) == puts[:whole], cut
            assert journal.spent() == Usage(whole, 2 * whole, 3 * whole, whole / 2), cut
            if write:
                journal.verify()
                journal.put(key(99), Stored("ok", b"next"), Usage(), lambda _: None)
        if write:
            with Journal(str(copy), write=False) as journal:
                assert [k for k, _, _ in journal.entries()] == [*(k for k, _, _ in puts[:whole]), key(99)]
        assert os.listdir(copy.parent) == ["x.journal"]


def test_a_changed_byte_in_the_log(tmp_path: Path, copy: Path, writer: Start) -> None:
    """The log ends before it: a prefix of the puts, as if it had been cut there."""
    path = tmp_path / "x.journal"
    process = writer(path, 0, 8)
    until(process, b"end")
    main, log = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    kill(process)
    ends = commits(log)
    puts = [key(i) for i in range(8)]
    for at in range(32, len(log), 97):
        changed = bytearray(log)
        changed[at] ^= 0x10
        copy.write_bytes(main)
        Path(f"{copy}-wal").write_bytes(changed)
        with Journal(str(copy), write=False) as journal:
            assert [k for k, _, _ in journal.entries()] == puts[: sum(end <= at for end in ends)], at


def acknowledged(lines: list[bytes]) -> list[int]:
    return [int(line.split()[0]) for line in lines if line.endswith(b" ok")]


@pytest.mark.parametrize(("size", "together"), [(0, 1), (1000, 64), (200_000, 16)])
def test_sigkill_while_putting(size: int, together: int, tmp_path: Path, writer: Start) -> None:
    """Eight kills at random moments of one journal: every acknowledged reply is there, in the order of the puts, byte for byte."""
    path = tmp_path / "x.journal"
    moments = random.Random(size)
    done, killed = 0, 0
    for _ in range(8):
        process = writer(path, done, done + 5000, size, together)
        lines = until(process, b"open")
        assert process.stdout is not None
        time.sleep(moments.uniform(0, 0.15))
        lines += kill(process).split(b"\n")
        acks = acknowledged(lines)
        killed += process.returncode == -signal.SIGKILL and b"end" not in lines
        with Journal(str(path)) as journal:
            journal.verify()
            found = [(k, s.raw) for k, s, _ in journal.entries()]
            assert found == [(key(i), raw_of(i, size)) for i in range(len(found))], "a prefix of the puts, in order"
            assert len(found) > max(acks, default=-1)
            assert len(found) - done <= len(acks) + together, "at most what was in flight is there without an acknowledgement"
            assert journal.spent() == Usage(len(found), 2 * len(found), 3 * len(found), len(found) / 2)
        done = len(found)
    assert killed >= 4, "kills came too late"
    assert done > 0
    assert os.listdir(tmp_path) == ["x.journal"]


def test_sigkill_while_it_is_made(tmp_path: Path, writer: Start) -> None:
    """Kills within the first milliseconds leave nothing, an empty file or a whole journal; never one that is refused."""
    moments = random.Random(0)
    for n in range(12):
        path = tmp_path / f"{n}" / "x.journal"
        path.parent.mkdir()
        process = writer(path, 0, 1)
        until(process, b"ready")
        stop = time.perf_counter() + moments.uniform(0, 0.012)
        while time.perf_counter() < stop:
            pass
        kill(process)
        with Journal(str(path)) as journal:
            journal.verify()
            assert len(journal) in (0, 1)
        assert os.listdir(path.parent) == ["x.journal"]


def test_two_processes_never_interleave(tmp_path: Path, writer: Start) -> None:
    """The second is told who has it; it works when the first is gone, by an end or by a kill."""
    path = tmp_path / "x.journal"
    for ended in (False, True):
        first = writer(path, 0, 5)
        until(first, b"end")
        second = writer(path, 5, 10)
        _, said = second.communicate()
        assert f"UsageError: {path}: process {first.pid} is writing this journal; wait until it ends" in said.decode()
        with pytest.raises(UsageError, match=str(first.pid)):
            Journal(str(path))
        if ended:
            first.communicate()  # closes its stdin
            assert first.returncode == 0
            assert os.listdir(tmp_path) == ["x.journal"]
        else:
            kill(first)
        third = writer(path, 5, 10)
        assert acknowledged(until(third, b"end")) == [5, 6, 7, 8, 9]
        third.communicate()
        with Journal(str(path), write=False) as journal:
            assert [k for k, _, _ in journal.entries()] == [key(i) for i in range(10)]


def test_many_processes_at_once(tmp_path: Path, writer: Start) -> None:
    """Of six that start together each one either has it alone or is refused, and what was acknowledged is there."""
    path = tmp_path / "x.journal"
    processes = [writer(path, 100 * n, 100 * n + 20) for n in range(6)]
    acks: list[int] = []
    holders = 0
    for process in processes:
        out, said = process.communicate()
        acks += acknowledged(out.split(b"\n"))
        holders += b"end" in out
        assert b"end" in out or b"is writing this journal" in said, said
    assert holders >= 1
    with Journal(str(path), write=False) as journal:
        journal.verify()
        assert {k for k, _, _ in journal.entries()} == {key(i) for i in acks}


def full(process: subprocess.Popen[bytes], path: Path) -> None:
    out, said = process.communicate(timeout=60)
    lines = out.split(b"\n")
    acks = acknowledged(lines)
    failed = [line for line in lines if b"the journal cannot be written or read (" in line]
    assert len(acks) > 10, said
    assert len(acks) + len(failed) == 700, "every put is told of its fate"
    assert b"Traceback" not in said
    first = next(i for i, line in enumerate(lines) if line in failed)
    assert not acknowledged(lines[first:]), "after an error nothing is taken any more"


def no_large_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))


@pytest.mark.parametrize("together", [1, 50])
def test_no_room(together: int, tmp_path: Path, writer: Start) -> None:
    """A limit on the size of files ends the puts; what was acknowledged before is there, and with room the journal goes on."""
    path = tmp_path / "x.journal"
    process = writer(path, 0, 700, 1000, together, preexec_fn=no_large_files)
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None
    full(process, path)
    check_and_go_on(path, writer)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_full_disk(tmp_path: Path, writer: Start) -> None:
    """The same on a real file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("this machine does not allow mounts")
    try:
        process = writer(disk / "x.journal", 0, 700, 1000, 20)
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        full(process, disk / "x.journal")
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        check_and_go_on(disk / "x.journal", writer)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def check_and_go_on(path: Path, writer: Start) -> None:
    with Journal(str(path)) as journal:
        journal.verify()
        stored = len(journal)
        assert stored > 10
        assert [(k, s.raw) for k, s, _ in journal.entries()] == [(key(i), raw_of(i, 1000)) for i in range(stored)]
    process = writer(path, stored, 1000, 1000, 10)
    until(process, b"end")
    process.communicate()
    with Journal(str(path), write=False) as journal:
        assert len(journal) == 1000
    assert os.listdir(path.parent) == ["x.journal"]
