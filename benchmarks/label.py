"""How fast is `prefdata label`, next to what the machine can do at all, and next to other clients?

python benchmarks/label.py [--pairs N] [--data FOLDER] [--peer openai=PYTHON] [--peer distilabel=PYTHON] [--json FILE]
python benchmarks/label.py --memory 1000000            # peak memory of a run over so many records
python benchmarks/label.py --rate                      # how a server that takes 600 requests a minute is used
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import corpus
import measure
import report

import prefdata
from prefdata.judges.judge import load
from prefdata.judges.options import JudgeOptions
from prefdata.judges.plan import plan_of
from prefdata.judges.subject import subject_of
from prefdata.llm.plan import rehearse

PEERS = Path(__file__).resolve().parent / "peers"
LATENCY = 0.1
CONCURRENCY = 256
JUDGE = "pairwise"
RPM = 600
RATES = {"token bucket": ("bucket", 90), "minutes that begin with the first request": ("window", 120)}
"""How a server counts, and for how many seconds it is watched: windows are watched whole."""
STARTING = 30
"""Seconds in which a client may find out how fast it can go."""


@dataclass(frozen=True)
class Way:
    """A client: its script, the settings to try (the best counts), and whose interpreter it needs."""

    script: str
    what: str
    settings: tuple[dict[str, str], ...] = ({},)
    peer: str | None = None


WAYS = {
    "prefdata": Way("label_own.py", "prefdata label, whole: read, template, HTTP, parse, journal, output, account"),
    "raw": Way("label_raw.py", "the ceiling: hand-written HTTP on asyncio streams and uvloop"),
    "aiohttp": Way("label_aiohttp.py", "aiohttp on uvloop, nothing else"),
    "openai": Way(
        "label_openai.py", "AsyncOpenAI as it comes", tuple({"transport": "httpx", "loop": x} for x in ("asyncio", "uvloop")), "openai"
    ),
    "openai-aiohttp": Way(
        "label_openai.py", "AsyncOpenAI on aiohttp", tuple({"transport": "aiohttp", "loop": x} for x in ("asyncio", "uvloop")), "openai"
    ),
    "distilabel": Way("label_distilabel.py", "a pipeline of one task", tuple({"batch": b} for b in ("50", "500", "2000")), "distilabel"),
}


def arguments(argv: list[str] | None) -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pairs", type=int, default=10_000, help="real pairs; each is asked about in both orders (default: %(default)s)")
    p.add_argument("--data", help="folder with hh_rlhf_harmless/")
    p.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "prefdata-bench", help="folder for files (default: %(default)s)"
    )
    p.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON", help="interpreter that has openai or distilabel")
    p.add_argument("--repeat", type=int, default=3, help="runs of each, in turn; the best counts (default: %(default)s)")
    p.add_argument("--peer-repeat", type=int, default=1, help="runs of each setting of the peers (default: %(default)s)")
    p.add_argument("--only", action="append", default=[], metavar="WAY", help=f"only these: {', '.join(WAYS)}")
    p.add_argument("--memory", type=int, metavar="N", help="peak memory over N records, and nothing else")
    p.add_argument("--rate", action="store_true", help=f"use of a server that takes {RPM} requests a minute, and nothing else")
    p.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured to this file")
    a = p.parse_args(argv)
    a.peer = dict(x.split("=", 1) for x in a.peer)
    unknown = {*a.only} - {*WAYS} | {*a.peer} - {w.peer for w in WAYS.values()}
    if unknown:
        p.error(f"unknown name: {', '.join(sorted(unknown))}")
    return a


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def server(**settings: object) -> Iterator[str]:
    """The base URL of a server in a process of its own."""
    command = [sys.executable, str(PEERS / "label_server.py"), *(f"{k}={v}" for k, v in settings.items())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def pairs(a: argparse.Namespace, rows: int) -> Path:
    """So many pairs of real texts; reused if they are there."""
    a.work.mkdir(parents=True, exist_ok=True)
    out = Path(a.work) / f"label-pairs-{rows}.parquet"
    if not out.exists():
        source = corpus.hh(corpus.find_data(a.data), a.work, rows + rows // 50 + 100)  # some rows are rejected
        whole = Path(a.work) / f"label-whole-{rows}.parquet"
        prefdata.convert(str(source), str(whole), from_="hh-rlhf")
        prefdata.read(str(whole)).head(rows).write_parquet(out, row_group_size=20_000)
        whole.unlink()
    return out


def bodies(a: argparse.Namespace, path: Path) -> tuple[Path, int]:
    """The bodies of the requests that label sends for these pairs, one a line."""
    out = path.with_suffix(".bodies.jsonl")
    judge, options, count = load(JUDGE), JudgeOptions(), 0
    with open(out, "wb") as f:
        for row in prefdata.read(str(path)).iter_rows(named=True):
            for r in rehearse(plan_of(judge, subject_of(row), "bench", "", options)):
                f.write(r.body + b"\n")
                count += 1
    return out, count


def speed(a: argparse.Namespace) -> list[dict[str, Any]]:
    path = pairs(a, a.pairs)
    sent, requests = bodies(a, path)
    for p in (path, sent):
        measure.warm(p)
    chosen = {n: w for n, w in WAYS.items() if (not a.only or n in a.only)}
    for name in [n for n, w in chosen.items() if w.peer and w.peer not in a.peer]:
        say(f"{name}: left out; give its interpreter: --peer {chosen.pop(name).peer}=PYTHON")
    found: dict[str, list[dict[str, Any]]] = {n: [] for n in chosen}
    with server(latency=LATENCY) as url:
        for turn in range(max(a.repeat, a.peer_repeat)):
            for name, way in chosen.items():
                if turn < (a.peer_repeat if way.peer else a.repeat):
                    for settings in way.settings:
                        found[name].append(once(a, name, way, {**settings}, url, path if name == "prefdata" else sent, requests))
    return [max(runs, key=lambda r: r["rate"]) | {"rates": [round(r["rate"]) for r in runs]} for runs in found.values()]


def once(a: argparse.Namespace, name: str, way: Way, settings: dict[str, str], url: str, data: Path, requests: int) -> dict[str, Any]:
    python = a.peer[way.peer] if way.peer else sys.executable
    given = settings | {"url": url, "concurrency": str(CONCURRENCY)} | ({"judge": JUDGE} if name == "prefdata" else {})
    r = measure.run(python, PEERS / way.script, "label", data, "parquet", a.work, given)
    wanted = a.pairs if name == "prefdata" else requests
    if r.rows != wanted:
        raise RuntimeError(f"{name} did {r.rows:,} of {wanted:,}")
    rate, cpu = requests / r.seconds, r.stages["cpu"] / requests * 1e6
    say(f"{name} {settings or ''} {rate:,.0f} requests/s, {cpu:,.0f} µs of CPU a request, {r.anon_mb:.0f} MB")
    return {"way": name, "settings": settings, "requests": requests, "rate": rate, "cpu_us": cpu, **vars(r)}


def table(results: list[dict[str, Any]]) -> Iterator[str]:
    ideal = CONCURRENCY / LATENCY
    rates = {r["way"]: r["rate"] for r in results}
    yield f"| way | settings | requests/s | of the ideal {ideal:,.0f} | of raw | CPU µs a request | peak MB | prefdata is × as fast |"
    yield "|---|---|---|---|---|---|---|---|"
    for r in results:
        cells = [
            r["way"],
            ", ".join(f"{k} {v}" for k, v in r["settings"].items()) or "–",
            f"{r['rate']:,.0f}",
            f"{r['rate'] / ideal:.0%}",
            f"{r['rate'] / rates['raw']:.2f}" if "raw" in rates else "–",
            f"{r['cpu_us']:,.0f}",
            f"{r['anon_mb']:.0f}",
            f"{rates['prefdata'] / r['rate']:.1f}" if "prefdata" in rates else "–",
        ]
        yield "| " + " | ".join(cells) + " |"
    yield ""
    yield from (f"* {r['way']}: {WAYS[r['way']].what}" for r in results)


def memory(a: argparse.Namespace) -> list[dict[str, Any]]:
    path = pairs(a, a.memory)
    with server(latency=0) as url:
        given = {"url": url, "concurrency": str(CONCURRENCY), "judge": JUDGE, "order": "given"}
        r = measure.run(sys.executable, PEERS / "label_own.py", "label", path, "parquet", a.work, given)
    print(
        f"{r.rows:,} records, a request each: {r.seconds:.0f} s ({r.rows / r.seconds:,.0f} records/s), peak anonymous memory "
        f"{r.anon_mb:.0f} MB; journal {r.stages['journal_mb']:,.0f} MB, output {r.out_mb:,.0f} MB"
    )
    return [{"requests": r.rows, **vars(r)}]


def rate(a: argparse.Namespace) -> list[dict[str, Any]]:
    path = pairs(a, 2_000)
    results = []
    print(
        f"| server: {RPM} requests a minute | says so | seconds | allowance used | 429s | 429s after {STARTING} s |",
        "|---|---|---|---|---|---|",
        sep="\n",
    )
    for what, (limit, seconds) in RATES.items():
        for headers in ("yes", "no"):
            found = watched(a, path, seconds, limit=limit, headers=headers)
            allowed = RPM * seconds / 60 + (RPM / 60 if limit == "bucket" else 0)
            accepted = sum(s[0] for s in found)
            shares = [refused(found), refused(found[STARTING:])]
            cells = [what, headers, str(seconds), f"{accepted / allowed:.1%}", *(f"{s:.1%}" for s in shares)]
            print("| " + " | ".join(cells) + " |", flush=True)
            results.append({"limit": limit, "headers": headers, "allowed": allowed, "accepted": accepted, "seconds": found})
    return results


def refused(seconds: list[list[int]]) -> float:
    """The share of 429s among all requests."""
    accepted, others = (sum(s[i] for s in seconds) for i in (0, 1))
    return others / max(1, accepted + others)


def watched(a: argparse.Namespace, path: Path, seconds: int, **settings: str) -> list[list[int]]:
    """What a limited server has counted, second by second, when a run is interrupted after some seconds of asking."""
    with server(latency=LATENCY, rpm=RPM, **settings) as url, tempfile.TemporaryDirectory(dir=a.work) as folder:
        command = [str(Path(sys.executable).parent / "prefdata"), "label", str(path), "-o", f"{folder}/out.parquet", "--judge", JUDGE]
        with subprocess.Popen([*command, "--model", "bench", "--base-url", url, "--quiet"], stderr=subprocess.PIPE, text=True) as process:
            while not counted(url):
                if process.poll() is not None:
                    assert process.stderr
                    raise RuntimeError(f"label ended with exit code {process.returncode}: {process.stderr.read()[-1000:]}")
                time.sleep(0.05)
            try:
                raise RuntimeError(f"label ended early, with exit code {process.wait(seconds)}")
            except subprocess.TimeoutExpired:
                found = counted(url)[:seconds]
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
    return found


def counted(url: str) -> list[list[int]]:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats") as response:
        found: list[list[int]] = json.load(response)["seconds"]
    return found


def main(argv: list[str] | None = None) -> int:
    a = arguments(argv)
    results = memory(a) if a.memory else rate(a) if a.rate else speed(a)
    if not (a.memory or a.rate):
        print(*table(results), sep="\n")
    versions = {k: v for r in results for k, v in r.get("versions", {}).items()}
    m = report.machine()
    print(f"\n{report.machine_line(m, versions)}" + ("" if a.memory or a.rate else f"; best of {a.repeat}, peers of {a.peer_repeat}"))
    if a.json:
        a.json.write_text(json.dumps({"machine": m, "versions": versions, "results": results}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
