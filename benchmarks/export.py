"""How fast is `prefdata export` to JSON lines, next to polars' bare sink of the same columns?

python benchmarks/export.py [--rows N] [--data FOLDER] [--repeat N]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import corpus
import measure
import report

import prefdata

SCRIPT = Path(__file__).resolve().parent / "peers" / "exports.py"
WAYS = {"prefdata export --to trl": "export", "polars sink_ndjson": "sink"}


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", type=int, default=1734 * corpus.COPIES, help="rows of the source file (default: %(default)s)")
    p.add_argument("--data", help="folder with hh_rlhf_harmless/")
    p.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "prefdata-bench", help="folder for files (default: %(default)s)"
    )
    p.add_argument("--repeat", type=int, default=5, help="runs of each, in turn; the best counts (default: %(default)s)")
    a = p.parse_args(argv)
    a.work.mkdir(parents=True, exist_ok=True)
    path = a.work / f"pairs-{a.rows}.parquet"
    prefdata.convert(str(corpus.hh(corpus.find_data(a.data), a.work, a.rows)), str(path), from_="hh-rlhf")
    measure.warm(path)
    runs: dict[str, list[measure.Run]] = {what: [] for what in WAYS}
    for _ in range(a.repeat):
        for what, how in WAYS.items():
            runs[what].append(measure.run(sys.executable, SCRIPT, "pairs", path, "jsonl", a.work, {"how": how}))
    best = {what: min(found, key=lambda r: r.seconds) for what, found in runs.items()}
    sink = best["polars sink_ndjson"]
    print("| way | s | thousand rows/s | rate next to the sink |", "|---|---|---|---|", sep="\n")
    for what, r in best.items():
        print(f"| {what} | {r.seconds:.2f} | {r.rows / r.seconds / 1e3:.0f} | {sink.seconds / r.seconds:.2f} |")
    print(f"\n{report.machine_line(report.machine(), sink.versions)}; best of {a.repeat}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
