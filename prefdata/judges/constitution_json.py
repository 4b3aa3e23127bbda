"""The two JSON shapes of the Constitutional AI paper's repository, unchanged: no text of it ships with prefdata (it has no licence), but
who has a clone can name its files.

RL-CAI  a list of texts that begin with a line break and end in "Options:"
SL-CAI  an object of {"prompt": [critique request, ...], "edit_request": revision request}
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from prefdata.errors import UsageError
from prefdata.judges.constitution import Constitution
from prefdata.schema.records import explain

MAX_BYTES = 4 << 20
SHAPES = (
    'a constitution in JSON is a list of texts (comparison principles) or an object of {"prompt": [critique request], '
    '"edit_request": revision request}; others are written in YAML (docs/constitutions.md)'
)


def load(path: str) -> Constitution:
    """A constitution from one JSON file. Raises UsageError."""
    name = re.sub(r"[^a-z0-9]+", "-", Path(path).stem.lower()).strip("-") or "constitution"
    about = f"principles of {Path(path).name}"
    found = _json(path)
    if isinstance(found, list):
        digits = len(str(len(found)))
        principles = [{"id": f"p{i:0{digits}d}", "text": _comparison(path, i, text)} for i, text in enumerate(found, 1)]
        given: dict[str, Any] = {"comparison": principles}
    elif isinstance(found, dict):
        given = {"critique": [pair for key, value in found.items() for pair in _pairs(path, key, value)]}
    else:
        raise UsageError(f"{path}: {SHAPES}")
    try:
        return Constitution.model_validate({"name": name, "version": 1, "about": about, **given})
    except ValidationError as e:
        raise UsageError("\n".join(f"{path}: {field}: {message}" for field, message in explain(e))) from None


def _json(path: str) -> Any:
    import orjson

    try:
        data = Path(path).read_bytes()
    except OSError as e:
        raise UsageError(f"{path}: cannot be read ({e.strerror or e}); name a constitution in JSON or YAML, or a shipped one") from None
    if len(data) > MAX_BYTES:
        raise UsageError(f"{path}: larger than {MAX_BYTES >> 20} MiB, which no constitution is")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as e:
        raise UsageError(f"{path}: not JSON (line {e.lineno}: {e.msg}); {SHAPES}") from None


def _comparison(path: str, number: int, text: Any) -> str:
    if not isinstance(text, str):
        raise UsageError(f"{path}: entry {number} of the list is no text; {SHAPES}")
    return text.strip().removesuffix("Options:").rstrip()


def _pairs(path: str, key: str, value: Any) -> list[dict[str, Any]]:
    """One pair for each critique request; the upstream file has one under each key."""
    prompts, revision = (value.get("prompt"), value.get("edit_request")) if isinstance(value, dict) else (None, None)
    if not isinstance(prompts, list) or not prompts or not all(isinstance(p, str) for p in prompts) or not isinstance(revision, str):
        raise UsageError(f"{path}: the entry {key!r} is none; {SHAPES}")
    ids = [key] if len(prompts) == 1 else [f"{key}.{i}" for i in range(1, len(prompts) + 1)]
    rewrite = _request(revision, "Revision")
    return [{"id": i, "critique": _request(p, "Critique"), "revision": rewrite} for i, p in zip(ids, prompts, strict=True)]


def _request(text: str, what: str) -> str:
    """The words between `CritiqueRequest:` and `Critique:` (`RevisionRequest:` and `Revision:`), which the dialogue's layout adds."""
    return text.strip().removeprefix(f"{what}Request:").removesuffix(f"{what}:").strip()
