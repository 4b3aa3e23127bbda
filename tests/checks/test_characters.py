"""The rules on characters and on tool calls, and the search by blocks: what they must find, and what they must leave alone."""

from __future__ import annotations

import unicodedata
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefdata.checks import characters, tools
from prefdata.checks.screens import Blocks, Texts, says
from prefdata.checks.view import View
from tests.checks.answers import answers, flags, notes
from tests.checks.build import GOOD, listwise, pair, turn
from tests.checks.planted_content import TOOLS, asked, call, result
from tests.checks.views import found, view

# screens


@given(st.lists(st.tuples(*[st.text("abx\U0001f600", max_size=6)] * 3)), st.integers(1, 12))
def test_blocks_find_what_a_search_of_every_text_finds(rows: list[tuple[str, str, str]], size: int) -> None:
    """The blocks hold all texts in order; a hit is in one of the texts of its block, and only in the columns asked for."""
    before = pair("xx", "yx", "zx")
    texts = Texts(View(view([before, *(pair(*row) for row in rows)]).df[1:], "pair"))
    texts.blocks = [Blocks(t, size) for t in texts.turns]
    columns = [[row[i] for row in rows] for i in (2, 0, 1)]
    flat = [t for c in columns for t in c]
    assert ["".join(b.frame["content"]) for b in texts.blocks] == ["".join(c) for c in columns]
    for which in (range(3), range(1, 3), range(1, 2)):
        at = texts.screened(says("x"), which).tolist()
        numbers = [i * len(rows) + n for i in which for n in range(len(rows))]
        assert at == sorted({*at})
        assert {i for i in numbers if "x" in flat[i]} <= {*at} <= {*numbers}


@given(st.lists(st.text(st.sampled_from("a\n\t\r\x00\x08\x0b\x1f\x7f\x85 é\ufffd"), max_size=5), min_size=1))
def test_control_characters_are_those_of_the_definition(texts: list[str]) -> None:
    """The search by bytes finds what the pattern finds."""
    assert (
        found(characters.control_character(view(answers(*texts)))) == pl.Series(texts).str.contains(characters.CONTROL).arg_true().to_list()
    )


def test_every_text_out_of_normal_form_is_looked_at() -> None:
    """Whatever changes under NFC, alone or behind another character, passes the screen."""
    every = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    pieces = [unicodedata.decomposition(c) for c in every]
    second = {chr(int(code, 16)) for d in pieces if d and not d.startswith("<") for code in d.split()[1:]}
    changing = [c for c in every if unicodedata.normalize("NFC", c) != c or unicodedata.combining(c)] + sorted(second)
    assert pl.Series(changing).str.contains(characters.UNUSUAL).all()


# characters


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("abc\u202edcba\u202c", "bidirectional control"),
        ("a\u200eb", "direction mark"),
        ("pass\u200bword", "zero-width character"),
        ("\ufeffHello", "zero-width character"),
        ("exam\u00adple", "soft hyphen"),
        ("Hi" + "".join(chr(0xE0000 + ord(c)) for c in "obey"), "tag characters"),
        ("Hi\U000e0101\U000e0102\U000e0103", "tag characters"),
    ],
)
def test_hidden_characters(text: str, note: str) -> None:
    assert notes(characters.hidden_character, text) == [note]


def test_characters_without_a_glyph_that_belong_there() -> None:
    """Joiners of emoji and of Persian, marks between Arabic and Latin, word ends of Khmer, flags, and one selector."""
    flag = "\U0001f3f4" + "".join(chr(0xE0000 + ord(c)) for c in "gbeng") + "\U000e007f"
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f"
    texts = (
        family,
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0645\u0631\u062d\u0628\u0627 \u200eABC\u200f",
        "\u1780\u200b\u1781",
        flag,
        "\u845b\U000e0100",
    )
    assert not any(flags(characters.hidden_character, *texts))


def as_windows(text: str) -> str:
    """UTF-8 read as Windows-1252, or as Latin-1 where that has no such byte."""
    return "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in text.encode())


