"""Pages in a real browser, and what stands in them."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

HOSTILE = (
    "<script src='https://evil.example/x.js'></script><script>document.title='owned'</script><img src=x onerror=document.title='owned'>"
    "&amp;\u202egood\x1b[31m\x00</pre></details></style></title>"
)
"""A text that tries to get out of its place."""

_BROWSER = next(filter(shutil.which, ("chromium", "chromium-browser", "google-chrome")), None)
needs_browser = pytest.mark.skipif(_BROWSER is None, reason="no browser on this machine")


def document(page: Path, profile: Path) -> str:
    """What the browser makes of a page, its scripts run; `profile` is a folder for the browser's own files."""
    assert _BROWSER is not None
    plain = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile / 'profile'}", "--window-size=1100,900"]
    done = subprocess.run([_BROWSER, *plain, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Page(HTMLParser):
    """Elements, attributes and texts of a page; every element is closed."""

    VOID = ("meta", "path", "rect", "circle")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(k, v or "") for k, v in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
