"""Rules of PD2 that look at one pair, against plain definitions; counts of all rules of PD2 and PD3 on real data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prefdata
from prefdata.checks import pairs
from prefdata.checks.facts import loose
from prefdata.checks.near import heads
from tests.checks.build import A, B, binary, listwise, pair, turn, write
from tests.checks.views import found, view

ASKED = "What is the capital of France?"
LONG = "The river rises in the hills and runs down to the sea."


# turn markers, prefixes, repeated prompts


@pytest.mark.parametrize(
    "text",
    [
        "Sure.\n\nHuman: so?",
        "Human: what?",
        " Assistant: Yes.",
        "Yes.\n### Response: no",
        "###Instruction: x",
        "a: b\n\nUSER: hi",
        "x\n\nUser:",
    ],
)
def test_markers(text: str) -> None:
    assert found(pairs.marker_in_answer(view([pair(), pair(text)]))) == [1]


@pytest.mark.parametrize(
    "text",
    ["Human rights: all.", "The user: me.\nUser: you.", "A human: x. Human: y", "System: Linux\n\nResponse: 5 ms", "<|im_end|>: [INST]"],
)
def test_no_markers(text: str) -> None:
    assert not pairs.marker_in_answer(view([pair(text)]))


def test_marker_in_the_last_turn_of_an_answer() -> None:
    talk = [turn("assistant", "a: b"), turn("user", "c"), turn("assistant", "d\n\nHuman: e")]
    (hits,) = pairs.marker_in_answer(view([pair(), pair("x: y", talk), pair()]))
    assert (hits.field, hits.rows.tolist(), hits.turns is not None and hits.turns.tolist()) == ("rejected", [1], [2])


@pytest.mark.parametrize(
    ("short", "whole", "flagged"), [("Yes", "Yes, sure.", False), ("Yes,", "Yes, sure.", True), ("C", "C or C++", False)]
)
def test_prefix(short: str, whole: str, flagged: bool) -> None:
    for row in (pair(short, whole), pair(whole, short)):
        assert bool(pairs.prefix_answer(view([row]))) == flagged
        assert pairs.prefix_answer(view([row]), min_bytes=1)


TEXTS = st.text("ab é“.\n", max_size=6)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=30), st.integers(0, 10), st.integers(1, 6))
def test_prefix_is_what_python_calls_so(rows: list[tuple[str, str]], skip: int, min_bytes: int) -> None:
    sides = view([pair(f"x{a}", f"x{b}") for a, b in rows])
    want = [i for i, (a, b) in enumerate(rows) if a != b and (a.startswith(b) or b.startswith(a))]
    sizes = [min(len(a.encode()), len(b.encode())) + 1 for a, b in rows]
    assert found(pairs.prefix_answer(sides, min_bytes)) == [i for i in want if sizes[i] >= min_bytes]
    texts = pl.Series([a for a, _ in rows])[min(skip, len(rows)) :]
    assert heads(texts).tobytes() == b"".join(t.encode()[:4].ljust(4, b"\0") for t in texts)


@pytest.mark.parametrize("answer", [ASKED, f"{ASKED} Paris.", f"\n“{ASKED}” Paris.", f"# {ASKED}\nParis."])
@pytest.mark.parametrize("prompt", [ASKED, f"  {ASKED}\n", [turn("system", "s"), turn("user", ASKED)]])
def test_repeated_prompt(prompt: Any, answer: str) -> None:
    assert found(pairs.prompt_in_answer(view([pair(prompt=prompt), pair("Paris.", answer, prompt=prompt)]))) == [1]
    assert found(pairs.prompt_in_answer(view([binary(answer, prompt=prompt)], "binary"))) == [0]
    assert found(pairs.prompt_in_answer(view([listwise("a", answer, prompt=prompt)], "listwise"))) == [0]


def test_prompts_that_are_not_repeated() -> None:
    again = [turn("assistant", "Paris."), turn("user", ASKED), turn("assistant", "I said: Paris.")]
    rows = [pair("Hi there", prompt="Hi"), pair(f"You asked: {ASKED}", prompt=ASKED), pair(again, prompt=ASKED), pair("", prompt=ASKED)]
    assert not pairs.prompt_in_answer(view(rows))
    assert found(pairs.prompt_in_answer(view(rows), min_bytes=1)) == [0]


# near-identical answers


def distance(a: str, b: str) -> int:
    """Levenshtein's, by the recurrence."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (x != y)))
    return row[-1]


