"""The rules on what stands in the texts: what they must find, what they must leave alone, and counts on real data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import prefdata
from prefdata.checks import characters, content, endings, languages, secrets, tools
from prefdata.checks.refusals import is_refusal
from prefdata.checks.view import View
from tests.checks.answers import flags
from tests.checks.build import GOOD, binary, pair, turn
from tests.checks.planted_content import STORY
from tests.checks.views import found, view


def test_template_tokens() -> None:
    bad = (
        "Hi<|eot_id|>",
        "<|user|>\nHi",
        "[INST] Hi [/INST]",
        "<<SYS>>x",
        "<s>Hi",
        "Bye.</s>",
        "a</s><s>b",
        "<end_of_turn>",
        "<｜end▁of▁sentence｜>",
        "<bos>a",
    )
    good = ("a <| b |> c", "[INSTALL]", "<s>old</s> price", "the <s>old</s>", "List<String>", "a <- b", "x << y", "<p>", "[1] INST")
    assert flags(content.template_token, *bad, *good) == [True] * len(bad) + [False] * len(good)


def test_truncated_answers() -> None:
    bad = ("and then to the", "of flour, sugar,", "as follows:", "in the (", "it was \n")
    good = (
        "and he was glad.",
        "Miller & Sons",
        "see [1]",
        "the end",
        "so it is what it was!",
        "a colon: here",
        "```\nx = 1\n```",
        "Vitamin A",
    )
    texts = [STORY * 3 + t for t in (*bad, "```\nx = 1\n", *good)]
    assert flags(endings.truncated_answer, *texts) == [True] * 6 + [False] * len(good)
    assert not any(flags(endings.truncated_answer, "It is the", "```"))
    assert flags(endings.truncated_answer, "It is the", min_bytes=5) == [True]


def test_repetition() -> None:
    loop = "It goes round in circles, and so it does. "
    bad = ("Well. " + loop * 4, loop * 5, "lol" * 80, "x = 1\n" * 60 + "x =")
    good = (loop * 3, "Well. " + loop * 4 + "That is how it ended, and everybody went home in time.", "-" * 300, "| --- " * 60, STORY * 3)
    assert flags(endings.repetition, *bad, *good) == [True] * 4 + [False] * 5
    assert flags(endings.repetition, loop * 3, times=3) == [True]
    assert flags(endings.repetition, loop * 4, chars=200) == [False]


def refuses(*texts: str) -> list[bool]:
    return pl.DataFrame({"t": texts}).select(is_refusal(pl.col("t")))["t"].to_list()


def test_refusals() -> None:
    bad = (
        "I'm sorry, but I can't assist with that.",
        "I’m sorry, but I can’t help with this request.",
        "Sorry, I cannot provide that information.",
        "I apologize, but I'm not able to fulfil your request.",
        "As an AI language model, I cannot browse the internet.",
        "That is a hard question. Unfortunately, I am unable to answer it.",
        "I must respectfully decline.",
        "It's not appropriate or ethical to ask for that.",
        "I won't help with that.",
    )
    good = (
        "I can help you with that.",
        "You cannot provide a list where a number is wanted.",
        "I'm sorry to hear that. Here is what you can do.",
        "As an AI language model, I have read a lot about cheese.",
        "The reason is that people who cannot help themselves are not heard.",
        "It's not a good idea to mix the two.",
        "As an AI language model, I do not have access to the latest figures. However, according to the census it is 4 million.",
        "I can't help but feel that this is the best of his books.",
        STORY * 3 + "I cannot help you with that.",
    )
    assert refuses(*bad, *good) == [True] * len(bad) + [False] * len(good)


def test_refusal_rule_looks_at_what_is_to_be_learned() -> None:
    no, model = "I'm sorry, but I cannot help with that.", "As an AI language model, I have no opinions."
    assert [(h.field, h.note, h.rows.tolist()) for h in content.refusal(view([pair(no), pair("a", no), pair(model), GOOD]))] == [
        ("chosen", "it refuses", [0]),
        ("chosen", "it speaks 'as an AI'", [2]),
    ]
    assert found(content.refusal(view([binary(no, False), binary(no), binary("Yes.")], "binary"))) == [1]


def test_refusals_of_xstest(real: Callable[[str], Path]) -> None:
    """Against the labels of people: 549 of 640 refusals are found, with 10 false alarms among 616 answers. What is missed contradicts
    without a formula; the false alarms refuse what is only fiction."""
    names = [f"xstest/xstest_v2_completions_{m}.csv" for m in ("gpt4", "mistralguard", "llama2new")]
    answers = pl.concat([pl.read_csv(real(n)).select("completion", "final_label") for n in names])
    flagged = answers.with_columns(r=is_refusal(pl.col("completion"))).group_by("final_label").agg(pl.col("r").sum(), pl.len())
    assert {label: (r, n) for label, r, n in flagged.iter_rows()} == {
        "2_full_refusal": (549, 640),
        "1_full_compliance": (10, 616),
        "3_partial_refusal": (58, 94),
    }


# languages


def scripts(prompt: str, chosen: str, rejected: str = "No.") -> list[str | None]:
    return [h.note for h in languages.language_mix(view([pair(chosen, rejected, prompt), GOOD]))]


def test_language_mix() -> None:
    english, russian = "What is the capital of Norway?", "Это столица и самый большой город."
    chinese, japanese, korean = (
        "这是挪威的首都也是最大的城市。",
        "これはノルウェーの首都で、最大の都市です。",
        "이것은 노르웨이의 수도이자 가장 큰 도시입니다.",
    )
    assert scripts(english, russian) == ["the prompt is in Latin, the answer in Cyrillic script"]
    assert scripts(chinese, english) == ["the prompt is in Han, the answer in Latin script"]
    assert scripts(chinese, japanese) == ["the prompt is in Han, the answer in Japanese script"]
    assert scripts("?", korean, english) == ["chosen is in Korean, rejected in Latin script"]
    assert scripts(russian, russian) == scripts(japanese, japanese) == scripts(english, "😀😀😀😀😀😀😀") == []
    assert scripts(english, "Vâng, đó là thủ đô và thành phố lớn nhất của nước này.") == []
    assert scripts(english, "'Это' means 'this'; the word is quite common in that language.") == []


# residues and placeholders


def test_markup_residue() -> None:
    bad = ("Salt &amp; pepper", "one<br/>two", "It is.</p>", '<span class="a">x</span>', "First.\\n\\nSecond.", "a&nbsp;b")
    good = (
        "AT&T",
        "a < b > c",
        "```html\n<p>x</p>\n```",
        "The <br> tag of HTML",
        "C:\\new\\notes",
        "$\\nabla f$",
        "R&D; more",
        "\\n is a line end",
    )
    assert flags(content.markup_residue, *bad, *good) == [True] * len(bad) + [False] * len(good)
    assert content.markup_residue(view([pair("one<br>two", prompt="Write HTML for two lines.")])) == []


def test_placeholders() -> None:
    bad = (
        "N/A",
        " null\n",
        "NaN",
        "None",
        "TODO",
        "...",
        "…",
        "[Insert name]",
        "<answer>",
        "[object Object]",
        "<noinput>",
        "Lorem ipsum dolor sit",
        "[deleted]",
        "{{answer}}",
    )
    good = (
        " Yes",
        "(A)",
        "42",
        "No",
        "Nan is my aunt.",
        "None of them.",
        "A",
        "[1]",
        "todo lists help",
        "<b>",
        "It is...",
        "-1",
        "Null Island",
    )
    assert flags(content.placeholder, *bad, *good) == [True] * len(bad) + [False] * len(good)
    talk = [turn("assistant", "I look."), {**turn("tool", "null"), "tool_call_id": None}, turn("assistant", "Nothing.")]
    assert found(content.placeholder(view([pair(talk)]))) == []


def test_rows_without_texts() -> None:
    """Nothing fails on a view without rows."""
    empty = View(pl.DataFrame(schema=view([GOOD]).df.schema), "pair")
    for module in (characters, content, endings, languages, secrets, tools):
        assert [r.row(empty) for r in module.RULES if r.row] == [[] for _ in module.RULES]


# real data

CODES = ["PD107", "PD114", "PD115", "PD116", "PD117", "PD7"]
REAL = {
    "hh_rlhf_harmless/harmless_base_test_part.jsonl.gz": {"PD702": 29, "PD703": 51, "PD706": 11, "PD707": 1, "PD709": 2},
    "tulu1_human_eval/annotations_part.csv.gz": {"PD107": 1, "PD114": 5, "PD702": 5, "PD703": 16, "PD706": 1, "PD707": 15},
    "llamafactory_demo/dpo_en_demo.json": {"PD107": 1, "PD114": 1, "PD116": 1, "PD702": 3, "PD703": 6, "PD708": 2},
    "llamafactory_demo/kto_en_demo_part.json": {"PD702": 4, "PD703": 2, "PD704": 4, "PD707": 1, "PD708": 1},
    "pandalm_testset/testset-v1.json": {"PD702": 6, "PD706": 4, "PD707": 66, "PD709": 35},
    "oasst_trees/en_messages_flat.jsonl.gz": {"PD117": 1},
    "xstest/xstest_v2_completions_llama2new.csv": {"PD702": 55, "PD703": 192, "PD706": 3},
}
"""Looked at one by one: of PD702 one is no cut (a stray fence); of PD707 one in ten is a list whose items end alike; PD704 are tasks that
ask for another language and one answer in the wrong one; PD709 are 35 answers "<noinput>"."""


@pytest.mark.parametrize("name", REAL)
def test_real_sets(name: str, real: Callable[[str], Path]) -> None:
    assert prefdata.validate(str(real(name)), select=CODES).counts == REAL[name]
