"""How fast and how lean is a step of `prefdata train dpo` and `train rm`, next to TRL's DPOTrainer and RewardTrainer?

python benchmarks/train.py [--shape small|0.5b|1.5b] [--batch N] [--steps N] [--threads N] [--repeat N] [--json FILE]

Same model, same pairs in the same steps, same numbers (float32 on a CPU, bfloat16 autocast on a GPU). Each run is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measure
import report

PEERS = Path(__file__).resolve().parent / "peers"
sys.path.append(str(PEERS))

import train_job  # noqa: E402

WAYS: dict[str, tuple[str, dict[str, str], str]] = {
    "prefdata": ("train_own.py", {}, "prefdata train, defaults"),
    "trl": ("train_trl.py", {"mode": "default"}, "TRL, defaults: gradient checkpointing, live reference"),
    "trl-best": ("train_trl.py", {"mode": "best"}, "TRL, best: no checkpointing, cached reference"),
}
"""Script, settings, words."""
TFLOPS = {"H100": 989, "H200": 989, "A100": 312, "L40S": 362, "4090": 165, "B200": 2250}
"""Dense bfloat16 peaks by NVIDIA's data sheets."""
AGREE = {"float32": 1e-3, "bfloat16": 0.1}
"""How far first losses and gradients' norms of two ways may be apart, relatively."""


def arguments(argv: list[str] | None) -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--shape", choices=train_job.SHAPES, default="small", help="of the random model (default: %(default)s)")
    p.add_argument("--batch", type=int, default=8, help="pairs of a step (default: %(default)s, TRL's)")
    p.add_argument("--steps", type=int, default=4, help="measured steps (default: %(default)s)")
    p.add_argument("--warm", type=int, default=1, help="steps before them (default: %(default)s)")
    p.add_argument("--prompts", type=span, default=(128, 512), metavar="LOW-HIGH", help="tokens of prompts (default: 128-512)")
    p.add_argument("--answers", type=span, default=(32, 256), metavar="LOW-HIGH", help="tokens of answers (default: 32-256)")
    p.add_argument("--threads", type=int, default=1, help="of a CPU (default: %(default)s: then CPU seconds are those of one core)")
    p.add_argument("--repeat", type=int, default=3, help="runs of each, in turn; the best counts (default: %(default)s)")
    p.add_argument("--only", action="append", default=[], metavar="NAME", help=f"only these: dpo, rm, {', '.join(WAYS)}")
    p.add_argument("--options", default="{}", metavar="JSON", help='options of prefdata train to try, as {"micro_tokens": 4096}')
    p.add_argument("--peak-tflops", type=float, help="of the GPU in dense bfloat16; default: by its name")
    p.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "prefdata-bench", help="folder for files (default: %(default)s)"
    )
    p.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured to this file")
    a = p.parse_args(argv)
    unknown = {*a.only} - {*WAYS, "dpo", "rm"}
    if unknown:
        p.error(f"unknown name: {', '.join(sorted(unknown))}")
    return a


