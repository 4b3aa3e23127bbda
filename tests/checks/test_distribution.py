"""Statements on the data set as a whole: arithmetic by hand, the facts they rest on, groups that leak, real sets with their figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import prefdata
from prefdata.checks.facts import FACTS, Facts
from prefdata.checks.features import FORMATS, formats
from prefdata.checks.rules import RULES
from prefdata.checks.view import View
from prefdata.io.own import columns
from prefdata.schema.dtypes import schema
from prefdata.sources.decide import FIRST_WINS
from tests.checks.build import binary, listwise, pair, turn, write
from tests.checks.planted_distribution import CASES, pairs, shown

Real = Callable[[str], Path]


def said(path: Any, code: str, **limits: float) -> list[str]:
    return [f.message for f in prefdata.validate(path, select=[code], limits={code: limits}).findings]


def view(rows: list[dict[str, Any]], kind: str) -> View:
    present = {k for r in rows for k in r}
    dtypes = {c: t for c, t in schema(kind).items() if c in present and c in columns(kind)}
    return View(pl.DataFrame([{c: r.get(c) for c in dtypes} for r in rows], schema=dtypes), kind)


# ----- facts


@pytest.mark.parametrize(
    ("name", "has", "has_not"),
    [
        ("a list", "So:\n- a\n- b", "a - b\n-c"),
        ("a list", "1. a\n2. b", "In 1. place"),
        ("bold text", "It is **so**.", "2*3*4"),
        ("a heading", "## Answer\nYes", "a # b, #tag"),
        ("a code block", "```py\n1\n```", "`x`"),
        ("a table", "|a|\n|---|\n|b|", "a | b"),
        ("a link", "see https://a.org", "see a.org"),
        ("more than one paragraph", "a\n\nb", "a\nb"),
        ("an exclamation mark", "Sure! Yes", "Sure. Yes"),
        ("an emoji", "Yes 🙂", "Yes ☎ “quoted” – 中"),
        ("a question mark at its end", "Why?\n", "Why? So."),
        ("an end without punctuation", "and so on, the ", "and so on.”"),
    ],
)
def test_formats(name: str, has: str, has_not: str) -> None:
    bit = list(FORMATS).index(name)
    assert ((formats(pl.Series([has, has_not])).to_numpy() >> bit) & 1).tolist() == [1, 0]


def test_best_and_worst() -> None:
    """A pair's are its sides, a labelled completion is one of them, a list's are told by scores, or by ranks where not all have scores.
    What is tied or undecided, or has scores for some and ranks for others, has none."""
    lists = view(
        [
            listwise("a", "b", "c", scores=[1.0, 3.0, 2.0]),
            listwise("a", "b", ranks=[2.0, 1.0]),
            listwise("a", "b", scores=[2.0, 2.0]),
            listwise("a", "b", scores=[None, None]),
            listwise("a", "b", "c", scores=[None, 1.0, None], ranks=[1.0, 3.0, 2.0]),
            listwise("a", "b", scores=[1.0, None], ranks=[None, 1.0]),
        ],
        "listwise",
    )
    one = view([binary(t) for t in "abc"], "binary").turns("completion").key.to_list()
    key = dict(zip("abc", one, strict=True))
    assert FACTS["best"](lists).to_list() == [key["b"], key["b"], None, None, key["a"], None]
    assert FACTS["worst"](lists).to_list() == [key["a"], key["a"], None, None, key["b"], None]
    assert FACTS["completions_tied"](lists).to_list() == [False, False, True, None, False, None]
    labels = view([binary("a"), binary("b", False), binary("a", False)], "binary")
    assert FACTS["best"](labels).to_list() == [key["a"], None, None]
    assert FACTS["best_bytes"](labels).to_list() == [1, None, None]
    sides = view([pair("a", "b")], "pair")
    assert [FACTS[f](sides).to_list() for f in ("best", "worst")] == [[key["a"]], [key["b"]]]


def test_refusals_of_either_side() -> None:
    no = "I'm sorry, but I can't help with that."
    v = view([pair(no, "Yes."), pair("Yes.", no), pair("Yes.", "No.")], "pair")
    assert FACTS["best_refuses"](v).to_list() == [True, False, False]
    assert FACTS["worst_refuses"](v).to_list() == [False, True, False]
    assert FACTS["worst_refuses"](view([binary(no, False), binary(no)], "binary")).to_list() == [True, None]


def test_votes() -> None:
    """Only people and judges who saw two answers and preferred one count."""
    two = {"annotator": "a", "kind": "judge", "completions": ["rejected", "chosen"], "outcome": "second"}
    other = [two | {"outcome": "tie"}, two | {"kind": "source"}, two | {"kind": "reward_model"}, two | {"completions": ["chosen"]}]
    v = view([pair(**shown(0, True)), pair(annotations=[two, *other, two]), pair(annotations=None), pair(annotations=[])], "pair")
    assert FACTS["votes"](v).to_list() == [1, 2, 0, 0]
    assert FACTS["first_votes"](v).to_list() == [1, 0, 0, 0]
    assert FACTS["first_wins"](v).to_list() == [None] * 4
    assert FACTS["votes"](view([pair()], "pair")).to_list() == [0]
    known = View(v.df.with_columns(pl.Series(FIRST_WINS, [True, False, None, True])), "pair")
    assert FACTS["first_wins"](known).to_list() == [True, False, None, True]


# ----- statements


@pytest.mark.parametrize("code", [c for c in CASES if RULES[c].whole])
def test_few_rows_say_nothing(code: str, tmp_path: Path) -> None:
    rows = CASES[code].rows
    assert not isinstance(rows, bytes)
    assert said(write(tmp_path / "in.jsonl", rows[:99]), code) == []


def test_length_bias(tmp_path: Path) -> None:
    """96 of 120: (0.8 + z²/240 ± z √(0.16/120 + z²/57600)) / (1 + z²/120) is 0.7196 to 0.8618, z = (192 − 120 − 1)/√120 = 6.481."""
    path = write(tmp_path / "in.jsonl", CASES["PD401"].rows)
    (message,) = said(path, "PD401")
    assert message.startswith("the chosen answer is the longer one in 80.0 % of 120 pairs (95 % interval 72.0–86.2 %, sign test p = 9e-11;")
    assert said(path, "PD401", share=0.72) == []
    assert said(path, "PD401", min_rows=121) == []


def test_pairs_of_one_prompt_are_not_independent(tmp_path: Path) -> None:
    """The same 120 pairs ten times over: ten times the pairs, the same interval but for a factor of 119/120 in its number of pairs."""
    rows = [r for r in CASES["PD401"].rows for _ in range(10)]
    (message,) = said(write(tmp_path / "in.jsonl", rows), "PD401")
    assert "80.0 % of 1,200 pairs (95 % interval 71.9–86.2 %" in message


def test_a_fixed_place_is_seen(tmp_path: Path) -> None:
    """A file whose verdict is always the first answer; the fields of both layouts that have columns for two answers."""
    asked = [(str(r["prompt"][0]["content"]), r["chosen"][0]["content"], r["rejected"][0]["content"]) for r in pairs(120, lambda i: {})]
    pku = [{"prompt": p, "response_0": a, "response_1": b, "better_response_id": 0} for p, a, b in asked]
    assert said(write(tmp_path / "pku.jsonl", pku), "PD402") == [
        "the answer in first place is preferred in 100.0 % of 120 rows (95 % interval 96.9–100.0 %, sign test p = 2e-27)"
    ]
    anything = [{"question": p, "response_1": a, "response_2": b, "overall_response": 2} for p, a, b in asked]
    (message,) = said(write(tmp_path / "anything.jsonl", anything), "PD402")
    assert message.startswith("the answer in second place is preferred in 100.0 % of 120 rows")
    fair = [{**r, "better_response_id": i % 2} for i, r in enumerate(pku)]
    assert said(write(tmp_path / "fair.jsonl", fair), "PD402") == []


def test_a_judge_in_both_orders_has_no_place(tmp_path: Path) -> None:
    """Two thirds of the judge's verdicts are for the same answer in both orders, the rest for the first place: 160 of 240 verdicts."""
    both = [shown(0, True)["annotations"][0], shown(0, False)["annotations"][0]]
    always = [both[0], both[1] | {"outcome": "first"}]
    rows = pairs(120, lambda i: {"annotations": both if i % 3 else always})
    path = write(tmp_path / "in.jsonl", rows)
    (message,) = said(path, "PD402")
    assert "first place is preferred in 66.7 % of 240 verdicts of annotators" in message
    assert said(write(tmp_path / "fair.jsonl", pairs(120, lambda i: {"annotations": both})), "PD402") == []