NEAR = st.text("aB é漢.\n", min_size=1, max_size=12)
UNEQUAL = st.tuples(NEAR, NEAR).filter(lambda t: t[0] != t[1])


@given(st.lists(UNEQUAL, min_size=1, max_size=20), st.sampled_from([0.5, 0.75, 0.9, 0.95]))
def test_near_identical_is_levenshtein(rows: list[tuple[str, str]], similarity: float) -> None:
    """Against the plain definition, with edits of one byte and of three."""
    want = []
    for i, (a, b) in enumerate(rows):
        same = loose(pl.Series([a, b])).to_list()
        like = len(a) + len(b) > 0 and 1 - distance(a, b) / max(len(a), len(b)) >= similarity - 1e-9
        small, large = sorted(len(t.encode()) for t in (a, b))
        equal = same[0] == same[1] != "" and small >= min(0.75, 4 * similarity - 3) * large
        if (like or equal) and not (a.startswith(b) or b.startswith(a)):
            want.append(i)
    assert found(pairs.near_identical(view([pair(a, b) for a, b in rows]), similarity, 1)) == want


@pytest.mark.parametrize(
    ("chosen", "rejected", "flagged"),
    [
        (LONG, LONG.replace("runs", "ran"), True),
        (LONG, LONG.upper(), True),
        (LONG, "* " + LONG.replace(" and", ", and"), True),
        (LONG, LONG.replace("hills", "mountains"), False),
        (LONG, LONG + " It is long.", False),  # PD203
        ("The answer is 4.", "The answer is 5.", False),
        ("-" * 50, "=" * 50, False),
        ([turn("assistant", LONG), turn("user", "?"), turn("assistant", LONG)], LONG.upper(), False),
    ],
)
def test_near_identical(chosen: Any, rejected: Any, flagged: bool) -> None:
    assert bool(pairs.near_identical(view([pair(chosen, rejected)]))) == flagged


def test_answers_with_other_tool_calls_are_not_alike() -> None:
    def calls(arguments: str) -> list[dict[str, Any]]:
        function = {"name": "f", "arguments": arguments}
        return [{**turn("assistant", LONG), "tool_calls": [{"id": "1", "type": "function", "function": function}]}]

    rows = [pair(calls("{}"), calls("[]")), pair(LONG, LONG.upper())]
    assert found(pairs.near_identical(view(rows))) == [1]
    assert not pairs.prefix_answer(view(rows))


# margins and annotations


def test_margins_and_ties() -> None:
    rows = [pair(margin=m, p_chosen=p) for m, p in ((0.0, None), (0.0, 0.9), (0.0, 0.5), (2.0, 0.5), (2.0, 0.9), (None, 0.5), (2.0, None))]
    assert found(pairs.zero_margin(view(rows))) == [0, 1]
    assert found(pairs.margin_of_a_tie(view(rows))) == [3]
    assert not pairs.margin_of_a_tie(view([pair(margin=1.0)]))
    assert not pairs.zero_margin(view([pair()]))


def said(outcome: str | None = None, shown: str = "cr", kind: str = "human", aspect: str | None = None, **more: Any) -> dict[str, Any]:
    names = {"c": "chosen", "r": "rejected"}
    empty = dict.fromkeys(("score", "p_first", "rationale", "request"))
    about = [names[s] for s in shown]
    return {"annotator": "a", "kind": kind, "completions": about, "aspect": aspect, "outcome": outcome, **empty, **more}


def scores(chosen: float, rejected: float, **more: Any) -> list[dict[str, Any]]:
    return [said(shown="c", score=float(chosen), **more), said(shown="r", score=float(rejected), **more)]


