"""Shared fixtures: where real data lies, and a short way to convert rows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import settings

from prefdata.conversion.options import ConvertOptions
from prefdata.conversion.run import ConvertResult, convert

settings.register_profile("tests", deadline=None)  # a slow machine is no failure
settings.load_profile("tests")

CANARY = "sk-canary-of-the-whole-test-run-7c1e"
os.environ["OPENAI_API_KEY"] = CANARY


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The key that is set during all tests is in no file that any of them has left: output, journal, log, report."""
    base = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    files = (p for p in base.rglob("*") if p.is_file() and not p.is_symlink())
    told = [p for p in files if CANARY.encode() in p.read_bytes()]
    if told:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        raise AssertionError(f"the API key stands in {told}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Nor does it stand in what a test printed or failed with."""
    report = yield
    if CANARY in f"{report.capstdout}{report.capstderr}{report.caplog}{report.longreprtext}":
        report.outcome, report.longrepr = "failed", "the API key was printed"
    return report


ROOT = Path(__file__).parents[1]
REAL = (ROOT / "examples" / "data", ROOT.parent / "shared" / "data")


@pytest.fixture
def real() -> Callable[[str], Path]:
    """The path of a real data file: bundled in examples/data, or in a shared/data folder beside the checkout; else the test is skipped."""

    def find(name: str) -> Path:
        for folder in REAL:
            if (folder / name).exists():
                return folder / name
        pytest.skip(f"{name} is not bundled and there is no shared/data beside the checkout")

    return find


Convert = Callable[..., tuple[pl.DataFrame, ConvertResult]]


@pytest.fixture
def run(tmp_path: Path) -> Convert:
    """`run(path_or_rows, **options)` -> (records, result). Rows are written as JSON lines first; options as in ConvertOptions."""

    def go(data: Path | list[Path] | list[dict[str, Any]], **options: Any) -> tuple[pl.DataFrame, ConvertResult]:
        if isinstance(data, list) and data and isinstance(data[0], dict):
            path = tmp_path / "rows.jsonl"
            path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in data), encoding="utf-8")
            data = path
        paths = [str(p) for p in data] if isinstance(data, list) else [str(data)]
        if "from_" in options:
            options["from"] = options.pop("from_")
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}.parquet"
        result = convert(paths, str(out), ConvertOptions(**options))
        return pl.read_parquet(out), result

    return go
