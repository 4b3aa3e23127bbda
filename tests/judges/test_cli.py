"""`prefdata label` and `prefdata list judges` as a user meets them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from prefdata.cli.progress_calls import said
from prefdata.judges.judge import PLACEHOLDERS
from prefdata.judges.work import Seen
from prefdata.llm.mock_server import serving
from prefdata.llm.stats import Stats
from tests.judges.labelling import lines_of, pair, rows_of, store, truthful

SECRET = "sk-canary-1234567890"


def prefdata(*args: str, stdin: bytes | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    code = "from prefdata.cli.main import main; main()"
    environment = {**os.environ, "OPENAI_API_KEY": SECRET}
    return subprocess.run([sys.executable, "-c", code, *args], input=stdin, capture_output=True, cwd=cwd, env=environment)


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    return store(tmp_path / "pairs.jsonl", [pair(n, *q) for n, q in enumerate([(5, 1), (1, 4), (3, 3), (4, 2)])])


def test_the_account_in_words(pairs: str, tmp_path: Path) -> None:
    """Counts, what the judge said, agreement with the records, money, side files; a second run does nothing."""
    args = [
        "label",
        pairs,
        "-o",
        "out.jsonl",
        "--judge",
        "pairwise",
        "--model",
        "mock",
        "--decide",
        "hard",
        "--price-in",
        "1",
        "--price-out",
        "1",
    ]
    with serving(judge=truthful) as server:
        done = prefdata(*args, "--base-url", server.url, cwd=tmp_path)
        again = prefdata(*args, "--base-url", server.url, cwd=tmp_path)
        assert server.stats.requests == 8
    words = done.stderr.decode()
    assert done.returncode == 0, words
    assert done.stdout == b""
    assert "out.jsonl: 3 pair records\n" in words
    assert "rows: read 4 = kept 3 + dropped 1 + rejected 0" in words
    assert "dropped 1: tie, the judge says that both are equally good (--decide soft --ties soft keeps it" in words
    assert "comparisons: 3 decided, 1 tie" in words
    assert "pairwise-v1:mock: 3 first, 3 second, 2 tie" in words
    assert "the answer shown first won: 50.0 % of 6 (95 % interval" in words
    assert "same verdict in both orders: 100.0 % of 4" in words
    assert "beside the records' own labels: 2 agrees, 1 disagrees, 1 tie" in words
    assert "spent in all: 8 calls, " in words
    assert " USD" in words
    assert "not written records are in out.jsonl.undecided.jsonl" in words
    assert "disagreements are in out.jsonl.disagreements.jsonl" in words
    assert "up to date, nothing was done" in again.stderr.decode()
    for path in tmp_path.iterdir():
        assert SECRET.encode() not in path.read_bytes()


def test_json_and_pipes(pairs: str, tmp_path: Path) -> None:
    """Records from stdin to stdout, the account as JSON on stderr; side files are called prefdata.*."""
    rows = Path(pairs).read_bytes()
    with serving(judge=truthful) as server:
        fixed = ["--judge", "pairwise", "--model", "mock", "--base-url", server.url]
        piped = prefdata("label", "-", "-o", "-", *fixed, "--decide", "soft", "--json", stdin=rows, cwd=tmp_path)
        assert piped.returncode == 0, piped.stderr
        account = json.loads(piped.stderr)
        assert account["counts"] == {"read": 4, "kept": 3, "dropped": {"tie": 1}, "rejected": {}}
        assert len(piped.stdout.splitlines()) == 3
        assert {p.name for p in tmp_path.iterdir()} == {
            "pairs.jsonl", "prefdata.journal", "prefdata.undecided.jsonl", "prefdata.disagreements.jsonl"
        }  # fmt: skip
        filed = prefdata("label", pairs, "-o", "out.parquet", *fixed, "--json", "--journal", "prefdata.journal", cwd=tmp_path)
        assert json.loads(filed.stdout)["run"]["calls"] == 0
    assert len(rows_of(tmp_path / "out.parquet")) == 4


def test_dry_run(pairs: str, tmp_path: Path) -> None:
    done = prefdata("label", pairs, "-o", "out.jsonl", "--model", "m", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0
    words = done.stderr.decode()
    assert "dry run: 8 calls, nothing was sent" in words
    assert "no prices are known: add --price-in and --price-out" in words
    found = json.loads(prefdata("label", pairs, "-o", "out.jsonl", "--model", "m", "--dry-run", "--json", cwd=tmp_path).stdout)
    assert (found["calls"], found["usd"]) == (8, None)
    assert {p.name for p in tmp_path.iterdir()} == {"pairs.jsonl"}


def test_exit_codes(pairs: str, tmp_path: Path) -> None:
    """2: mistakes, all in one message; 3: no such file; 4: the budget or the server; 1: too little agreement."""
    wrong = prefdata("label", pairs, "-o", "out.txt", "--judge", "nobody", "--ties", "soft", cwd=tmp_path)
    assert wrong.returncode == 2
    for words in ("--ties soft", "out.txt", "nobody"):
        assert words in wrong.stderr.decode()
    assert prefdata("label", "missing.jsonl", "-o", "o.jsonl", "--model", "m", "--dry-run", cwd=tmp_path).returncode == 3
    unknown = prefdata("label", pairs, "-o", "o.jsonl", "--clamp", "0.9,0.2", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "--clamp: " in unknown.stderr.decode()
    with serving(judge=truthful) as server:
        fixed = ["--judge", "pairwise", "--model", "mock", "--base-url", server.url]
        spent = prefdata("label", pairs, "-o", "o.jsonl", *fixed, "--budget-calls", "2", cwd=tmp_path)
        assert spent.returncode == 4
        assert "the same command goes on" in spent.stderr.decode()
        assert "--offline" in spent.stderr.decode()
        gold = prefdata("label", pairs, "-o", "o.jsonl", *fixed, "--gold", pairs, "--min-agreement", "0.9", cwd=tmp_path)
        assert gold.returncode == 1
        assert "agreement with gold 62.5 %" in gold.stderr.decode()
        assert not (tmp_path / "o.jsonl").exists()
        part = prefdata("label", pairs, "-o", "p.jsonl", *fixed, "--offline", "--journal", "o.jsonl.journal", "--limit", "2", cwd=tmp_path)
        assert part.returncode == 0
    down = prefdata("label", pairs, "-o", "d.jsonl", "--model", "m", "--base-url", "http://127.0.0.1:9/v1", "--deadline", "1", cwd=tmp_path)
    assert down.returncode == 4
    assert "Traceback" not in down.stderr.decode()


def test_reparse(pairs: str, tmp_path: Path) -> None:
    """The journal knows the command: the output is made again from it, and is the same."""
    out = tmp_path / "out.jsonl"
    with serving(judge=truthful) as server:
        assert prefdata("label", pairs, "-o", str(out), "--model", "mock", "--base-url", server.url, "--decide", "hard").returncode == 0
    before = out.read_bytes()
    out.unlink()
    again = prefdata("journal", "reparse", f"{out}.journal")
    assert again.returncode == 0, again.stderr
    assert out.read_bytes() == before
    assert len(lines_of(f"{out}.undecided.jsonl")) == 1


def test_list_judges() -> None:
    done = prefdata("list", "judges", "--json")
    found = {j["name"]: j for j in json.loads(done.stdout)}
    expected = "checklist constitution direct-rlaif listwise multi-aspect pairwise pairwise-cot reference rubric self-rewarding"
    assert sorted(found) == expected.split()
    assert all(j["ask"] in PLACEHOLDERS and j["version"] >= 1 for j in found.values())
    assert prefdata("list", "judges").stdout.decode().count("\n") == len(found)


def test_progress_says_what_it_costs() -> None:
    seen = Seen("label", 10, 100, 40, Stats(calls=500, retries=3, usd=1.5))
    assert said(seen, 2.0) == "40 rows, 250 calls/s, 1.5000 USD, 3 retries"
    assert said(seen._replace(stats=Stats(calls=1, tokens_in=5, tokens_out=2)), 1.0).endswith("7 tokens")
    assert said(Seen("write", 1, 2, 3, None), 1.0) == "3 rows"
