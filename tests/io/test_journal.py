"""The journal of replies: what is acknowledged is there, once, as it came; what it cannot be sure of it does not give."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefdata.errors import InputError, UsageError
from prefdata.io import journal_file, journal_writer
from prefdata.io.journal import NOT_ASKED, Journal, Stored, Usage
from prefdata.io.journal_writer import GROUP
from prefdata.llm.mock_server import serving
from tests.judges.labelling import pair, truthful
from tests.judges.labelling import store as store_rows

ROOT = Path(__file__).parents[2]
ONE = Usage(1, 10, 2, 0.5)


def key(i: int) -> bytes:
    return hashlib.sha256(b"%d" % i).digest()


class Acks:
    """Collects what `done` is told; `wait(n)` returns when it was told n times."""

    def __init__(self) -> None:
        self.said: list[BaseException | None] = []
        self._told = threading.Condition()

    def __call__(self, error: BaseException | None) -> None:
        with self._told:
            self.said.append(error)
            self._told.notify_all()

    def wait(self, n: int) -> list[BaseException | None]:
        with self._told:
            assert self._told.wait_for(lambda: len(self.said) >= n, 60)
        return self.said


def store(path: Path, replies: dict[int, bytes]) -> None:
    with Journal(str(path)) as journal:
        for i, raw in replies.items():
            journal.put(key(i), Stored("ok", raw), ONE, lambda _: None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl.journal"


def names(path: Path) -> list[str]:
    return sorted(p.name for p in path.parent.iterdir())


def test_what_is_put_is_found(path: Path) -> None:
    acks = Acks()
    replies = [b"", b"\0", b"a\0b\xff\n\r\n", "ü€𝄞".encode(), os.urandom(5_000_000)]
    with Journal(str(path)) as journal:
        for i, raw in enumerate(replies):
            journal.put(key(i), Stored("ok", raw), ONE, acks)
        journal.put(key(9), Stored("content-filter", b"no"), Usage(2, 3, 0, 0.25), acks)
        assert acks.wait(6) == [None] * 6
        found = journal.find([key(i) for i in (9, 5, 4, 3, 2, 1, 0, 0)])
        assert found == [Stored("content-filter", b"no"), None, *(Stored("ok", replies[i]) for i in (4, 3, 2, 1, 0, 0))]
    assert names(path) == [path.name], "a clean close leaves one file"
    with Journal(str(path), write=False) as journal:
        assert [(k, s.raw) for k, s, _ in journal.entries()] == [*((key(i), r) for i, r in enumerate(replies)), (key(9), b"no")]
        assert journal.codes() == {"ok": 5, "content-filter": 1}
        assert len(journal) == 6
        assert journal.spent() == Usage(7, 53, 10, 2.75)  # 5 x (1, 10, 2, 0.5) + (2, 3, 0, 0.25)
        assert journal.find([]) == []
        journal.verify()
    assert names(path) == [path.name]


@pytest.mark.parametrize("name", ["a b?c#d%41.journal", "-.journal", os.fsdecode(b"\xff.journal"), "x" * 240])
def test_any_name(tmp_path: Path, name: str) -> None:
    store(tmp_path / name, {1: b"1"})
    with Journal(str(tmp_path / name)) as journal:
        journal.keep_run({"data": [name]})
        assert journal.run() == {"data": [name]}
        assert journal.find([key(1)]) == [Stored("ok", b"1")]
    assert os.listdir(tmp_path) == [name]
    done = run("info", f"./{name}", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["run"] == {"data": [name]}
    assert run("info", f"./{name}", cwd=tmp_path).returncode == 0


def test_replies_are_moved_to_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After SYNC_SECONDS the file alone has them, without its log."""
    monkeypatch.setattr(journal_writer, "SYNC_SECONDS", 0.0)
    acks = Acks()
    with Journal(str(path)) as journal:
        for i in range(2):  # the first is synced before the second is written
            journal.put(key(i), Stored("ok", b"1"), ONE, acks)
            acks.wait(i + 1)
        shutil.copy(path, path.parent / "copy")
    with Journal(str(path.parent / "copy"), write=False) as journal:
        assert journal.find([key(0)]) == [Stored("ok", b"1")]