def span(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    return int(low), int(high or low)


def speed(a: argparse.Namespace) -> list[dict[str, Any]]:
    """Every way in turn, the best run of each by CPU seconds of a step (on a GPU: by seconds)."""
    a.work.mkdir(parents=True, exist_ok=True)
    steps = a.warm + a.steps
    sizes = train_job.lengths(steps * a.batch, a.prompts, a.answers)
    data = a.work / "train-pairs.parquet"
    train_job.pairs(data, sizes, train_job.SHAPES[a.shape].vocabulary)
    tasks = [t for t in ("dpo", "rm") if t in a.only or not {"dpo", "rm"} & {*a.only}]
    ways = [w for w in WAYS if w in a.only or not {*WAYS} & {*a.only}]
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {(t, w): [] for t in tasks for w in ways}
    for _ in range(a.repeat):
        for task, way in runs:
            script, settings, _words = WAYS[way]
            given = {"model": str(train_job.folder(a.work, a.shape, task)), "batch": a.batch, "steps": steps, "warm": a.warm}
            given |= {"threads": a.threads, "options": a.options, **settings}
            r = measure.run(sys.executable, PEERS / script, task, data, "out", a.work, {k: str(v) for k, v in given.items()})
            found = {"task": task, "way": way, "versions": r.versions, **r.stages}
            print(
                f"{task} {way}: {found['step']:.3f} s a step, {found['step_cpu']:.3f} s of CPU, {found['peak_mb']:,.0f} MB", file=sys.stderr
            )
            runs[task, way].append(found)
    measured = sizes[a.warm * a.batch :]
    return [figures(a, best(found, gpu()), [r["step_cpu"] for r in found], measured) for found in runs.values()]


def best(found: list[dict[str, Any]], on_gpu: bool) -> dict[str, Any]:
    return min(found, key=lambda r: r["step" if on_gpu else "step_cpu"])


def gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def figures(a: argparse.Namespace, r: dict[str, Any], all_cpu: list[float], sizes: Any) -> dict[str, Any]:
    """With what follows from a run: the step with its share of the reference stage (which has run once over all steps), tokens per second
    (those of prompts once), and the part of the GPU's peak that useful work takes."""
    steps = a.warm + a.steps
    tokens = float(sizes.sum()) / a.steps
    out = r | {"tokens": tokens, "step_cpu_runs": all_cpu}
    for name in ("step", "step_cpu"):
        out[f"{name}_with_reference"] = r[name] + r[name.replace("step", "reference")] / steps
    out["tokens_per_second"] = tokens / r["step"]
    device = gpu()
    peak = a.peak_tflops or next((v for k, v in TFLOPS.items() if device and k in device), None)
    if device and peak:
        out["mfu"] = train_job.work(train_job.SHAPES[a.shape], sizes, head=r["task"] == "dpo") / a.steps / r["step"] / (peak * 1e12)
    return out


def check(results: list[dict[str, Any]]) -> None:
    """Raises RuntimeError when two ways did not compute the same first step."""
    limit = AGREE["bfloat16" if gpu() else "float32"]
    for task in {r["task"] for r in results}:
        same = [r for r in results if r["task"] == task]
        for r in same[1:]:
            for name in ("first_loss", "first_grad_norm"):
                if abs(r[name] - same[0][name]) > limit * abs(same[0][name]):
                    raise RuntimeError(f"{task}: {name} is {r[name]} with {r['way']} and {same[0][name]} with {same[0]['way']}")


def table(results: list[dict[str, Any]]) -> Iterator[str]:
    """Ratios are those of the line's time (memory) to prefdata's."""
    on_gpu = gpu() is not None
    clock = "step" if on_gpu else "step_cpu"
    head = [
        "task",
        "way",
        "s a step",
        "CPU s a step",
        "of it kernel",
        "with the reference's share",
        "tokens/s",
        "peak MB",
        "above imports MB",
    ]
    head += ["MFU"] * on_gpu + ["prefdata is × as fast", "… with the reference", "prefdata's peak", "… above imports"]
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    own = {r["task"]: r for r in results if r["way"] == "prefdata"}
    for r in results:
        mine = own.get(r["task"])
        cells = [r["task"], r["way"], f"{r['step']:.3f}", f"{r['step_cpu']:.3f}", f"{r['step_system']:.3f}"]
        cells += [f"{r[f'{clock}_with_reference']:.3f}", f"{r['tokens_per_second']:,.0f}", f"{r['peak_mb']:,.0f}", f"{above(r):,.0f}"]
        cells += [f"{r['mfu']:.1%}" if "mfu" in r else "–"] * on_gpu
        if mine:
            times = (r[name] / mine[name] for name in (clock, f"{clock}_with_reference"))
            cells += [f"{t:.2f}" for t in times] + [f"{mine['peak_mb'] / r['peak_mb']:.0%}", f"{above(mine) / above(r):.0%}"]
        yield "| " + " | ".join(cells + ["–"] * (len(head) - len(cells))) + " |"
    yield ""
    yield from (f"* {way}: {words}" for way, (_, _, words) in WAYS.items())


def above(r: dict[str, Any]) -> float:
    return float(r["peak_mb"] - r["imports_mb"])


def main(argv: list[str] | None = None) -> int:
    a = arguments(argv)
    results = speed(a)
    check(results)
    print(*table(results), sep="\n")
    m = report.machine() | {"gpu": gpu(), "threads": a.threads}
    versions = {k: v for r in results for k, v in r["versions"].items()}
    print(f"\n{report.machine_line(m, versions)}{f', {gpu()}' if gpu() else ''}; best of {a.repeat}")
    if a.json:
        given = {k: v for k, v in vars(a).items() if k not in ("json", "work")}
        a.json.write_text(json.dumps({"machine": m, "versions": versions, "settings": given, "results": results}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
