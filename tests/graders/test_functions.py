"""Functions of users, by consent, and what hostile ones can do: lose their own rows."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from prefdata.errors import UsageError
from prefdata.graders.run import Graded, grade_rows, load_grader
from tests.graders.rows import codes, graded, row, scores

HOSTILE = """
import ctypes, multiprocessing, os, socket, subprocess, sys, threading, time

def grade(sample, item):
    return globals()[sample["output_text"]]()

def fine(): return 0.5
def yes(): return True
def numpy():
    import numpy
    return numpy.float32(0.25)
def thread():
    t = threading.Thread(target=print); t.start(); t.join()
    return 1
def loop():
    while True: pass
def sleep(): time.sleep(1000)
def error(): raise ValueError("x" * 10_000_000)
def unprintable():
    class E(Exception):
        def __str__(self): raise ValueError
    raise E
def interrupt(): raise KeyboardInterrupt
def leave(): sys.exit(0)
def recursion(): return recursion()
def gone(): os._exit(3)
def crash(): ctypes.string_at(0)
def shout():
    for _ in range(100): print("x" * 1_000_000); print("y" * 1_000_000, file=sys.stderr)
    return 0.75
def flood():
    while True:
        for fd in range(3, 20):
            try: os.write(fd, b"x" * 65536)
            except OSError: pass
def forge():
    for fd in range(3, 20):
        try: os.write(fd, b"[999, 1.0, null]\\n")
        except OSError: pass
    return 0.0
def hush():
    for fd in range(3, 20):
        try: os.close(fd)
        except OSError: pass
    time.sleep(100)
def memory(): return len(bytearray(8 << 30))
def disk():
    with open("big", "wb") as f:
        while True: f.write(b"x" * (1 << 20))
def nothing(): return None
def text(): return "1.0"
def huge(): return ["x"] * 1_000_000
def nan(): return float("nan")
def endless(): return float("inf")
def fork():
    while True: os.fork()
def fork_of_libc():
    libc, n = ctypes.CDLL(None), 0
    while n < 20 and libc.fork() >= 0: n += 1
    return n
def process(): multiprocessing.get_context("fork").Process(target=print).start()
def command(): return subprocess.run(["true"]).returncode
def shell(): return os.system("true")
def network(): socket.create_connection(("127.0.0.1", 9))
def socket_of_libc(): return ctypes.CDLL(None).socket(2, 1, 0)
def parent():
    os.kill(os.getppid(), 9)
