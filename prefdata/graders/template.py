"""Templates: `{{ item.field }}` and `{{ sample.output_text }}` in the texts of a grader, also deeper: `{{ item.meta["a b"][0] }}`.

A template is cut up once and filled in one pass: braces in the data stay what they are.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator

from prefdata.graders.graded import Failed, Row

_HOLE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_STEP = re.compile(r"""\.([^\W\d][\w-]*)|\[(\d{1,9})\]|\["([^"]*)"\]|\['([^']*)'\]""")
_SAMPLE = ("output_text", "output_json", "output_tools", "choices")
Path = tuple[str | int, ...]


@lru_cache(maxsize=1024)
def cut(text: str) -> tuple[str | Path, ...]:
    """The texts and paths of a template. Raises ValueError for one that can never be filled."""
    out: list[str | Path] = []
    end = 0
    for m in _HOLE.finditer(text):
        out += [text[end : m.start()], _path(m[1].strip())]
        end = m.end()
    if "{{" in text[end:]:
        raise ValueError("'{{' without '}}'; a variable is written {{ item.answer }}")
    return tuple(x for x in (*out, text[end:]) if x != "")


def _path(name: str) -> Path:
    space, rest = re.match(r"\w*", name)[0], name  # type: ignore[index]
    rest = name[len(space) :]
    if space not in ("item", "sample"):
        raise ValueError(f"{{{{ {name[:60]} }}}}: variables begin with 'item.' (the record) or 'sample.' (the answer)")
    steps: list[str | int] = [space]
    at = 0
    while at < len(rest):
        m = _STEP.match(rest, at)
        if not m:
            raise ValueError(f'{{{{ {name[:60]} }}}}: write it as item.field, item.field[0] or item["any key"]; there are no filters')
        steps.append(int(m[2]) if m[2] else m[1] or m[3] or m[4] or "")
        at = m.end()
    if len(steps) == 1:
        raise ValueError(f"{{{{ {name} }}}}: name a field, as {{{{ {space}.{'output_text' if space == 'sample' else 'answer'} }}}}")
    if space == "sample" and steps[1] not in _SAMPLE:
        raise ValueError(f"{{{{ {name[:60]} }}}}: an answer has {', '.join(_SAMPLE)}")
    return tuple(steps)


def _checked(text: str) -> str:
    cut(text)
    return text


Template = Annotated[str, AfterValidator(_checked)]
"""A text field that is filled for every row."""


def fill(text: str, row: Row) -> str:
    """The text for a row; what is no text is written as JSON. Raises Failed (invalid-variable, sample-parse)."""
    return "".join(x if isinstance(x, str) else written(find(x, row)) for x in cut(text))


def find(path: Path, row: Row) -> Any:
    """What a path leads to. null is no value. Raises Failed."""
    at: Any = row
    for i, step in enumerate(path):
        inside = (isinstance(at, dict) and step in at) if isinstance(step, str) else (isinstance(at, list) and step < len(at))
        if inside:
            at = at[step]
        if not inside or at is None:
            raise _missing(path, i, row)
    return at


def _missing(path: Path, i: int, row: Row) -> Failed:
    name = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in path).removeprefix(".")
    if path[0] == "item":
        return Failed("invalid-variable", f"the record has no {name}")
    if path[1] == "output_json" and i == 1:
        return Failed("sample-parse", f"{name}: the answer is no JSON")
    return Failed("sample-parse", f"the answer has no {name}")


def written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