def test_the_first_reply_stays(path: Path) -> None:
    """Also within one transaction, and its cost is counted once."""
    acks = Acks()
    with Journal(str(path)) as journal:
        for raw in (b"first", b"second"):
            journal.put(key(1), Stored("ok", raw), ONE, acks)
        acks.wait(2)
        journal.put(key(1), Stored("bad-request", b"third"), ONE, acks)
        assert acks.wait(3) == [None] * 3
        assert journal.find([key(1)]) == [Stored("ok", b"first")]
        assert journal.codes() == {"ok": 1}
        assert journal.spent() == ONE


def test_only_what_is_committed_is_found(path: Path) -> None:
    """The writer is held in the first `done`; the second put cannot be found, and is found once it goes on."""
    first, go, acks = threading.Event(), threading.Event(), Acks()

    def hold(_: BaseException | None) -> None:
        first.set()
        go.wait(60)

    with Journal(str(path)) as journal:
        journal.put(key(1), Stored("ok", b"1"), ONE, hold)
        assert first.wait(60)
        journal.put(key(2), Stored("ok", b"2"), ONE, acks)
        assert journal.find([key(1), key(2)]) == [Stored("ok", b"1"), None]
        assert journal.spent() == ONE
        go.set()
        acks.wait(1)
        assert journal.find([key(2)]) == [Stored("ok", b"2")]


def test_charges_and_failures(path: Path) -> None:
    acks = Acks()
    with Journal(str(path)) as journal:
        assert journal.why(key(1)) == NOT_ASKED
        journal.failed(key(1), "timeout")
        journal.failed(key(1), "overloaded")
        journal.failed(key(2), "timeout")
        journal.charge(Usage(1, 7, 0, 0.125))
        assert journal.why(key(1)) == "overloaded"
        assert journal.spent() == Usage(1, 7, 0, 0.125), "at once: a budget cannot wait for the disk"
        journal.put(key(2), Stored("ok", b"after all"), ONE, acks)
        acks.wait(1)
        assert journal.why(key(2)) == NOT_ASKED
        journal.failed(key(2), "late")
    with Journal(str(path)) as journal:
        assert journal.why(key(1)) == "overloaded"
        assert journal.why(key(2)) == NOT_ASKED, "a reply counts, whatever came later"
        assert journal.failures() == {"overloaded": 1}
        journal.charge(Usage(1, 1, 0, 0.125))
        assert journal.spent() == Usage(3, 18, 2, 0.75)
        assert journal.codes() == {"ok": 1}


def test_the_run_is_kept(path: Path) -> None:
    run = {"command": "label", "data": ["ä.jsonl"], "out": "-", "options": {"seed": 1, "judge": ["a", "b"], "flip": None}}
    with Journal(str(path)) as journal:
        assert journal.run() is None
        journal.keep_run({"command": "revise"})
        journal.keep_run(run)
        assert journal.run() == run
    with Journal(str(path), write=False) as journal:
        assert journal.run() == run


@pytest.mark.parametrize(
    "bad",
    [
        (b"short", Stored("ok", b""), ONE),
        (key(1), Stored("", b""), ONE),
        (key(1), Stored("ok", "text"), ONE),
        (key(1), Stored("ok", b""), Usage(-1)),
        (key(1), Stored("ok", b""), Usage(1, 1 << 62)),
        (key(1), Stored("ok", b""), Usage(1, 1.5)),  # type: ignore[arg-type]
        (key(1), Stored("ok", b""), Usage(usd=float("nan"))),
        (key(1), Stored("ok", b""), Usage(usd=float("inf"))),
    ],
)
def test_a_wrong_put_breaks_nothing(path: Path, bad: Any) -> None:
    """It raises where it is called: in the writer's thread it would take the others of its transaction along."""
    acks = Acks()
    with Journal(str(path)) as journal:
        with pytest.raises((ValueError, TypeError, struct.error)):
            journal.put(*bad, acks)
        journal.put(key(2), Stored("ok", b"2"), ONE, acks)
        assert acks.wait(1) == [None]


KEYS = st.integers(0, 7)
STEPS = st.one_of(
    st.tuples(st.just("put"), KEYS, st.sampled_from(["ok", "content-filter"]), st.binary(max_size=40)),
    st.tuples(st.just("fail"), KEYS, st.sampled_from(["timeout", "overloaded"])),
    st.tuples(st.just("charge"), st.integers(0, 9)),
    st.just(("reopen",)),
)