def key(): return sum("KEY" in k or "TOKEN" in k for k in os.environ)
"""
FATES: dict[str, float | str] = {
    "fine": 0.5, "yes": 1.0, "numpy": 0.25, "thread": 1.0, "shout": 0.75, "key": 0.0,
    "loop": "time-out: no score in 1 s",
    "sleep": "time-out: no score in 1 s",
    "error": "raised: ValueError: xxx",
    "unprintable": "raised: E: (its message cannot be written)",
    "interrupt": "raised: KeyboardInterrupt",
    "leave": "raised: SystemExit: 0",
    "recursion": "raised: RecursionError: ",
    "gone": "exited: its process ended with code 3",
    "crash": "exited: its process was ended by SIGSEGV",
    "flood": "too-much-output: ",
    "forge": "too-much-output: ",
    "hush": "exited: it closed the pipe of its scores",
    "memory": "out-of-memory: ",
    "disk": "raised: OSError: ",
    "nothing": "wrong-type: it returned NoneType, not a number",
    "text": "wrong-type: it returned str, not a number",
    "huge": "wrong-type: it returned list, not a number",
    "nan": "not-finite: it returned nan",
    "endless": "not-finite: it returned inf",
    "fork": "raised: PermissionError: a grader may not start processes",
    "process": "raised: PermissionError: a grader may not start processes",
    "command": "raised: PermissionError: a grader may not start processes",
    "shell": "raised: PermissionError: a grader may not start processes",
    "network": "raised: PermissionError: a grader may not use the network",
    "parent": "raised: PermissionError: ",
    "unheard-of": "raised: KeyError: 'unheard-of'",
}  # fmt: skip
"""What becomes of a row: its score, or how the reason begins."""


@pytest.fixture
def hostile(tmp_path: Path) -> str:
    (tmp_path / "hostile.py").write_text(HOSTILE)
    (tmp_path / "grader.yaml").write_text("type: function\nfunction: hostile.py:grade\ntimeout: 1\n")
    return str(tmp_path / "grader.yaml")


def test_hostile_functions_lose_their_own_rows(hostile: str) -> None:
    """Each is followed by a row that is fine, in the same process or a new one."""
    names = [x for name in FATES for x in (name, "fine")]
    found = graded(hostile, *map(row, names), allow_code=True, workers=4)
    for name, g in zip(names, found, strict=True):
        fate = FATES[name]
        if isinstance(fate, float):
            assert g == Graded(fate), name
        else:
            assert g.score is None, name
            assert g.why is not None
            assert g.why.startswith(fate), name
            assert len(g.why) < 500
    assert not _children()


def test_the_kernel_says_no_where_python_is_not_asked(hostile: str) -> None:
    """libc called by hand: no process, no socket."""
    assert scores(hostile, row("fork_of_libc"), row("socket_of_libc"), allow_code=True) == [0.0, -1.0]


def _children() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if "prefdata.graders.worker" in " ".join(p.cmdline())]


def test_order_and_number_of_processes_change_nothing(hostile: str) -> None:
    names = ["fine", "yes", "gone", "text", "fine", "error"] * 6
    one = graded(hostile, *map(row, names), allow_code=True, workers=1)
    assert graded(hostile, *map(row, names), allow_code=True, workers=4) == one
    assert graded(hostile, *map(row, names[::-1]), allow_code=True, workers=2) == one[::-1]


def test_an_interrupt_leaves_no_process(hostile: str) -> None:
    """Ctrl-C while a function sleeps."""
    grader = load_grader(hostile, allow_code=True)

    def interrupt() -> None:
        while not _children():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        grade_rows(grader, [row("sleep")] * 50, workers=1)
    thread.join()
    assert time.monotonic() - began < 20
    assert not _children()


def test_consent_comes_first(tmp_path: Path) -> None:
    """Without it nothing of the file runs, not even its imports; with it a function that is not there is told before anything runs."""
    mark = tmp_path / "mark"
    (tmp_path / "g.py").write_text(f"open({str(mark)!r}, 'w').close()\ndef grade(sample, item):\n    return 1.0\n")
    with pytest.raises(UsageError, match=r"g\.py:grade is code that runs on this machine; read it, and add --allow-code"):
        load_grader(f"{tmp_path}/g.py:grade")
    with pytest.raises(UsageError, match=r"has no function 'grad'; did you mean 'grade'\?"):
        load_grader(f"{tmp_path}/g.py:grad", allow_code=True)
    with pytest.raises(UsageError, match="which function of it"):
        load_grader(f"{tmp_path}/g.py", allow_code=True)
    (tmp_path / "bad.py").write_text("\n\ndef grade(sample, item:\n")
    with pytest.raises(UsageError, match=r"bad\.py: line 3: is not valid Python"):
        load_grader(f"{tmp_path}/bad.py:grade", allow_code=True)
    assert not mark.exists()
    assert scores(f"{tmp_path}/g.py:grade", row("x"), allow_code=True) == [1.0]
    assert mark.exists()


def test_a_file_that_does_not_load_ends_the_run(tmp_path: Path) -> None:
    """That is no row's fault."""
    for name, code, why in (
        ("a", "import nothing_like_it", "ModuleNotFoundError"),
        ("b", "raise SystemExit(1)", "SystemExit"),
        ("c", "import os; os._exit(1)", "code 1"),
    ):
        (tmp_path / f"{name}.py").write_text(f"{code}\ndef grade(sample, item):\n    return 1.0\n")
        with pytest.raises(UsageError, match=f"the grader cannot be started: .*{why}"):
            graded(f"{tmp_path}/{name}.py:grade", row("x"), allow_code=True)


def test_neighbours_and_parts(tmp_path: Path) -> None:
    """A function may import what lies beside it, gets the record and the answer, and can be part of a formula."""
    (tmp_path / "words.py").write_text("LIMIT = 3\n")
    (tmp_path / "short.py").write_text(
        "from words import LIMIT\n\ndef grade(sample, item):\n"
        "    return len(sample['output_text'].split()) <= item['meta'].get('limit', LIMIT)\n"
    )
    (tmp_path / "g.json").write_text(
        '{"type": "multi", "calculate_output": "short * right", "graders": {'
        '"short": {"type": "function", "function": "short.py:grade"},'
        '"right": {"type": "string_check", "input": "{{ sample.output_text }}", "reference": "{{ item.a }}", "operation": "ilike"}}}'
    )
    rows = [
        row("It is Paris", a="paris"),
        row("It is, I think, Paris", a="paris"),
        row("It is, I think, Paris", a="paris", meta='{"limit": 9}'),
    ]
    assert scores(str(tmp_path / "g.json"), *rows, allow_code=True) == [1.0, 0.0, 1.0]
    first = load_grader(tmp_path / "g.json", allow_code=True)
    (tmp_path / "short.py").write_text("def grade(sample, item):\n    return 1\n")
    assert load_grader(tmp_path / "g.json", allow_code=True).described() != first.described()
    assert codes(str(tmp_path / "g.json"), row("Paris"), allow_code=True) == ["invalid-variable"]


def test_keys_are_not_in_the_environment(hostile: str) -> None:
    assert "OPENAI_API_KEY" in os.environ  # of the tests
    assert scores(hostile, row("key"), allow_code=True) == [0.0]