def test_messages(tmp_path: Path) -> None:
    """117 of 120 labels; 90 of 120 ties; 20 of 120 answers; 40 of 120 refusals, against none: z = 39/√40 = 6.17; 10 of 120 prompts."""
    figures = {
        "PD303": ["97.5 % of 120 labels are true (95 % interval 92.9–99.1 %); weights of 3 (desirable) to 117 (undesirable) even it out"],
        "PD306": ["all candidates are equal in 75.0 % of 120 records (95 % interval 66.6–81.9 %)"],
        "PD404": ["1 of 150 rows do not say their source", "the source a has 99.3 % of 149 rows; all others (1) have 1"],
        "PD405": ["one text is 16.7 % of the answers that are preferred (20 of 120, such as line 1 of F)"],
        "PD406": [
            "33.3 % of 120 preferred answers refuse (95 % interval 25.5–42.2 %); "
            "of the others 0.0 % do (difference +33.3 points, p = 7e-10)"
        ],
        "PD407": ["120 rows have 111 prompts (1.1 rows each); the most frequent one has 10 of them (8.3 %), such as line 1 of F"],
        "PD408": ["of 120 rows whose prompt stands before, 120 (100.0 %) follow right after it"],
    }
    for code, messages in figures.items():
        path = write(tmp_path / f"{code}.jsonl", CASES[code].rows)
        assert [m.replace(path, "F") for m in said(path, code)] == messages
    only = write(tmp_path / "only.jsonl", [binary(f"{i}.", prompt=str(i)) for i in range(120)])
    assert said(only, "PD303") == ["100.0 % of 120 labels are true (95 % interval 96.9–100.0 %); the other label is missing"]


