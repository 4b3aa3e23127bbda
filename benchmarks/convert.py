"""How fast is `prefdata convert`, next to a floor that no strict converter can pass, and next to other tools?

python benchmarks/convert.py [--rows N] [--data FOLDER] [--peer distilabel=PYTHON] [--peer data-juicer=PYTHON] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import corpus
import measure
import report
from ways import PEERS, TASKS, WAYS, Way


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--rows",
        type=int,
        default=1734 * corpus.COPIES,
        help="rows of the HH-RLHF-shaped file, at most so many of the evals (default: %(default)s)",
    )
    p.add_argument("--scale", type=int, default=1, help="make the HH-RLHF-shaped file so many times larger")
    p.add_argument("--data", help="folder with hh_rlhf_harmless/ and model_written_evals/")
    p.add_argument(
        "--work",
        type=Path,
        default=Path(tempfile.gettempdir()) / "prefdata-bench",
        help="folder for inputs and outputs (default: %(default)s)",
    )
    p.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON", help="interpreter that has distilabel or data-juicer")
    p.add_argument("--peer-rows", type=int, default=0, help="rows for these peers, for a quick look; 0 = all (default)")
    p.add_argument("--repeat", type=int, default=3, help="turns of each, of two runs; the best counts (default: %(default)s)")
    p.add_argument("--only", action="append", default=[], metavar="NAME", help=f"only these: {', '.join([*WAYS, *TASKS, 'startup'])}")
    p.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured to this file")
    found = p.parse_args(argv)
    found.peer = dict(x.split("=", 1) for x in found.peer)
    unknown = ({*found.only} - {*WAYS, *TASKS, "startup"}) | ({*found.peer} - {w.peer for w in WAYS.values()})
    if unknown:
        p.error(f"unknown name: {', '.join(sorted(unknown))}")
    return found


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def inputs(a: argparse.Namespace) -> dict[str, dict[bool, tuple[Path, int]]]:
    """`task -> {outside: (file, rows)}`: the whole file, and the shorter one for slow peers."""
    data = corpus.find_data(a.data)
    a.work.mkdir(parents=True, exist_ok=True)
    rows = {"hh": a.rows * a.scale, "evals": min(a.rows * a.scale, corpus.EVALS_ROWS)}
    make = {"hh": corpus.hh, "evals": corpus.evals}
    found: dict[str, dict[bool, tuple[Path, int]]] = {}
    for task in [t for t in TASKS if t in a.only or not {*TASKS} & {*a.only}]:
        found[task] = {
            outside: (make[task](data, a.work, n), n)
            for outside, n in ((False, rows[task]), (True, min(a.peer_rows or rows[task], rows[task])))
        }
    return found


def wanted(a: argparse.Namespace) -> dict[str, Way]:
    names = [n for n in a.only if n in WAYS] or ([] if a.only == ["startup"] else list(WAYS))
    out = {}
    for name in names:
        if WAYS[name].outside and WAYS[name].peer not in a.peer:
            say(f"{name}: left out; give its interpreter: --peer {WAYS[name].peer}=PYTHON")
        else:
            out[name] = WAYS[name]
    return out


def measured(task: str, ways: dict[str, Way], files: dict[bool, tuple[Path, int]], a: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The best run of each way over all settings and repeats. The ways take turns, because the machine's speed changes in minutes, and each
    runs twice in its turn (those of other interpreters, which take minutes, once): where the host of a virtual machine takes back what a
    process freed, the first run pays for all of its memory."""
    runs: dict[str, list[tuple[measure.Run, dict[str, str]]]] = {name: [] for name in ways}
    for _ in range(a.repeat):
        for name, way in ways.items():
            if name in runs:
                try:
                    for _ in range(1 if way.outside else 2):
                        runs[name] += once(name, way, task, files, a)
                except RuntimeError as e:
                    del runs[name]
                    say(f"{task} {name}: {e}")
    for name, found in runs.items():
        r, settings = min(found, key=lambda x: x[0].seconds)
        yield {
            "task": task,
            "way": name,
            "settings": settings,
            **vars(r),
            "rate": r.rows / r.seconds,
            "of": files[False][1],
            "all_seconds": [round(x.seconds, 4) for x, s in found if s == settings],
        }


def once(
    name: str, way: Way, task: str, files: dict[bool, tuple[Path, int]], a: argparse.Namespace
) -> Iterator[tuple[measure.Run, dict[str, str]]]:
    """A run with each of the settings."""
    path, rows = files[way.outside]
    extra = {"converted": converted(task, files[False][0], a.work / f"converted-{task}.parquet")} if "floor" in name else {}
    measure.warm(path)
    for settings in way.settings:
        settings = settings | extra
        r = measure.run(a.peer.get(way.peer, sys.executable), way.path, task, path, way.form, a.work, settings)
        if r.rows != rows:
            raise RuntimeError(f"{name} did {r.rows:,} of {rows:,} rows")
        say(f"{task} {name} {settings or ''} {r.seconds:.2f} s, {r.rows / r.seconds / 1e3:.1f} krow/s, {r.anon_mb:.0f} MB")
        yield r, settings


def main(argv: list[str] | None = None) -> int:
    a = arguments(argv)
    results: list[dict[str, Any]] = []
    failed: list[str] = []
    ways = wanted(a)
    for task, files in (inputs(a) if ways else {}).items():
        found = list(measured(task, ways, files, a))
        results += found
        failed += [f"{task} {name}" for name in ways if name not in {r["way"] for r in found}]
    versions = {k: v for r in reversed(results) for k, v in r["versions"].items()}
    m = report.machine()
    startup = measure.best_startup(sys.executable) if not a.only or "startup" in a.only else None
    if results:
        print(report.table(results), "", *report.notes(results), sep="\n")
    print(f"\n{report.machine_line(m, versions)}; best of {a.repeat}")
    if startup is not None:
        print(f"`prefdata --help`: {startup:.2f} s")
    if failed:
        print(f"failed: {', '.join(failed)}")
    if a.json:
        found = {"machine": m, "versions": versions, "repeat": a.repeat, "startup_seconds": startup, "results": results, "failed": failed}
        a.json.write_text(json.dumps(found, indent=2) + "\n")
    return 1 if failed else 0


@cache
def converted(task: str, path: Path, out: Path) -> str:
    """The records that the floor writes, as prefdata makes them."""
    command = [sys.executable, str(PEERS / "whole_path.py"), task, str(path), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"prefdata cannot make the records that the floor writes: {done.stderr[-500:]}")
    return str(out)


if __name__ == "__main__":
    sys.exit(main())
