"""How fast is `prefdata validate`, next to pydantic row by row, and how much memory do the rules over all rows take?

python benchmarks/validate.py [--rows N] [--data FOLDER] [--repeat N] [--memory GB] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import corpus
import measure
import report

import prefdata

SCRIPT = Path(__file__).resolve().parent / "peers" / "check.py"
WAYS = {
    "parquet": {
        "all row rules": "rows",
        "default run (rules over all rows too)": "default",
        "pydantic, a model per row": "parquet",
    },
    "jsonl": {
        "all row rules": "rows",
        "default run (rules over all rows too)": "default",
        "orjson and pydantic, a model per row": "orjson",
        "pydantic's JSON parser, a model per row": "json",
    },
}


def arguments(argv: list[str] | None) -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", type=int, default=1734 * corpus.COPIES, help="rows of the source file (default: %(default)s)")
    p.add_argument("--data", help="folder with hh_rlhf_harmless/")
    p.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "prefdata-bench", help="folder for files (default: %(default)s)"
    )
    p.add_argument("--repeat", type=int, default=3, help="turns of each, of two runs; the best counts (default: %(default)s)")
    p.add_argument("--memory", type=float, metavar="GB", help="measure a default run on a file of so many 10^9 bytes, and nothing else")
    p.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured to this file")
    return p.parse_args(argv)


def files(a: argparse.Namespace) -> dict[str, Path]:
    """The same pairs as Parquet and as JSON lines; reused if they are there."""
    a.work.mkdir(parents=True, exist_ok=True)
    source = corpus.hh(corpus.find_data(a.data), a.work, a.rows)
    out = {form: a.work / f"pairs-{a.rows}.{form}" for form in ("parquet", "jsonl")}
    for path in out.values():
        prefdata.convert(str(source), str(path), from_="hh-rlhf")
    return out


def best(path: Path, form: str, a: argparse.Namespace) -> dict[str, measure.Run]:
    """The best run of each way. They take turns, because the machine's speed changes in minutes, and each runs twice in its turn: where
    the host of a virtual machine takes back what a process freed, the first run pays for all of its memory."""
    measure.warm(path)
    runs: dict[str, list[measure.Run]] = {what: [] for what in WAYS[form]}
    for _ in range(a.repeat):
        for what, how in WAYS[form].items():
            runs[what] += [measure.run(sys.executable, SCRIPT, "pairs", path, form, a.work, {"how": how}) for _ in range(2)]
    return {what: min(found, key=lambda r: r.seconds) for what, found in runs.items()}


def small(path: Path, a: argparse.Namespace) -> tuple[float, float]:
    """Seconds of the command on the first 10 MB of a JSON lines file, its start included; and the MB."""
    out = a.work / "ten.jsonl"
    with open(path, "rb") as f:
        out.write_bytes(b"".join(iter(lambda: f.readline() if f.tell() < 10_000_000 else b"", b"")))
    command = [str(Path(sys.executable).parent / "prefdata"), "validate", str(out), "--quiet", "--fail-on", "never"]
    times = []
    for _ in range(a.repeat):
        started = time.perf_counter()
        subprocess.run(command, check=True)
        times.append(time.perf_counter() - started)
    return min(times), out.stat().st_size / 1e6


def memory(a: argparse.Namespace, jsonl: Path) -> list[dict[str, Any]]:
    big = corpus.repeated(jsonl, a.work / f"pairs-{a.memory:g}gb.jsonl", int(a.memory * 1e9))
    r = measure.run(sys.executable, SCRIPT, "pairs", big, "jsonl", a.work, {"how": "default"})
    print(
        f"default run on {big.stat().st_size / 1e9:.1f} GB, {r.rows:,} pairs: {r.seconds:.1f} s, peak anonymous memory {r.anon_mb:.0f} MB"
    )
    return [vars(r)]


def main(argv: list[str] | None = None) -> int:
    a = arguments(argv)
    paths = files(a)
    results: list[dict[str, Any]] = []
    if a.memory:
        results = memory(a, paths["jsonl"])
    else:
        for form in WAYS:
            found = best(paths[form], form, a)
            own = found["all row rules"].seconds
            print(f"\n| {form}, {found['all row rules'].rows:,} pairs | s | thousand rows/s | peak anon MB | all row rules are × as fast |")
            print("|---|---|---|---|---|")
            for what, r in found.items():
                print(
                    f"| {what} | {r.seconds:.2f} | {r.rows / r.seconds / 1e3:.0f} | {r.anon_mb:.0f} | {r.seconds / own:.1f} |", flush=True
                )
                results.append({"form": form, "what": what, **vars(r)})
        seconds, mb = small(paths["jsonl"], a)
        print(f"\n`prefdata validate` on {mb:.1f} MB of JSON lines, start included: {seconds:.2f} s")
    m = report.machine()
    print(f"{report.machine_line(m, results[-1]['versions'])}; best of {a.repeat}")
    if a.json:
        a.json.write_text(json.dumps({"machine": m, "results": results}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
