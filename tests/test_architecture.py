"""The shape of the package: imports point one way, heavy libraries stay where they are used, files stay short."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "prefdata"
FILES = sorted(PACKAGE.rglob("*.py"))
LEVEL = {
    "errors": 0,
    "version": 0,
    "options": 0,
    "statistics": 0,
    "shipped": 1,
    "schema": 1,
    "report": 1,
    "io": 2,
    "yaml_files": 2,
    "sources": 3,
    "tokens": 3,
    "readers": 3,
    "llm": 3,
    "graders": 4,
    "rewards": 4,
    "checks": 5,
    "conversion": 5,
    "exporters": 5,
    "judges": 5,
    "train": 5,
    "sampling": 6,
    "evaluate": 7,
    "recipe": 8,
    "api": 9,
    "cli": 10,
}
"""A module may import from its own part and from lower levels; parts of one level do not know each other."""
HEAVY: dict[str, set[str]] = {
    "torch": {"train/", "evaluate/rm_scores.py", "rewards/", "sampling/"},
    "transformers": {"train/", "rewards/", "sampling/"},
    "accelerate": {"train/"},
    "peft": {"train/"},
    "datasets": {"io/hub.py"},
    "aiohttp": {"llm/mock_server.py"},
    "httptools": {"llm/transport.py"},
    "uvloop": {"llm/client.py"},
    "crowdkit": {"judges/jury.py"},
    "nltk": {"graders/similarity.py"},
    "rouge_score": {"graders/similarity.py"},
    "math_verify": {"graders/jobs.py"},
    "jsonschema": {"graders/jobs.py", "graders/load.py"},
    "openai": set(),
    "trl": set(),
    "ray": set(),
}
"""Libraries that not every install has, and the files that import them, inside functions."""


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
        elif isinstance(node, ast.Import):
            found += [a.name for a in node.names]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    here = part(path)
    if here == "__init__":
        return
    for module in imports(path):
        if not module.startswith("prefdata."):
            continue
        there = module.split(".")[1]
        assert there == here or LEVEL[there] < LEVEL[here], f"{path.name} imports {module}"


def test_heavy_libraries_are_optional() -> None:
    """Each has the few files that may import it, inside a function; datasets is for the hub, torch for a local reward model."""
    for path in FILES:
        where = str(path.relative_to(PACKAGE))
        for library in {m.split(".")[0] for m in imports(path)} & HEAVY.keys():
            assert any(where.startswith(f) for f in HEAVY[library]), f"{where} imports {library}"


def test_files_are_short() -> None:
    for path in FILES:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 330, path


def test_no_unsafe_loading() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert not {"pickle", "marshal", "shelve"} & set(imports(path)), path
        assert "trust_remote_code" not in text
        assert "yaml.load(" not in text
        called = [n.func.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
        assert not {"eval", "exec", "compile", "__import__"} & set(called), path


def test_public_names() -> None:
    import prefdata

    for name in prefdata.__all__:
        assert getattr(prefdata, name) is not None
    with pytest.raises(AttributeError):
        _ = prefdata.nothing
