"""`make test-consumers`: exports real records and lets each trainer's own loader read them, in an environment of its own.

    python tests/consumers_external/run.py [NAME ...]

A folder per consumer holds `requirements.txt`, `nodeps.txt` (installed without what they depend on: a loader needs no GPU kernels),
`sources.txt` (single files of a repository at a commit, where there is no package) and `check.py`. The environments stay in
`.venv-consumers/`. Files named in `sources.txt` are downloaded, or taken from `$CONSUMER_FILES/NAME/` if that is set.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.request import urlopen

from samples import SAMPLES, expected, write_samples

from prefdata.exporters.options import ExportOptions
from prefdata.exporters.run import export
from prefdata.exporters.targets import load

HERE = Path(__file__).parent
VENVS = HERE.parent.parent / ".venv-consumers"
CONSUMERS = {
    "trl": ("trl", ["preference", "reward", "implicit", "standard", "sft", "unpaired", "prompt-only"]),
    "llama_factory": ("llama-factory", ["sharegpt", "alpaca", "kto"]),
    "openrlhf": ("openrlhf", ["preference", "reward"]),
    "axolotl": ("axolotl", ["dpo", "chatml", "kto", "reward"]),
    "torchtune": ("torchtune", ["preference"]),
    "ms_swift": ("ms-swift", ["preference", "reward", "kto"]),
    "verl": ("verl", ["reward", "prompts"]),
    "nemo_rl": ("nemo-rl", ["ranked"]),
    "halos": ("halos", ["pairwise", "binary"]),
}


def python_of(name: str) -> str:
    """The interpreter of a consumer's environment, which is made where it is missing or its requirements changed."""
    home, here = VENVS / name, HERE / name
    wanted = "".join((here / f).read_text() for f in ("requirements.txt", "nodeps.txt", "sources.txt") if (here / f).exists())
    ready = home / ".ready"
    if not ready.exists() or ready.read_text() != wanted:
        VENVS.mkdir(exist_ok=True)
        (VENVS / ".gitignore").write_text("*\n")
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        pip = [str(home / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(here / "requirements.txt")], check=True)
        if (here / "nodeps.txt").exists():
            subprocess.run([*pip, "--no-deps", "-r", str(here / "nodeps.txt")], check=True)
        if (here / "sources.txt").exists():
            _sources(name, (here / "sources.txt").read_text(), home / "sources")
        ready.write_text(wanted)
    return str(home / "bin/python")


def _sources(name: str, listing: str, to: Path) -> None:
    base, *paths = listing.split()
    for path in paths:
        kept = os.environ.get("CONSUMER_FILES")
        data = Path(kept, name, path).read_bytes() if kept else urlopen(f"{base}/{path}").read()
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        (to / path).write_bytes(data)


def checked(name: str, target: str, form: str, work: Path) -> tuple[str, str, str, str]:
    """One row of the table: consumer and versions, form and what was loaded, rows, result."""
    kind = load(target).forms[form].kind
    out = str(work / f"{name}-{form}")
    result = export([str(work / f) for f in SAMPLES[kind]], out, ExportOptions(to=target, form=form), None)
    rows = expected([work / f for f in SAMPLES[kind]], kind, load(target).forms[form])
    if rows.height != result.counts["kept"]:
        raise AssertionError(f"{name} {form}: {result.counts} but {rows.height} expected rows")
    rows.write_ndjson(work / "expected.jsonl")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(VENVS / name / "sources")]), "HF_HUB_OFFLINE": "1"}
    env |= {"HF_DATASETS_CACHE": str(work / "cache"), "CUDA_VISIBLE_DEVICES": "", "WANDB_DISABLED": "true", "TMPDIR": str(work)}
    args = [python_of(name), str(HERE / name / "check.py"), str(work / "expected.jsonl"), out, form]
    done = subprocess.run(args, env=env, cwd=work, capture_output=True, text=True)
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not found:
        return name, form, "", "FAILED: " + (done.stderr or done.stdout)[-1500:]
    seen = json.loads(found[-1][7:])
    versions = ", ".join(f"{p} {v}" for p, v in seen["versions"].items())
    dropped = f" ({sum(result.counts['dropped'].values()):,} left out)" if result.counts["dropped"] else ""
    return versions, f"`{form}`: {seen['what']}", f"{seen['rows']:,}{dropped}", "same texts"


def main(names: list[str]) -> int:
    failed = False
    with tempfile.TemporaryDirectory() as tmp:
        work = Path(tmp)
        write_samples(work)
        sys.stdout.write("| consumer | form, what was loaded | rows | result |\n|---|---|---|---|\n")
        for name in names or CONSUMERS:
            target, forms = CONSUMERS[name]
            for form in forms:
                row = checked(name, target, form, work)
                failed |= row[3].startswith("FAILED")
                sys.stdout.write("| " + " | ".join(row) + " |\n")
                sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