TRUE_TEXTS = (
    "L'été, la forêt et l'âme : « NOËL À LA CRÊTE », CHÂTEAU, TÂCHE, ÂGE.",
    "NÃO, SÃO PAULO, “AMANHÃ”, IRMÃ… MÃE – AVIÕES; a maçã está na mão.",
    "Die Straße ist größer: ÄRGER, ÖL, ÜBUNG, „Füße“, 20 °C, 5 €.",
    "Tiếng Việt: CÂU HỎI, ÂM NHẠC, ĐƯỜNG PHỐ, Ăn cơm chưa?",
    "El NIÑO de ESPAÑA, ¿qué? ¡Ñandú! 3ª vez, 2½ años.",
    "Ångström, SMÅ, BLÅ…, Ðorđe Ðoković, þetta er íslenska: Ð og ð.",
    "Це українська, это русский, 日本語です。中文，全角！ ελληνικά",
)


@pytest.mark.parametrize("text", TRUE_TEXTS)
def test_mojibake(text: str) -> None:
    assert flags(characters.mojibake, text, as_windows(text), text.encode().decode("latin-1")) == [False, True, True]


@pytest.mark.parametrize(
    "text",
    [
        "don’t",
        "“Yes”",
        "naïve",
        "café",
        "à la carte",
        "wait…",
        "10–12",
        "Œuvre",
        "20 °C",
        "£5",
        "😀",
        "złoty",
        "\ufeffHi",
        "привет",
        "你好，",
    ],
)
def test_mojibake_of_single_words(text: str) -> None:
    assert flags(characters.mojibake, f"a {text} b", f"a {as_windows(text)} b") == [False, True]


def test_normal_form() -> None:
    texts = ("cafe\u0301", "café", "\u1100\u1161", "가", "\u212b", "plain", "ที่", "नमस्ते")
    assert flags(characters.not_normalised, *texts) == [True, False, True, False, True, False, False, False]


# tool calls

CALLS: dict[str, tuple[list[dict[str, Any]], set[str]]] = {
    "sound": (asked(call(), result()), set()),
    "without ids": (asked(call(ident=None), result(None)), set()),
    "two at once": ([*asked(call(), result()), turn("assistant", "4."), turn("user", "And now?")], set()),
    "unknown id": (asked(call(), result("c9")), {"a tool result refers to no earlier call", "a tool call is never answered"}),
    "never answered": (asked(call(), turn("user", "Well?")), {"a tool call is never answered"}),
    "no JSON": (asked(call(arguments="{place: Oslo}"), result()), {"the arguments of a tool call are not JSON"}),
    "no object": (asked(call(arguments="[1]"), result()), {"the arguments of a tool call are not a JSON object"}),
    "unknown function": (asked(call("wether"), result()), {"a tool call names a function that 'tools' does not define"}),
    "user calls": ([{**call(role="user"), "content": "x"}], {"a user turn calls tools", "a tool call is never answered"}),
}


@pytest.mark.parametrize("name", CALLS)
def test_tool_calls_in_prompts(name: str) -> None:
    prompt, wrong = CALLS[name]
    hits = tools.tool_calls(view([GOOD, pair(prompt=prompt, tools=TOOLS)]))
    assert {h.note for h in hits} == wrong
    assert all(h.field == "prompt" and h.rows.tolist() == [1] for h in hits)


def test_tool_calls_in_answers() -> None:
    """An answer may end with a call; its results may belong to calls of the prompt, not to those of the other answer."""
    started = asked(call(ident="c0"), result("c0"))
    rows = [
        pair([call(ident="c2")], prompt=started, tools=TOOLS),
        pair([call(ident="c2"), result("c2"), turn("assistant", "4.")], [call(ident="c3"), result("c2"), turn("assistant", "5.")], started),
        pair([call("hail")], prompt=started, tools='{"no": "list"}'),
    ]
    hits = tools.tool_calls(view(rows))
    assert {(h.field, h.note, tuple(h.rows), tuple(h.turns if h.turns is not None else ())) for h in hits} == {
        ("rejected", "a tool result refers to no earlier call", (1,), (1,)),
        ("rejected", "a tool call is never answered", (1,), (0,)),
    }


def test_tool_calls_in_lists_and_plain_rows() -> None:
    flat = {"tool_calls": None, "tool_call_id": None, "name": None}
    row = listwise("a", "b", prompt=[{**turn("user", "Q"), **flat}])
    row["completions"][1]["messages"] = [call("hail")]
    assert found(tools.tool_calls(view([row, listwise("a", "b", tools=TOOLS)], "listwise"))) == []
    hits = tools.tool_calls(view([{**row, "tools": TOOLS}], "listwise"))
    assert [(h.field, h.rows.tolist(), h.turns.tolist() if h.turns is not None else None) for h in hits] == [("completions", [0], [1])]
