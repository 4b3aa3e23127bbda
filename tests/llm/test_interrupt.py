"""Ctrl-C and SIGTERM: within two seconds, with all that was paid in the journal."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prefdata.io.journal import Journal
from tests.llm.asking import ask
from tests.llm.server import Exchange, Server

PROGRAM = """
import sys
from prefdata.cli.options import guarded
from prefdata.io.journal import Journal
from prefdata.llm.client import ask_all, pool_of
from tests.llm.asking import options, plans

def main():
    chosen = options(sys.argv[1], timeout=60.0, deadline=60.0, concurrency=8)
    with Journal(sys.argv[2]) as journal:
        ask_all(plans(1000), chosen, journal, {"": pool_of(chosen)})
    return 0

sys.exit(guarded(main))
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupt(sent: signal.Signals, tmp_path: Path) -> None:
    """20 answers, then 8 requests hang: they may have been billed."""

    def behave(x: Exchange) -> None:
        if x.server.requests <= 20:
            x.answer()

    file = str(tmp_path / "journal")
    with Server(behave) as server:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, server.url, file], stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 20
        while server.requests < 28 and time.monotonic() < end:
            time.sleep(0.01)
        began = time.monotonic()
        process.send_signal(sent)
        _, said = process.communicate(timeout=10)
        seconds = time.monotonic() - began
    assert process.returncode == 130
    assert seconds < 2
    assert said == f"interrupted; 20 replies are in {file}; the same command goes on from there\n"
    with Journal(file, write=False) as journal:
        assert len(journal) == 20
        spent = journal.spent()
        assert (spent.calls, spent.tokens_out) == (28, 20 * 2 + 8 * 16)
        assert spent.tokens_in == 200 + sum(len(ask(f"question {i}").body) for i in range(20, 28))
