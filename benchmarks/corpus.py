"""Inputs of the benchmark, made from real rows: the same bytes on every machine.

HH-RLHF-shaped rows are copies of the 1,734 real ones. In each copy every common word is swapped for another of about the same
frequency, the same way in `chosen` and `rejected`: the rows differ, the defects stay in proportion, and the text compresses like the
real one. The model-written evals are the real rows as they are.
"""

from __future__ import annotations

import gzip
import os
import random
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HH = "hh_rlhf_harmless/harmless_base_test_part.jsonl.gz"
EVALS = ("model_written_evals/advanced_ai_risk_lm.jsonl.gz", "model_written_evals/persona.jsonl.gz")
COPIES = 120
"""Copies of the 1,734 rows: 208,080 rows, 300 MB."""
EVALS_ROWS = 137_604
SEED = 20
_TOKENS = re.compile(r"\\u[0-9a-fA-F]{4}|\\.|[A-Za-z]+|[^A-Za-z\\]+", re.DOTALL)
_KEYS = ("chosen", "rejected")
_NEIGHBOURS = 24
"""A word is swapped with one of so many words next to it by frequency."""


def find_data(given: str | None = None) -> Path:
    """The folder of the real rows: --data, else beside the examples or the checkout. Raises SystemExit."""
    root = Path(__file__).resolve().parent.parent
    places = [Path(given)] if given else [root / "examples" / "data", root.parent / "shared" / "data"]
    for names in ((HH, *EVALS), (HH,)):  # a folder with everything comes first
        for place in places:
            if all((place / name).exists() for name in names):
                return place
    raise SystemExit(f"no {HH} in {' or '.join(map(str, places))}; say where it is: --data FOLDER")


def hh(data: Path, work: Path, rows: int) -> Path:
    """An HH-RLHF-shaped JSONL file of so many rows; reused if it is there."""
    out = work / f"hh-{rows}.jsonl"
    if not out.exists():
        with gzip.open(data / HH, "rt", encoding="utf-8", newline="") as f:
            real = f.read()
        left = rows
        with _appearing(out) as temporary, open(temporary, "wb") as target:
            for copy in _copies(real):
                lines = copy.encode().splitlines(keepends=True)[:left]
                target.writelines(lines)
                left -= len(lines)
                if not left:
                    break
    return out


def _copies(real: str) -> Iterator[str]:
    """The real text, then endless perturbed copies of it."""
    yield real
    tokens = _TOKENS.findall(real)
    words = list(Counter(tokens))  # in order of appearance: the same on every machine
    place = {word: i for i, word in enumerate(words)}
    ids = [place[t] for t in tokens]
    by_frequency = [place[w] for w, _ in Counter(tokens).most_common() if w.islower() and w.isalpha() and w not in _KEYS]
    draw = random.Random(SEED)
    while True:
        table = list(words)
        for start in range(draw.randrange(_NEIGHBOURS), len(by_frequency), _NEIGHBOURS):
            block = by_frequency[start : start + _NEIGHBOURS]
            for i, j in zip(block, draw.sample(block, len(block)), strict=True):
                table[i] = words[j]
        yield "".join(map(table.__getitem__, ids))


def evals(data: Path, work: Path, rows: int = EVALS_ROWS) -> Path:
    """The first rows of the model-written evals, unpacked into one JSONL file; reused if it is there."""
    out = work / f"evals-{rows}.jsonl"
    if not out.exists():
        left = rows
        with _appearing(out) as temporary, open(temporary, "wb") as target:
            for name in EVALS:
                with gzip.open(data / name, "rb") as f:
                    for line in f:
                        if not left:
                            break
                        target.write(line)
                        left -= 1
    return out


def repeated(source: Path, out: Path, size: int) -> Path:
    """A file of at least `size` bytes: `source` again and again, whole; reused if it is there."""
    if not out.exists():
        need = size - shutil.disk_usage(out.parent).free
        if need > -(1 << 30):
            raise SystemExit(f"not enough room in {out.parent} for {size >> 20} MB; choose another place: --work FOLDER")
        with _appearing(out) as temporary, open(temporary, "wb") as target:
            while target.tell() < size:
                with open(source, "rb") as f:
                    shutil.copyfileobj(f, target, 1 << 20)
    return out


class _appearing:
    """A temporary path that becomes `out` when the block ends well."""

    def __init__(self, out: Path) -> None:
        self.out, self.temporary = out, out.with_name(f".{out.name}.{os.getpid()}")

    def __enter__(self) -> Path:
        return self.temporary

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self.temporary.replace(self.out)
        else:
            self.temporary.unlink(missing_ok=True)
