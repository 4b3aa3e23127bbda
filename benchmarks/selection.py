"""How fast is `prefdata select`: the rules over arrays of scores, and the whole command over real records?

python benchmarks/selection.py [--prompts N] [--candidates N] [--only METHOD] [--repeat N] [--threads N]
python benchmarks/selection.py --records 40000 [--data FOLDER]         # the whole command; --data has wmt_mqm_ted/
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measure
import numpy as np
import report

import prefdata
from prefdata.io import runner
from prefdata.sampling.select_choose import Pool, choose
from prefdata.sampling.select_options import SelectOptions

WAYS: dict[str, dict[str, Any]] = {
    "best-worst": {},
    "best-random": {"method": "best-random"},
    "best-median": {"method": "best-median"},
    "first-round": {"method": "first-round"},
    "rso": {"method": "rso"},
    "rso, tournament": {"method": "rso", "pairing": "tournament"},
    "rso-paper": {"method": "rso-paper"},
    "top-k": {"method": "top-k"},
    "threshold": {"method": "threshold"},
    "z-score, top-k": {"method": "top-k", "length_control": "z-score"},
}
SHARD = 8192
"""Prompts of a shard."""


def shards(prompts: int, n: int) -> Iterator[Pool]:
    """Shards of normal scores. Eight are made, and come again and again: to make them all would take longer than to select from them."""
    rng = np.random.default_rng(0)
    size = SHARD * n
    made = [
        Pool(
            rng.normal(size=size),
            np.arange(SHARD + 1) * n,
            rng.integers(0, 2**64, size, dtype=np.uint64),
            rng.integers(20, 2000, size) + 0.0,
        )
        for _ in range(8)
    ]
    for i in range(prompts // SHARD):
        yield made[i % 8]
    rest = prompts % SHARD
    if rest:
        p = made[0]
        yield Pool(p.score[: rest * n], p.offsets[: rest + 1], p.key[: rest * n], p.length[: rest * n])


def one(name: str, prompts: int, n: int, threads: int | None) -> None:
    """In a process of its own: seconds, and what was selected."""
    o = SelectOptions(**WAYS[name])
    pools = shards(prompts, n)
    first = next(pools)
    started, cpu = time.perf_counter(), time.process_time()
    found = len(choose(first, o).first)
    for c in runner.run(lambda pool: choose(pool, o), pools, threads):
        found += len(c.first)
    seconds, spent = time.perf_counter() - started, time.process_time() - cpu
    print(measure.MARK + json.dumps({"seconds": seconds, "cpu": spent, "selected": found}))


def timed(arguments: list[str]) -> tuple[dict[str, Any], float]:
    """What a process of this script prints, and its peak memory in MB."""
    process = subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True)
    watch = measure.Watch(process.pid)
    text = process.communicate()[0]
    peak = watch.stop()
    if process.returncode:
        raise RuntimeError(text)
    return json.loads(text.rsplit(measure.MARK, 1)[1]), peak


def rules(a: argparse.Namespace) -> list[dict[str, Any]]:
    found = []
    print(f"{a.prompts:,} prompts x {a.candidates} candidates, with their random controls", "", sep="\n")
    print("| rule | selected | s | CPU s | peak anon MB |", "|---|---|---|---|---|", sep="\n")
    for name in a.only or WAYS:
        child = ["--child", name, "--prompts", str(a.prompts), "--candidates", str(a.candidates)]
        runs = [timed([*child, *(["--threads", str(a.threads)] if a.threads else [])]) for _ in range(a.repeat)]
        best, peak = min(runs, key=lambda r: r[0]["seconds"])
        print(f"| {name} | {best['selected']:,} | {best['seconds']:.1f} | {best['cpu']:.1f} | {peak:.0f} |", flush=True)
        found.append({"way": name, **best, "anon_mb": peak})
    return found


def lists(rows: int, data: str | None, work: Path) -> Path:
    """Real lists with human scores, again and again, each time with another prompt."""
    here = Path(__file__).resolve().parent.parent
    folders = [Path(data)] if data else [here.parent / "shared" / "data", here / "examples" / "data"]
    source = next((p for f in folders for p in (f / "wmt_mqm_ted" / "mqm_ted_ende.tsv.gz",) if p.exists()), None)
    if source is None:
        raise SystemExit("--data: name the folder that has wmt_mqm_ted/mqm_ted_ende.tsv.gz")
    prefdata.convert(str(source), str(work / "lists.jsonl"))
    path = work / f"lists-{rows}.jsonl"
    lines = (work / "lists.jsonl").read_text().splitlines()
    with open(path, "w") as f:
        for i in range(rows):
            record = json.loads(lines[i % len(lines)])
            record["prompt"][0]["content"] += f" ({i // len(lines)})"
            f.write(json.dumps(record, ensure_ascii=False) + "\n")
    return path


def command(a: argparse.Namespace) -> list[dict[str, Any]]:
    """The whole command: read, check, select, write, count, hash."""
    found = []
    with tempfile.TemporaryDirectory(prefix="select-") as folder:
        for rows in (a.records // 4, a.records):
            path = lists(rows, a.data, Path(folder))
            size = path.stat().st_size / 1e6
            measure.warm(path)
            if rows != a.records:
                print(f"real lists of 14 translations with what people said of them, {size / rows * 1000:.1f} kB each", "", sep="\n")
                print(
                    "| method | rows | MB | s | rows/s | candidates/s | MB/s | peak anon MB |",
                    "|---|---|---|---|---|---|---|---|",
                    sep="\n",
                )
            for method in a.only or ("best-worst", "rso", "top-k"):
                r, peak = timed(["--child-command", str(path), method, f"{folder}/out.parquet"])
                s = r["seconds"]
                speeds = f"{rows / s:,.0f} | {r['candidates'] / s:,.0f} | {size / s:.0f}"
                print(f"| {method} | {rows:,} | {size:.0f} | {s:.1f} | {speeds} | {peak:.0f} |", flush=True)
                found.append({"method": method, "rows": rows, "mb": size, **r, "anon_mb": peak})
    return found


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--prompts", type=int, default=1_000_000)
    p.add_argument("--candidates", type=int, default=64)
    p.add_argument("--records", type=int, help="the whole command on a quarter of so many rows and on all")
    p.add_argument("--data", help="folder with wmt_mqm_ted/")
    p.add_argument("--only", action="append", default=[], metavar="METHOD")
    p.add_argument("--repeat", type=int, default=1, help="the best counts (default: %(default)s)")
    p.add_argument("--threads", type=int)
    p.add_argument("--json", type=Path, metavar="FILE", help="write what was measured to this file")
    p.add_argument("--child", help=argparse.SUPPRESS)
    p.add_argument("--child-command", nargs=3, help=argparse.SUPPRESS)
    a = p.parse_args(argv)
    if a.child:
        one(a.child, a.prompts, a.candidates, a.threads)
        return 0
    if a.child_command:
        path, method, out = a.child_command
        r = prefdata.select(path, out, method=method, force=True)
        print(measure.MARK + json.dumps({"seconds": r.seconds, "candidates": r.candidates["read"], "written": r.records["written"]}))
        return 0
    found = command(a) if a.records else rules(a)
    m = report.machine()
    print(f"\n{report.machine_line(m, {'numpy': np.__version__})}; load {os.getloadavg()[0]:.1f}")
    if a.json:
        a.json.write_text(json.dumps({"machine": m, "results": found}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
