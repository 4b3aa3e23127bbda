"""Texts into templates, in one pass and fenced: nothing that a text contains is read as a placeholder, as a fence or as words of ours.

`str.format` breaks on the braces of a JSON example, and successive `replace` calls let a prompt that contains `{second}` pull in the second
answer. Here only the template's own `{name}` are filled, and what is filled in is never looked at again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

_NAME = re.compile(r"\{\{([a-z][a-z_]*)\}\}|\{([a-z][a-z_]*)\}")
"""`{name}` is a placeholder and `{{name}}` the words `{name}`. Other braces are braces, so JSON examples need no escapes."""


def placeholders(template: str) -> set[str]:
    """The names that a template fills in."""
    return set(_parts(template)[1::2])


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with its placeholders filled in. Raises KeyError for a name without a value.

    >>> fill('{prompt} {"best": "{{prompt}}"}', {"prompt": "{second}", "second": "x"})
    '{second} {"best": "{prompt}"}'
    """
    parts = list(_parts(template))
    parts[1::2] = [values[name] for name in parts[1::2]]
    return "".join(parts)


@lru_cache(maxsize=256)
def _parts(template: str) -> tuple[str, ...]:
    """Words and names in turn, beginning and ending with words."""
    parts, words, at = [], "", 0
    for m in _NAME.finditer(template):
        words += template[at : m.start()]
        at = m.end()
        if m[1]:
            words += "{" + m[1] + "}"
        else:
            parts += [words, m[2]]
            words = ""
    return (*parts, words + template[at:])


def fence(texts: Iterable[str]) -> str:
    """The token of a record's fences: 12 hexadecimal digits of the SHA-256 of all its texts, none of which contains it."""
    whole = "\n".join(texts)
    data = whole.encode("utf-8", "surrogatepass")
    token = hashlib.sha256(data).hexdigest()[:12]
    while token in whole:
        token = hashlib.sha256(token.encode() + data).hexdigest()[:12]
    return token


def fenced(name: str, text: str, token: str) -> str:
    """A text between lines that it cannot contain."""
    return f"<<<{name} {token}>>>\n{text}\n<<<end {token}>>>"
