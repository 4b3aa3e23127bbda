"""The pages tell the truth: every snippet runs, generated pages are current, and the README shows what the demo prints."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from prefdata.cli.main import COMMANDS
from prefdata.sources import SOURCES

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "benchmarks").glob("*.md"))]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_snippets_run(page: Path, tmp_path: Path) -> None:
    """In order, in one folder. Exit code 1 (rows were rejected, findings) is fine; 2 and more are not."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for language, code in BLOCK.findall(page.read_text(encoding="utf-8")):
        if "pip install" in code or "make " in code or "python benchmarks" in code:
            continue
        if language == "python":
            done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        else:
            done = subprocess.run(["sh", "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True)
            assert done.returncode <= 1, done.stderr
            assert "Traceback" not in done.stderr


def test_generated_pages_are_current() -> None:
    module = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    for name, page in module["PAGES"].items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == page(), f"{name} is stale; run: make docs"


def test_readme_shows_the_demo(tmp_path: Path) -> None:
    """`make demo` runs the whole line, and prints what the README shows of it (figures of trained models differ between machines)."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    done = subprocess.run(["sh", "examples/demo.sh"], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = re.search(r"^```text\n(\$ prefdata run.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert shown is not None
    printed = iter(done.stdout.splitlines())
    for line in shown.group(1).splitlines():
        assert line.strip() == "..." or line in printed, f"not printed, or not in this order: {line}"
    page = (tmp_path / "demo-output" / "report" / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") >= 2
    again = subprocess.run(["sh", "examples/demo.sh"], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert "0 steps ran" in again.stdout, again.stdout


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_everything_is_documented() -> None:
    pages = "\n".join(p.read_text(encoding="utf-8") for p in PAGES)
    for command in COMMANDS:
        assert f"prefdata {command}" in pages
    for source in SOURCES:
        assert f"## {source}\n" in pages
