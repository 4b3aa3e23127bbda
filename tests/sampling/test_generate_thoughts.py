"""Thoughts before answers: the form is read strictly, the thought is stored apart, and both together are what the model wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prefdata.sampling.thoughts import ANSWER, INSTRUCTION, THOUGHT, parts
from tests.judges.scripted import Body, cut, scripted
from tests.sampling.generating import about, balanced, checked, run, sampled, texts, written


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("[[thought]]\nHm.\n[[answer]]\nYes.", "Yes."),
        ("\n  [[thought]] \r\nHm.\r\n\n[[answer]]\r\n\n  Yes.\n\nAnd no. \n", "Yes.\n\nAnd no. \n"),
        ("[[thought]]\n[[answer]]\nYes.", "Yes."),  # nothing was thought
        ("[[thought]]\nThe marker [[answer]] comes later.\n[[answer]]\nSee [[answer]] above.", "See [[answer]] above."),
        ("Yes.", None),
        ("[[answer]]\nYes.", None),
        ("[[thought]]\nHm.", None),  # cut off before the answer
        ("[[thought]]\nHm.\n[[answer]]", None),
        ("[[thought]]\nHm.\n[[answer]]\n \n", None),
        ("Sure!\n[[thought]]\nHm.\n[[answer]]\nYes.", None),
        ("[[answer]]\nYes.\n[[thought]]\nHm.", None),
        ("[[thought]]\nHm.\n[[answer]]\nYes.\n[[answer]]\nNo.", None),  # which one?
        ("[[thought]]\nHm.\n[[thought]]\nHm.\n[[answer]]\nYes.", None),
        ("[[thought]] Hm.\n[[answer]]\nYes.", None),  # the marker is not alone on its line
        ("[[THOUGHT]]\nHm.\n[[ANSWER]]\nYes.", None),
        ("", None),
    ],
)
def test_parts(text: str, answer: str | None) -> None:
    found = parts(text)
    assert (None if found is None else found.answer) == answer
    assert found is None or found.thought + found.answer == text


@given(st.lists(st.sampled_from([THOUGHT, ANSWER, "\n", " ", "Hm.", "\r\n", "é"]), max_size=12).map("".join))
@example("[[thought]]\n[[answer]]\n\x1c")
def test_no_thought_is_in_an_answer(text: str) -> None:
    """Nothing is lost or invented; the answer is not blank, and no line of it is a marker."""
    found = parts(text)
    if found is not None:
        assert found.thought + found.answer == text
        assert found.answer.strip()
        assert not {THOUGHT, ANSWER} & {line.strip() for line in found.answer.split("\n")}


def test_the_instruction_shows_the_form_that_is_read() -> None:
    form = INSTRUCTION[INSTRUCTION.index(f"{THOUGHT}\n") :]
    assert parts(form) == (f"{THOUGHT}\nyour thoughts\n{ANSWER}\n", "your answer")


def thinking(body: Body) -> object:
    kind = body["seed"] % 3
    if kind == 0:
        return sampled(body)  # forgets the form
    text = f"[[thought]]\nHm, {sampled(body)}.\n[[answer]]\nYes."
    return cut(f"{text[:-4]}{sampled(body)} of cou") if kind == 1 else text


def test_thoughts_are_stored_apart(tmp_path: Path) -> None:
    """Only the answer is shown; equal answers with other thoughts are one candidate, all of whose thoughts stay."""
    data = written(tmp_path / "p.jsonl", [{"prompt": "Is it?", "system": "Be kind."}])
    with scripted(thinking) as server:
        result = run(data, tmp_path / "out.jsonl", policy="m", n=30, base_url=server.url, thoughts=True, system="Be brief.")
    assert {b["messages"][0]["content"] for b in server.seen} == {f"Be brief.\n\n{INSTRUCTION}\n\nBe kind."}
    balanced(result)
    (row,) = checked(tmp_path / "out.jsonl")
    kinds = [b["seed"] % 3 for b in server.seen]
    assert result.answers["m"]["dropped"] == {"no-answer": kinds.count(0)}
    assert result.answers["m"]["duplicates"] == kinds.count(2) - 1
    assert len(texts(row)) == kinds.count(1) + 1
    assert "Yes." in texts(row)
    thoughts = [a for a in row["annotations"] if a["aspect"] == "thought"]
    assert len(thoughts) == len({a["rationale"] for a in thoughts}) == kinds.count(1) + kinds.count(2)
    whole = {
        f"{a['rationale']}{next(c for c in row['completions'] if c['id'] == a['completions'][0])['messages'][0]['content']}"
        for a in thoughts
    }
    said = [thinking(b) for b in server.seen if b["seed"] % 3]
    assert whole == {s if isinstance(s, str) else s[1]["choices"][0]["message"]["content"] for s in said}  # type: ignore[index]
    ends = about(row, "finish_reason")
    assert sorted(ends.values()) == ["length"] * kinds.count(1) + ["stop"]
    assert all("[[" not in t and "Hm" not in t for t in texts(row))
    assert result.policies[0]["thoughts"]["instruction"] == INSTRUCTION