def test_shuffled_rows_are_not_sorted(tmp_path: Path) -> None:
    rows = CASES["PD408"].rows
    assert said(write(tmp_path / "in.jsonl", [*rows[::2], *rows[1::2]]), "PD408") == []


def test_shards_of_one_file_agree_on_names() -> None:
    """Splits and sources of separately made facts are the same ones, whatever was seen first."""
    parts = [view([pair(split=s, source=s) for s in names], "pair") for names in (["b", "a"], ["a", None, "c"])]
    df = pl.concat([pl.DataFrame({n: FACTS[n](v) for n in ("split", "source")}) for v in parts])
    assert df.group_by("split").len().sort("split")["len"].to_list() == [1, 2, 1, 1]
    assert df["source"].cast(pl.String).to_list() == ["b", "a", "a", None, "c"]


# ----- real sets


def test_real_hh(real: Real) -> None:
    """HH-RLHF is balanced by length: nothing is said by default. The figures of one run, counted again below."""
    path = str(real("hh_rlhf_harmless/harmless_base_test_part.jsonl.gz"))
    assert prefdata.validate(path, select=["PD4", "PD5"], ignore=["PD408"]).counts == {}
    (message,) = said(path, "PD401", share=0)
    assert message.startswith("the chosen answer is the shorter one in 54.5 % of 1,718 pairs (95 % interval 52.1–56.8 %")
    (refusals,) = said(path, "PD406", share=0)
    assert " of 1,725 preferred answers refuse" in refusals


def test_real_length_by_hand(real: Real, tmp_path: Path) -> None:
    """The length figures from the records, counted without columns."""
    out = tmp_path / "hh.jsonl"
    prefdata.convert(str(real("hh_rlhf_harmless/harmless_base_test_part.jsonl.gz")), str(out))
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    sizes = [[sum(len(t["content"].encode()) for t in r[side]) for side in ("chosen", "rejected")] for r in rows]
    longer, differ = sum(a > b for a, b in sizes), sum(a != b for a, b in sizes)
    assert (longer, differ) == (782, 1718)
    assert f"{100 - 100 * longer / differ:.1f} % of {differ:,} pairs" in said(str(out), "PD401", share=0)[0]


