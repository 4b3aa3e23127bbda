"""A JSON file that is one array, as JSON lines: element for element, with the file's own text, so that the strict reader sees
duplicate keys, NaN and escapes as they stand. The file is held in memory (a JSON array cannot be cut without reading it)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace

from prefdata.errors import InputError
from prefdata.io.plan import Shard, whole
from prefdata.io.sniff import Input

_SPACE = re.compile(r"[ \t\r\n]*")
_BREAKS = str.maketrans({"\n": " ", "\r": " "})


def elements(text: str, name: str) -> Iterator[tuple[int, str]]:
    """Where each element begins and its text, on one line (a line break in JSON can only stand between tokens)."""
    scan = json.JSONDecoder(parse_float=str, parse_int=str).raw_decode
    i = _skip(text, 0) + 1
    if (i := _skip(text, i)) < len(text) and text[i] == "]":
        _ends_at(text, name, i + 1)
        return
    while True:
        try:
            _, end = scan(text, i)
        except (ValueError, RecursionError) as e:
            raise _broken(text, name, i, str(e) or "nested too deeply") from None
        yield i, text[i:end].translate(_BREAKS)
        i = _skip(text, end)
        if i < len(text) and text[i] == ",":
            i = _skip(text, i + 1)
        elif i < len(text) and text[i] == "]":
            _ends_at(text, name, i + 1)
            return
        else:
            raise _broken(text, name, i, "expected ',' or ']'")


def _ends_at(text: str, name: str, i: int) -> None:
    if (i := _skip(text, i)) < len(text):
        raise _broken(text, name, i, "there is more data behind the end of the array; put one array into a file, or one object on a line")


def _skip(text: str, i: int) -> int:
    found = _SPACE.match(text, i)
    return found.end() if found else i


def _broken(text: str, name: str, i: int, why: str) -> InputError:
    line = text.count("\n", 0, i) + 1
    return InputError(f"{name}:{line}: the JSON array is broken here ({why}); nothing after this point can be read")


def array_shards(inp: Input, size: int) -> Iterator[Shard]:
    """Shards of JSON lines. A row's number is the line of the file on which it begins; in a file whose first two rows begin on one line
    (nobody can look up the millionth character of it) its place in the array."""
    try:
        text = whole(inp).decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise InputError(f"{inp.name}: byte {e.start} is not UTF-8") from None
    shard = Shard(inp, 0, unit="row")
    rows: list[bytes] = []
    starts: list[int] = []
    held = position = 0
    line = 1
    for n, (start, element) in enumerate(elements(text, inp.name)):
        line += text.count("\n", position, start)
        position = start
        if n == 1 and starts[0] < line:
            shard = replace(shard, unit="line")
        rows.append(element.encode("utf-8", "surrogatepass"))
        starts.append(line)
        held += len(rows[-1])
        if held >= size and n:
            yield _filled(shard, rows, starts)
            shard = replace(shard, index=shard.index + 1)
            rows, starts, held = [], [], 0
    if rows:
        yield replace(_filled(shard, rows, starts), packed=inp.size)


def _filled(shard: Shard, rows: list[bytes], starts: list[int]) -> Shard:
    return replace(shard, data=b"\n".join(rows) + b"\n", lines=tuple(starts) if shard.unit == "line" else None)
