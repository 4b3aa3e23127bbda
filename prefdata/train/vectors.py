"""Check the losses against a file of test vectors: `python -m prefdata.train.vectors loss_vectors.json`.

The file is `{"cases": [{"id", "loss_name", "inputs", "params", "expected"}]}`. Each case runs through the functions that the trainer calls,
in float64, and every expected number is compared, gradients too (rtol 1e-7, as the vectors have ten digits). Exit code 1: a
number differs or a loss is unknown.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from prefdata.train.vector_cases import CASES


def check(case: dict[str, Any], dtype: torch.dtype = torch.float64) -> list[str]:
    """What differs from the expected numbers, in words; empty when the case passes."""
    run = CASES.get(case["loss_name"])
    if run is None:
        return [f"unknown loss {case['loss_name']!r}"]
    x = {name: _tensor(value, dtype) for name, value in case["inputs"].items()}
    try:
        found = run(x, dict(case["params"]))
    except (KeyError, TypeError, ValueError, RuntimeError) as e:
        return [f"inputs or params do not fit the loss ({type(e).__name__}: {e})"]
    exact = 1e-7 if dtype == torch.float64 else 1e-5
    return [w for name, want in case["expected"].items() for w in _differs(name, want, found.get(name), exact)]


def _differs(name: str, want: Any, got: Any, rtol: float) -> list[str]:
    if got is None:
        return [f"{name} was not computed"]
    if isinstance(want, list) and want and isinstance(want[0], list):
        return [w for i, row in enumerate(want) for w in _differs(f"{name}[{i}]", row, got[i], rtol)]
    a = torch.as_tensor(want, dtype=torch.float64)
    b = torch.as_tensor(got, dtype=torch.float64).detach()
    if a.shape == b.shape and torch.allclose(b, a, rtol=rtol, atol=rtol / 10):
        return []
    return [f"{name}: expected {a.tolist()}, got {b.tolist()}"]


def _tensor(value: Any, dtype: torch.dtype) -> Any:
    """Numbers become a leaf that gathers gradients; ragged lists stay a list of tensors; flags and token ids keep their type."""
    if not isinstance(value, list):
        return torch.tensor(float(value), dtype=dtype)
    if value and isinstance(value[0], list):
        rows = [_tensor(v, dtype) for v in value]
        return torch.stack(rows) if len({len(r) for r in rows}) == 1 else rows
    if all(isinstance(v, bool) for v in value):
        return torch.tensor(value)
    return torch.tensor(value, dtype=dtype).requires_grad_()


def main(argv: list[str]) -> int:
    if len(argv) != 1:
        print("usage: python -m prefdata.train.vectors FILE.json", file=sys.stderr)  # noqa: T201
        return 2
    try:
        cases = json.loads(Path(argv[0]).read_text(encoding="utf-8"))["cases"]
    except (OSError, ValueError, KeyError, TypeError) as e:
        print(f"error: {argv[0]} is no file of test vectors ({type(e).__name__}: {e})", file=sys.stderr)  # noqa: T201
        return 3
    passed, failed = Counter[str](), Counter[str]()
    for case in cases:
        wrong = check(case)
        (failed if wrong else passed)[case["loss_name"]] += 1
        for line in wrong:
            print(f"{case['id']}: {line}", file=sys.stderr)  # noqa: T201
    for name in sorted({*passed, *failed}):
        print(f"{name:20} passed {passed[name]:3}  failed {failed[name]:3}")  # noqa: T201
    print(f"{passed.total()} of {len(cases)} cases passed")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