@settings(max_examples=150)
@given(steps=st.lists(STEPS, max_size=40))
def test_any_sequence_is_like_a_dict(steps: list[tuple[Any, ...]], tmp_path_factory: pytest.TempPathFactory) -> None:
    """`dict.setdefault` is the model; opening it again at any place changes nothing."""
    path = tmp_path_factory.mktemp("j") / "j"
    model: dict[bytes, Stored] = {}
    failed: dict[bytes, str] = {}
    charged = 0
    acks = Acks()
    journal = Journal(str(path))
    for step in steps:
        if step[0] == "put":
            model.setdefault(key(step[1]), Stored(*step[2:]))
            journal.put(key(step[1]), Stored(*step[2:]), ONE, acks)
        elif step[0] == "fail":
            failed[key(step[1])] = step[2]
            journal.failed(key(step[1]), step[2])
        elif step[0] == "charge":
            charged += step[1]
            journal.charge(Usage(step[1]))
        else:
            journal.close()
            journal = Journal(str(path))
    puts = sum(step[0] == "put" for step in steps)
    assert acks.wait(puts) == [None] * puts
    some = [key(i) for i in range(9)]
    assert journal.find(some) == [model.get(k) for k in some]
    assert [journal.why(k) for k in some] == [NOT_ASKED if k in model else failed.get(k, NOT_ASKED) for k in some]
    assert {k: s for k, s, _ in journal.entries()} == model
    assert [k for k, _, _ in journal.entries()] == list(model)
    assert len(journal) == len(model)
    n = len(model)
    assert journal.spent() == Usage(n + charged, 10 * n, 2 * n, n / 2)
    journal.verify()
    journal.close()


def test_more_than_one_group(path: Path) -> None:
    """Statements of MOST_ROWS rows and transactions of GROUP rows: none is left out at an edge."""
    n = 2 * GROUP + 127
    gate, acks = threading.Event(), Acks()
    with Journal(str(path)) as journal:
        journal.put(key(n), Stored("ok", b""), ONE, lambda _: gate.wait(60) and None)
        for i in range(n):
            journal.put(key(i), Stored("ok", b"%d" % i), ONE, acks)
        gate.set()
        assert acks.wait(n) == [None] * n
        found = journal.find([key(i) for i in range(n)])
        assert [s.raw for s in found if s] == [b"%d" % i for i in range(n)]
        assert [s.raw for _, s, _ in journal.entries()] == [b"", *(b"%d" % i for i in range(n))]


def test_readers_and_writers_in_threads(path: Path) -> None:
    """What was acknowledged before a find began is found, in every thread, also by a second reader of the file."""
    n, writers = 1500, 4
    acked: list[int] = []
    wrong: list[str] = []
    end = threading.Event()
    acks = Acks()

    def write(journal: Journal, part: int) -> None:
        for i in range(part, n, writers):

            def done(error: BaseException | None, i: int = i) -> None:
                acked.append(i)
                acks(error)

            journal.put(key(i), Stored("ok", b"%d" % i), ONE, done)

    def read(journal: Journal) -> None:
        while not end.is_set():
            known = acked[-50:]
            for i, stored in zip(known, journal.find([key(i) for i in known]), strict=True):
                if stored != Stored("ok", b"%d" % i):
                    wrong.append(f"{i}: {stored}")

    store(path, {})
    with Journal(str(path)) as journal, Journal(str(path), write=False) as other:
        threads = [threading.Thread(target=read, args=(j,)) for j in (journal, journal, other, other)]
        threads += [threading.Thread(target=write, args=(journal, part)) for part in range(writers)]
        for thread in threads:
            thread.start()
        assert acks.wait(n) == [None] * n
        end.set()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert len(journal) == len(other) == n
    assert names(path) == [path.name]


def test_done_that_raises_stops_no_one(path: Path) -> None:
    acks = Acks()

    def broken(_: BaseException | None) -> None:
        raise RuntimeError("the loop is closed")

    journal = Journal(str(path))
    journal.put(key(1), Stored("ok", b""), ONE, broken)
    journal.put(key(2), Stored("ok", b""), ONE, acks)
    assert acks.wait(1) == [None]
    with pytest.raises(RuntimeError, match="the loop is closed"):
        journal.close()
    journal.close()
    with pytest.raises(io.UnsupportedOperation):
        journal.put(key(3), Stored("ok", b""), ONE, acks)
    assert names(path) == [path.name]


