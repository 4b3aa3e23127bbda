"""The YAML files that ship with prefdata: judges, constitutions, recipes. A checkout has them in `recipes/`, a wheel inside the package."""

from __future__ import annotations

from pathlib import Path

from prefdata.errors import UsageError


def folder(what: str) -> Path:
    """`recipes/WHAT` of the checkout or the wheel; recipes themselves lie in `recipes`."""
    package = Path(__file__).parent
    root = package / "recipes" if (package / "recipes").is_dir() else package.parent / "recipes"
    return root if what == "recipes" else root / what


def names(what: str) -> list[str]:
    return sorted(p.stem for p in folder(what).glob("*.yaml"))


def path_of(what: str, name: str) -> Path:
    """A shipped file by its name, or a user's file by its path (which has a dot or a slash). Raises UsageError."""
    if "/" in name or "." in name:
        found = Path(name)
        if not found.is_file():
            raise UsageError(f"{name}: no such file; names without a dot are the shipped {what}: {', '.join(names(what))}")
        return found
    if name not in names(what):
        own = f"a file of your own: {'' if what == 'recipes' else f'--{what[:-1]} '}./{name}.yaml"
        raise UsageError(f"no {what[:-1]} is called {name!r}; shipped are {', '.join(names(what))}; {own}")
    return folder(what) / f"{name}.yaml"
