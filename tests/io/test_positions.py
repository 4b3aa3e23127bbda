"""Places of bytes, the borders of lines, and texts that are looked at where they lie: the fast ways equal the plain ones."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prefdata.io.columns import Layout
from prefdata.io.json_lines import line_starts, read_fast
from prefdata.io.positions import ahead, before, bits_of, filled, next_of, places
from prefdata.schema.ids import flat_texts

DATA = st.lists(st.sampled_from(b"\n{} na"), max_size=300).map(bytes)


@given(DATA)
@example(b"\n" * 64)
@example(b"\n" * 129)
@example(b"a" * 63 + b"\n\n")
def test_places_are_those_of_a_plain_search(data: bytes) -> None:
    bits = bits_of(np.frombuffer(data, np.uint8), ord("\n"))
    expected = [i for i, b in enumerate(data) if b == ord("\n")]
    assert places(bits).tolist() == expected
    assert before(bits, np.arange(len(data) + 1)).tolist() == [data[:i].count(b"\n") for i in range(len(data) + 1)]
    for by in (1, 2, 63):
        assert places(ahead(bits, by)).tolist() == [i - by for i in expected if i >= by]
    every, some = np.arange(len(bits)), filled(bits)
    assert places(next_of(bits, every), every).tolist() == [i - 1 for i in expected if i]
    assert places(bits[some] & next_of(bits, some), some).tolist() == [m.start() for m in re.finditer(rb"(?=\n\n)", data)]


def plain_starts(data: bytes) -> list[int] | None:
    """Where lines begin, if each is a `{...}` with no object or null behind a closing brace."""
    lines = data.removesuffix(b"\n").split(b"\n")
    if not all(line[:1] == b"{" and line.removesuffix(b"\r")[-1:] == b"}" for line in lines):
        return None
    if re.search(rb"\}[ \t\r]*(?:null|\{)", data):
        return None
    return [0, *np.cumsum([len(line) + 1 for line in lines]).tolist()[:-1]]


@given(
    st.lists(
        st.sampled_from([b"{}", b"{x}", b"{} }", b"{}null}", b"{} \tnull}", b"{}{}", b"{n} n}", b"{}\r", b"", b"null", b"x"]), max_size=6
    )
)
@example([b"{" + b"} " * 3000 + b"}"])
@example([b"{" + b"} " * 3000 + b"{}"])
def test_line_starts(lines: list[bytes]) -> None:
    data = b"\n".join(lines) + b"\n"
    found = line_starts(data)
    assert (None if found is None else found.tolist()) == plain_starts(data)


@given(st.lists(st.none() | st.text(max_size=20), max_size=8), st.integers(0, 8), st.integers(0, 8))
@example(["a text of more than twelve bytes", "another text, also rather long", "and the third, just as long"], 1, 2)
@example(["a text of more than twelve bytes"] * 3, 0, 3)
def test_flat_texts(texts: list[str | None], start: int, size: int) -> None:
    """Also of slices, and of texts whose views do not lie one behind the other."""
    arrow = pa.array(texts, pa.string())
    for series in (pl.Series("t", texts, pl.String), pl.Series(pl.from_arrow(arrow)), pl.Series(pl.from_arrow(arrow)).reverse()):
        part = series.slice(start, size)
        data, bounds = flat_texts(part)
        cut = [bytes(memoryview(data)[a:b]).decode() for a, b in pairwise(bounds)]
        assert cut == [t or "" for t in part]


@pytest.mark.parametrize("escape", ["\\ude00", "\\ud83d", "\\ud83d\\ud83d", "\\ud83dx", "\\ude00\\ud83d", "\\ud800\\u0041", "\\uDFFF"])
def test_the_fast_reader_refuses_halves_of_surrogate_pairs(escape: str) -> None:
    """What it accepts is taken to be UTF-8 when the file's bytes are."""
    layout = Layout({"a": pl.String()}, ("a",), (), ("a",))
    good, bad = b'{"a":"\\ud83d\\ude00"}\n', f'{{"a":"{escape}"}}\n'.encode()
    fine = read_fast(good, layout, line_starts(good))
    assert fine is not None and fine["a"].to_list() == ["\U0001f600"]
    assert read_fast(bad, layout, line_starts(bad)) is None


@pytest.mark.parametrize("raw", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"])
def test_the_fast_reader_refuses_what_is_not_utf8(raw: bytes) -> None:
    layout = Layout({"a": pl.String()}, ("a",), (), ("a",))
    data = b'{"a":"' + raw + b'"}\n'
    assert read_fast(data, layout, line_starts(data)) is None