@pytest.mark.parametrize(
    ("annotations", "flagged"),
    [
        ([], False),
        ([said("second")], True),
        ([said("second", "rc")], False),
        ([said("first", "rc")], True),
        ([said("tie"), said("abstain"), said("invalid", p_first=0.1)], False),
        ([said("second"), said("second"), said("first")], True),
        ([said("second"), said("first")], False),
        ([said(p_first=0.3)], True),
        ([said(p_first=0.3, shown="rc")], False),
        (scores(2, 4), True),
        (scores(4, 2), False),
        (scores(3, 3), False),
        ([*scores(2, 4), said("first")], False),
        # statements on the whole come before those on aspects, which must agree
        ([*scores(2, 4, aspect="helpful"), *scores(1, 2, aspect="honest")], True),
        ([*scores(2, 4, aspect="helpful"), *scores(2, 1, aspect="honest")], False),
        ([*scores(2, 4, aspect="helpful"), said("first")], False),
        ([*scores(4, 2, aspect="helpful"), *scores(2, 4, aspect="overall")], True),
        # one side was judged more often
        ([*scores(2, 4), said(shown="c", score=5.0)], False),
        ([*scores(2, 4, aspect="helpful"), said(shown="c", score=5.0, aspect="honest")], False),
        # another kind of annotator agrees with the label
        ([said("second", kind="judge"), said("second", kind="judge"), said("first")], False),
        ([said("second", kind="judge"), said("tie")], True),
        # scores of different annotators are not compared with each other
        ([said(shown="c", score=1.0), said(shown="r", score=3.0, annotator="b")], False),
    ],
)
def test_scores_against_label(annotations: list[dict[str, Any]], flagged: bool) -> None:
    row = pair(A, annotations=annotations)
    assert found(pairs.scores_against_label(view([pair(A, annotations=None), row]))) == [1] * flagged
    assert not pairs.scores_against_label(view([{**row, "p_chosen": 0.5}]))


def test_scores_against_label_of_a_file(tmp_path: Path) -> None:
    """Score of chosen 2, of rejected 4, by one person."""
    rows = [pair(A, annotations=scores(4.0, 2.0)), pair(B, annotations=scores(2.0, 4.0))]
    result = prefdata.validate(write(tmp_path / "in.jsonl", rows), select=["PD2"])
    assert [(f.code, f.line, f.field) for f in result.findings] == [("PD211", 2, "annotations")]


# real data


@pytest.mark.parametrize(
    ("name", "kind", "counts"),
    [
        ("hh_rlhf_harmless/harmless_base_test_part.jsonl.gz", "pair", {"PD203": 1, "PD204": 22, "PD207": 2, "PD213": 2}),
        ("pandalm_testset/testset-v1.json", "pair", {"PD203": 17, "PD209": 3, "PD210": 2, "PD213": 2}),
        ("tulu1_human_eval/annotations_part.csv.gz", "pair", {"PD201": 1, "PD203": 1, "PD205": 48, "PD210": 2}),
        ("tulu1_human_eval/annotations_part.csv.gz", "binary", {"PD302": 197}),
        ("tulu1_human_eval/annotations_part.csv.gz", "listwise", {"PD307": 24}),
        ("llmbar/Adversarial_Neighbor.dataset.json", "pair", {"PD203": 1}),
        ("pku_layout_derived/pku_saferlhf_layout.jsonl", "pair", {"PD203": 17, "PD209": 3, "PD210": 2, "PD213": 2}),
        ("oasst_trees/en_trees_part.jsonl.gz", "listwise", {}),
        ("topical_chat_scores/topical_chat.json", "listwise", {}),
        ("wmt_mqm_ted/mqm_ted_ende.tsv.gz", "listwise", {"PD213": 1, "PD307": 501}),
        ("ukp_convarg/full_xml/ban-plastic-water-bottles_no-bad-for-the-economy.xml.gz", "pair", {"PD209": 140, "PD211": 6}),
        ("ukp_convarg/ranking_csv/christianity-or-atheism-_atheism.csv", "listwise", {"PD304": 1}),
    ],
)
def test_real_counts(real: Callable[[str], Path], name: str, kind: str, counts: dict[str, int]) -> None:
    """Every finding of PD2 and PD3 in these files was looked at, or a sample of ten where there are more."""
    assert prefdata.validate(str(real(name)), kind=kind, select=["PD2", "PD3"]).counts == counts
