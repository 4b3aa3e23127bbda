"""Running commands as a CI system does: in a folder, with an environment, and with this Python's programs first on the path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.checks.build import GOOD, pair, write

ROOT = Path(__file__).parents[2]
BAD = pair("same", "same", prompt="And the sea?")


def environment(**more: str) -> dict[str, str]:
    """Of the surroundings only what is needed: the tests may themselves run in a CI system."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GITHUB_", "GIT_", "CI", "PRE_COMMIT", "PIP_"))}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **more}


def run(*command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=environment(**env), capture_output=True, text=True, stdin=subprocess.DEVNULL)


def data(folder: Path) -> None:
    """`data/good.jsonl` and `data/bad.jsonl`."""
    (folder / "data").mkdir(parents=True)
    write(folder / "data" / "good.jsonl", [GOOD])
    write(folder / "data" / "bad.jsonl", [pair("Blue.", "Red.", prompt="What colour has the sky?"), BAD])