def test_an_open_journal_is_refused(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    with Journal(str(path)):
        for name in (path, link):
            with pytest.raises(UsageError, match=rf"process {os.getpid()} is writing this journal"):
                Journal(str(name))
    store(link, {1: b"x"})
    assert sorted(names(path)) == ["link", path.name]


def other_program(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE t (x)")
    db.commit()
    db.close()


def newer(path: Path) -> None:
    store(path, {1: b"x"})
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {len(journal_file.MIGRATIONS) + 1}")
    db.close()


def other_tables(path: Path) -> None:
    store(path, {1: b"x"})
    db = sqlite3.connect(path)
    db.execute("DROP TABLE failures")
    db.commit()
    db.close()


FOREIGN = {
    "text": (lambda p: p.write_text('{"prompt": "Q"}\n'), "is not a journal of replies"),
    "long text": (lambda p: p.write_text("x" * 100_000), "is not a journal of replies"),
    "zeros": (lambda p: p.write_bytes(bytes(8192)), "is not a journal of replies"),
    "other program": (other_program, "SQLite file of another program"),
    "newer": (newer, "newer prefdata .version 2; this one knows 1.; update prefdata"),
    "other tables": (other_tables, "damaged .its tables are not those of a journal"),
    "a log without its journal": (lambda p: Path(f"{p}-wal").write_bytes(b"replies"), "put out.jsonl.journal back beside it"),
    "a folder": (lambda p: p.mkdir(), "is a folder"),
}


@pytest.mark.parametrize("write", [True, False])
@pytest.mark.parametrize("what", FOREIGN)
def test_no_journal(path: Path, what: str, write: bool) -> None:
    """Nothing is overwritten, removed or left."""
    make, words = FOREIGN[what]
    make(path)  # type: ignore[no-untyped-call]
    before = {p.name: p.read_bytes() for p in path.parent.iterdir() if p.is_file()}
    with pytest.raises(InputError, match=words):
        Journal(str(path), write=write)
    assert {p.name: p.read_bytes() for p in path.parent.iterdir() if p.is_file()} == before


def test_reading_makes_no_journal(path: Path) -> None:
    with pytest.raises(InputError, match="there is no such journal"):
        Journal(str(path), write=False)
    assert names(path) == []
    path.touch()
    with pytest.raises(InputError, match="the journal is empty"):
        Journal(str(path), write=False)
    store(path, {1: b"a process that ended before the first commit leaves an empty file"})
    with Journal(str(path), write=False) as journal:
        assert len(journal) == 1
        with pytest.raises(io.UnsupportedOperation):
            journal.put(key(1), Stored("ok", b""), ONE, lambda _: None)


def test_a_folder_that_does_not_exist(path: Path) -> None:
    with pytest.raises(InputError, match="No such file or directory"):
        Journal(str(path.parent / "no" / "x.journal"))


@pytest.fixture
def read_only(path: Path) -> Iterator[Path]:
    """A folder that nobody can write to, not even root."""
    disk = path.parent / "disk"
    disk.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting a file system needs root")
    try:
        store(disk / "x.journal", {1: b"1", 2: b"2"})
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        yield disk / "x.journal"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_cannot_be_written_to(read_only: Path) -> None:
    with Journal(str(read_only), write=False) as journal:
        assert journal.find([key(1), key(2), key(3)]) == [Stored("ok", b"1"), Stored("ok", b"2"), None]
        journal.verify()
    with pytest.raises(InputError, match=r"cannot be written or read .Read-only file system"):
        Journal(str(read_only))


def content(journal: Journal) -> Any:
    found = journal.find([key(i) for i in range(9)])
    return list(journal.entries()), found, journal.codes(), journal.run()


def test_any_changed_byte_is_noticed(path: Path) -> None:
    """Every reply is as it came, or the journal is damaged: one byte after the other is changed. `find` alone, which looks at few pages,
    may miss a reply then, but never gives a wrong one."""
    with Journal(str(path)) as journal:
        for i in range(8):
            journal.put(
                key(i), Stored("ok" if i % 3 else "content-filter", b'{"i": %d}' % i * 10), Usage(1, i, 2 * i, i / 2), lambda _: None
            )
        journal.keep_run({"command": "label", "options": {"seed": 7}})
    whole = path.read_bytes()
    with Journal(str(path), write=False) as journal:
        expected = content(journal)
    noticed = 0
    for at in [*range(100), *range(100, len(whole), 13)]:
        changed = bytearray(whole)
        changed[at] ^= 0xFF if at % 2 else 1
        path.write_bytes(changed)
        try:
            with Journal(str(path), write=False) as journal:
                for stored, right in zip(journal.find([key(i) for i in range(9)]), expected[1], strict=True):
                    assert stored in (right, None), at
                journal.verify()
                assert content(journal) == expected, at
        except InputError:
            noticed += 1
        assert names(path) == [path.name], at
    assert noticed > 100


def test_a_file_cut_short(path: Path) -> None:
    """Seen on opening, but for a cut within the last page, which is seen when that page is read."""
    store(path, {i: os.urandom(3000) for i in range(20)})
    whole = path.read_bytes()
    pages = len(whole) // 4096
    for size in range(1, len(whole), 1499):
        path.write_bytes(whole[:size])
        for write in (True, False):
            with pytest.raises(InputError, match=r"damaged|is not a journal"), Journal(str(path), write=write) as journal:
                assert size > 4096 * (pages - 1)
                journal.verify()
        assert path.read_bytes() == whole[:size]


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = "from prefdata.cli.main import main; main()"
    return subprocess.run([sys.executable, "-c", code, "journal", *words], cwd=cwd, capture_output=True, text=True)


REPLIES = [b'{"model": "m-1",\r\n "n": 1.10, "big": 123456789012345678901234567890}', b'{"model": "m-2"}', b'{"model": "m-1"}', b"[]"]


@pytest.fixture
def filled(path: Path) -> Path:
    with Journal(str(path)) as journal:
        for i, raw in enumerate(REPLIES):
            journal.put(key(i), Stored("ok", raw), ONE, lambda _: None)
        journal.put(key(8), Stored("bad-request", b"<html>\xc3\xbc"), Usage(1), lambda _: None)
        journal.put(key(9), Stored("bad-request", b"\xff"), Usage(1), lambda _: None)
        journal.charge(Usage(3, 100, 0, 0.25))
        journal.failed(key(5), "timeout")
        journal.keep_run(
            {"command": "label", "data": ["a b.jsonl"], "out": "o.jsonl", "options": {"judge": ["x", "y"], "seed": 0, "force": True}}
        )
    return path


def test_info(filled: Path) -> None:
    done = run("info", filled.name, cwd=filled.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "out.jsonl.journal: 6 replies",
        "  ok: 4; 4 calls, 40 + 8 tokens, 2.0000 USD",
        "  bad-request: 2; 2 calls, 0 + 0 tokens",
        "  without a reply, perhaps billed: 3 calls, 100 + 0 tokens, 0.2500 USD",
        "  in all: 9 calls, 140 + 8 tokens, 2.2500 USD",
        "  models that answered: m-1 2, (no name) 1, m-2 1",
        "  requests without a reply, by their last failure: timeout 1",
        "  written by: prefdata label 'a b.jsonl' -o o.jsonl --judge x,y --seed 0 --force",
    ]
    found = json.loads(run("info", filled.name, "--json", cwd=filled.parent).stdout)
    assert found["codes"]["ok"] == {"replies": 4, "calls": 4, "tokens_in": 40, "tokens_out": 8, "usd": 2.0}
    assert found["run"]["options"]["judge"] == ["x", "y"]
    assert names(filled) == [filled.name]


def test_info_while_it_is_written(filled: Path) -> None:
    with Journal(str(filled)) as journal:
        acks = Acks()
        journal.put(key(30), Stored("ok", b"{}"), ONE, acks)
        acks.wait(1)
        assert "7 replies" in run("info", filled.name, cwd=filled.parent).stdout
        journal.put(key(31), Stored("ok", b"{}"), ONE, acks)
        assert acks.wait(2) == [None, None]
    with Journal(str(filled), write=False) as journal:
        assert len(journal) == 8


def test_export(filled: Path) -> None:
    """JSON as it came, numbers and all; other bodies as text or base64."""
    done = run("export", filled.name, "-o", "r.jsonl", cwd=filled.parent)
    assert (done.returncode, done.stderr) == (0, "r.jsonl: 6 replies\n")
    text = (filled.parent / "r.jsonl").read_bytes()
    lines = text.splitlines()
    assert b'"body":{"model": "m-1",   "n": 1.10, "big": 123456789012345678901234567890}' in lines[0]
    rows = [json.loads(line) for line in lines]
    assert [r["key"] for r in rows] == [key(i).hex() for i in (0, 1, 2, 3, 8, 9)]
    assert rows[1] == {"key": key(1).hex(), "code": "ok", "body": {"model": "m-2"}, "usage": ONE._asdict()}
    assert (rows[4]["text"], rows[5]["raw_base64"]) == ("<html>ü", "/w==")
    assert run("export", filled.name, "-o", "-", cwd=filled.parent).stdout.encode() == text


def test_export_spares_the_journal(filled: Path) -> None:
    before = filled.read_bytes()
    shutil.copy(filled, filled.parent / "j.jsonl")
    done = run("export", "j.jsonl", "-o", "./j.jsonl", cwd=filled.parent)
    assert done.returncode == 2
    assert "is the journal itself" in done.stderr
    assert (filled.parent / "j.jsonl").read_bytes() == before
    done = run("export", filled.name, "-o", "r.parquet", cwd=filled.parent)
    assert done.returncode == 2
    assert "name a file that ends in .jsonl" in done.stderr


def test_a_deep_body_is_exported(path: Path) -> None:
    """Deeper than a JSON writer goes, not deeper than a reader."""
    store(path, {1: b"[" * 600 + b"]" * 600})
    assert run("export", path.name, "-o", "-", cwd=path.parent).stdout.count("[") == 600


@pytest.mark.parametrize("words", [("info",), ("export", "-o", "x.jsonl"), ("reparse",)])
def test_errors_are_one_message(path: Path, words: tuple[str, ...]) -> None:
    path.write_text("no journal")
    done = run(words[0], path.name, *words[1:], cwd=path.parent)
    assert done.returncode == 3
    assert "is not a journal of replies" in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_text() == "no journal"


def test_reparse_needs_the_command(path: Path) -> None:
    store(path, {1: b"x"})
    done = run("reparse", path.name, cwd=path.parent)
    assert done.returncode == 3
    assert "run that command with --offline --journal out.jsonl.journal" in done.stderr
    with Journal(str(path)) as journal:
        journal.keep_run({"command": "dream", "data": [], "out": "x", "options": {}})
    assert "was written by 'prefdata dream'" in run("reparse", path.name, cwd=path.parent).stderr


def command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from prefdata.cli.main import main; main()", *words], cwd=cwd, capture_output=True, text=True
    )


def test_reparse_derives_labels_anew(tmp_path: Path) -> None:
    """A judge file changes how scores are read: with the server gone, the stored replies give the new scores, and nothing is paid."""
    rows = [pair(n, *q) for n, q in enumerate([(5, 1), (1, 4), (3, 3)])]
    store_rows(tmp_path / "pairs.jsonl", rows)
    judge = (ROOT / "recipes" / "judges" / "rubric.yaml").read_text(encoding="utf-8")
    (tmp_path / "judge.yaml").write_text(judge, encoding="utf-8")
    with serving(judge=truthful) as server:
        options = ("--judge", "./judge.yaml", "--model", "mock", "--base-url", server.url)
        done = command("label", "pairs.jsonl", "-o", "out.jsonl", *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    before = (tmp_path / "out.jsonl").read_bytes()
    replies = (tmp_path / "out.jsonl.journal").read_bytes()

    done = run("reparse", "out.jsonl.journal", "-o", "same.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "same.jsonl").read_bytes() == before
    assert not (tmp_path / "same.jsonl.journal").exists()

    (tmp_path / "judge.yaml").write_text(judge + "\nrescale: [0, 1]\n", encoding="utf-8")
    done = run("reparse", "out.jsonl.journal", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["exit_code"] == 0
    old = [a["score"] for r in map(json.loads, before.splitlines()) for a in r["annotations"]]
    new = [a["score"] for r in map(json.loads, (tmp_path / "out.jsonl").read_bytes().splitlines()) for a in r["annotations"]]
    assert len(old) == 6
    assert new == pytest.approx([(s - 1) / 9 for s in old])
    assert (tmp_path / "out.jsonl.journal").read_bytes() == replies


def test_reparse_of_revise(tmp_path: Path) -> None:
    store_rows(tmp_path / "pairs.jsonl", [pair(n, 5, 1) for n in range(3)])
    with serving() as server:
        done = command("revise", "pairs.jsonl", "-o", "out.jsonl", "--model", "mock", "--base-url", server.url, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    done = run("reparse", "out.jsonl.journal", "-o", "again.jsonl", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "out.jsonl").read_bytes()
