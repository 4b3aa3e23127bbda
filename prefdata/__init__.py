"""prefdata builds preference data sets for aligning language models, and proves that they are sound.

import prefdata

result = prefdata.convert("hh/*.jsonl.gz", "pairs.parquet")
frame = prefdata.read("pairs.parquet")
findings = prefdata.validate("pairs.parquet")
prefdata.export("pairs.parquet", "out", to="trl", split={"test": 0.02})
"""

from __future__ import annotations

from typing import Any

from prefdata.errors import InputError, PrefdataError, UsageError
from prefdata.version import __version__

__all__ = [
    "InputError",
    "PrefdataError",
    "UsageError",
    "__version__",
    "convert",
    "eval_judge",
    "eval_policy",
    "eval_rm",
    "export",
    "generate",
    "label",
    "read",
    "revise",
    "run_recipe",
    "sample",
    "score",
    "select",
    "train_model",
    "validate",
]


def __getattr__(name: str) -> Any:
    """The functions are imported when they are first used, so that `import prefdata` costs nothing."""
    if name in __all__:
        from prefdata import api

        return getattr(api, name)
    raise AttributeError(f"module 'prefdata' has no attribute {name!r}")
