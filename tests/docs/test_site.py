"""The site builds with every link and anchor right; what mkdocs is told to do needs no network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytest.importorskip("mkdocs")
ROOT = Path(__file__).parents[2]


def test_strict_build(tmp_path: Path) -> None:
    """mkdocs.yml turns missing pages, links and anchors into warnings, and --strict those into errors."""
    # without --quiet, which takes the warnings away before --strict counts them
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    # a proxy that nobody listens at: whatever asked the network would fail here
    closed = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **closed}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {p.stem for p in (ROOT / "docs").glob("*.md")}
    built = {p.parent.name for p in (tmp_path / "site").glob("*/index.html")} | {"index"}
    assert pages <= built
    elsewhere = re.compile(r"<(?:script|img|link rel=\"?stylesheet\"?)[^>]*(?:src|href)=\"?(https?://[^\s\">]+)")
    for page in (tmp_path / "site").rglob("*.html"):  # nor does a reader's browser load anything from another place
        loaded = elsewhere.findall(page.read_text(encoding="utf-8"))
        assert not loaded, f"{page.name} loads {loaded}"


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w-]+\.md", str(yaml.safe_load(text)["nav"])))
    assert named == {p.name for p in (ROOT / "docs").glob("*.md")}
