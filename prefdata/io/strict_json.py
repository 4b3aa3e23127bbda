"""One JSON text to Python objects, refusing what other readers change silently: duplicate keys (readers disagree on which one
wins), NaN and Infinity (not JSON), lone surrogates (not text), nesting without end."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import orjson


class BadJson(ValueError):
    """Why a text is refused: a stable code and words."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def loads(text: bytes) -> Any:
    """Parse strictly. Raises BadJson with code bad-json, bad-utf8, lone-surrogate, not-finite or duplicate-key."""
    try:
        text.decode()
    except UnicodeDecodeError as e:
        raise BadJson("bad-utf8", f"byte {e.start} ({text[e.start]:#04x}) is not UTF-8") from None
    try:
        orjson.loads(text)  # strict and fast; the second pass below only looks for duplicate keys
    except orjson.JSONDecodeError as e:
        raise _why_not(text, e) from None
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates)
    except RecursionError:
        raise BadJson("bad-json", "not valid JSON: nested too deeply") from None
    except ValueError as e:  # an integer of thousands of digits
        if isinstance(e, BadJson):
            raise
        raise BadJson("bad-json", f"not valid JSON: {e}") from None


def _why_not(text: bytes, error: ValueError) -> BadJson:
    """What orjson refuses and other readers take: NaN, and halves of surrogate pairs."""
    try:
        value = json.loads(text, parse_constant=_not_finite, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode()
    except BadJson as e:
        return e
    except UnicodeEncodeError:
        return BadJson("lone-surrogate", f"not valid JSON: a lone surrogate (U+D800 to U+DFFF), which is no character ({error})")
    except (ValueError, RecursionError):
        pass
    return BadJson("bad-json", f"not valid JSON: {error}")


def _not_finite(constant: str) -> NoReturn:
    raise BadJson("not-finite", f"not valid JSON: {constant} is no JSON number (write null)")


def _finite(number: str) -> float:
    return float(number) if abs(float(number)) != float("inf") else _not_finite(number)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        seen: set[str] = set()
        twice = next(k for k, _ in pairs if k in seen or seen.add(k))  # type: ignore[func-returns-value]
        raise BadJson("duplicate-key", f"the key {twice!r} occurs twice in one object; readers disagree on which value counts")
    return out