def test_real_model_written_evals(real: Real) -> None:
    """Half of the answers are " Yes": 60,602 of 121,204."""
    path = str(real("model_written_evals/persona.jsonl.gz"))
    result = prefdata.validate(path, select=["PD4"], ignore=["PD408"], dimension="matching")
    assert [f.message.partition(", such as")[0] for f in result.findings] == [
        "one text is 50.0 % of the answers that are preferred (60,602 of 121,204",
        "one text is 50.0 % of the answers that are not preferred (60,602 of 121,204",
    ]


def test_real_places(real: Real, tmp_path: Path) -> None:
    """PKU layout: 422 of 894 verdicts are for the first answer; 58 rows have a blank answer or one that is no text, and
    394 of the other 836 are."""
    path = real("pku_layout_derived/pku_saferlhf_layout.jsonl")
    assert said(str(path), "PD402") == []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    sound = [r for r in rows if all(isinstance(r[f"response_{i}"], str) and r[f"response_{i}"].strip() for i in (0, 1))]
    assert [sum(r["better_response_id"] == 0 for r in some) for some in (rows, sound)] == [422, 394]
    words = "the answer in second place is preferred in 52.9 % of 836 rows (95 % interval 49.5–56.2 %, sign test p = 0.1)"
    assert said(str(path), "PD402", margin=-0.5) == [words]
    assert said(str(real("pku_layout_derived/align_anything_t2t_layout.jsonl")), "PD402", margin=-0.5) == [words]
    fixed = write(tmp_path / "fixed.jsonl", [{**r, "better_response_id": 0} for r in rows])
    assert "first place is preferred in 100.0 % of 836 rows" in said(fixed, "PD402")[0]


def test_real_places_of_verdicts(real: Real, tmp_path: Path) -> None:
    """Tulu-1 evaluation: 300 of 533 verdicts for the first answer, in the file and in what is made of it."""
    path, out = str(real("tulu1_human_eval/annotations_part.csv.gz")), str(tmp_path / "tulu.parquet")
    prefdata.convert(path, out)
    figures = "the answer in first place is preferred in 56.3 % of 533 {} (95 % interval 52.0–60.4 %, sign test p = 0.004)"
    assert said(path, "PD402", margin=-0.5) == [figures.format("rows")]
    assert said(out, "PD402", margin=-0.5) == [figures.format("verdicts of annotators")]
    assert said(path, "PD402") == []


def test_real_xstest(real: Real) -> None:
    """The labels of three models; partial refusals have none."""
    paths = [str(real(f"xstest/xstest_v2_completions_{m}.csv")) for m in ("gpt4", "llama2new", "mistralguard")]
    shares = [said(p, "PD303", low=1, high=0)[0].partition(" (")[0] for p in paths]
    assert shares == ["96.1 % of 441 labels are true", "91.4 % of 406 labels are true", "92.4 % of 409 labels are true"]


def test_facts_are_small() -> None:
    """All facts of a pair together: below 150 bytes a row, so that two million pairs need less than 300 MB."""
    v = view(pairs(1000, lambda i: {"source": "somewhere-or-other", "split": "train"}), "pair")
    from prefdata.checks.shard import applies

    made = pl.DataFrame({name: fact(v) for name, fact in FACTS.items() if applies(name, "pair")})
    assert made.estimated_size() / len(v) < 150
    assert len(Facts(made, ["f"])) == 1000


def test_turns_are_what_a_fact_is_about() -> None:
    """An answer of several turns is as long as all of them; its last one tells its format and whether it refuses."""
    said = [turn("assistant", "Let me see!"), turn("user", "And?"), turn("assistant", "I can't help with that")]
    v = view([pair(said, "Yes.")], "pair")
    assert FACTS["chosen_bytes"](v).to_list() == [len("Let me see!And?I can't help with that")]
    assert FACTS["chosen_format"](v).to_list() == [1 << list(FORMATS).index("an end without punctuation")]
    assert FACTS["best_refuses"](v).to_list() == [True]
