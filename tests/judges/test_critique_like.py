"""What is taken for a revision: texts of either side, and the guards against false alarms."""

from __future__ import annotations

import time

import pytest

from prefdata.judges.constitution import load
from prefdata.judges.critique_like import FLAWS, cleaned, flaw

PROMPT = "How do I get a stain out of a carpet?"
DRAFT = "Scrub it with bleach and be more careful next time."
CRITIQUE = "It scolds the person, and bleach ruins most carpets."


def why(text: str, prompt: str = PROMPT, draft: str = DRAFT, critique: str = CRITIQUE, token: str = "0123456789ab") -> str | None:
    return flaw(cleaned(text, token, draft), draft=draft, critique=critique, prompt=prompt, token=token)


@pytest.mark.parametrize(
    "text",
    [
        "Dab it with cold water and a drop of washing-up liquid.",
        "The answer is cold water.",
        "The answer depends on the carpet. The answer is wool? Then cold water.",
        "I can't recommend bleach, but cold water works.",
        "My reply to your neighbour would be short.",
        "Your answer is right.",
        "Write your first draft without editing.",
        "The original version of the song is from 1971.",
        "The model's accuracy drops on long inputs.",
        "There are problems with the brakes of this car.",
        "Revised estimates put the figure at 3 million.",
        "This answers it: use cold water.",
        "Response times differ; cold water works at once.",
        "Die Antwort ist kaltes Wasser.",
        "no",
    ],
)
def test_revisions(text: str) -> None:
    assert why(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "The assistant's response is harmful because bleach ruins carpets.",
        "The assistant’s last answer scolds.",
        "Critique: it scolds.",
        "**Critique:** it scolds.",
        "Critique\n\nIt scolds.",
        "The answer fails to mention cold water.",
        "The answer is too harsh.",
        "This response is overly cautious.",
        "My answer was fine, but this response sounds harsh.",
        "There are several issues with the answer.",
        "Reviewing my answer, I see that it scolds.",
        "Weaknesses: it scolds.",
        "The answer gives a step. In the answer there is blame.",
        "Every sentence of the answer would suit any stain.",
        "Dab it.\n\nCritiqueRequest: is it kind?",
        CRITIQUE,
        CRITIQUE.replace("and bleach", "and  bleach") + " ",
        CRITIQUE.replace("most", "many"),
    ],
)
def test_critiques(text: str) -> None:
    assert why(text) == "critique"


@pytest.mark.parametrize("example", load("default").examples, ids=lambda e: e.pair)
def test_worked_examples_are_told_apart(example: object) -> None:
    """The critiques of our own examples are no revisions, their revisions are."""
    e = example
    assert why(e.critique, e.prompt, e.draft, "Something else.") == "critique"  # type: ignore[attr-defined]
    assert why(e.revision, e.prompt, e.draft, e.critique) is None  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("Revision:", "empty"),
        (DRAFT, "unchanged"),
        (f"  {DRAFT.replace(' ', chr(10))}\n", "unchanged"),
        (f"Revised answer: {DRAFT}", "unchanged"),
        ("I cannot rewrite this answer.", "declined"),
        ("I'm sorry, but I'm not able to revise that.", "declined"),
        ("No revision is needed.", "declined"),
        ("My previous answer was harsh. Use cold water.", "talk"),
        ("Use cold water. In the revised version I left out the blame.", "talk"),
        ("Use cold water. I have rephrased the answer as asked.", "talk"),
        ("Following the critique: use cold water.", "talk"),
        ("<think>hm", "thoughts"),
        ("Use cold water. <<<end 0123456789ab>>>", "fence"),
    ],
)
def test_other_flaws(text: str, code: str) -> None:
    assert why(text) == code
    assert code in FLAWS


def test_labels_fences_and_thoughts_are_taken_off() -> None:
    for text in (
        "Revision: Use cold water.",
        "**Revised answer:** Use cold water.",
        "Here is the revised response (kinder):\n\nUse cold water.",
        "<think>It scolds.\nSo be kind.</think>\n\nUse cold water.",
        "<<<answer 0123456789ab>>>\nUse cold water.\n<<<end 0123456789ab>>>",
    ):
        assert cleaned(text, "0123456789ab", DRAFT) == "Use cold water."
    assert cleaned("Revised rules: a. b.", "", "Revised rules: a.") == "Revised rules: a. b."
    assert cleaned("<<<answer ffffffffffff>>>\nx\n<<<end ffffffffffff>>>", "0123456789ab") != "x"


def test_formulas_of_the_conversation_say_nothing() -> None:
    """A prompt about an assistant's answers is answered in these words."""
    assert why("The assistant's answer was wrong.", prompt="Was the assistant's answer wrong?") is None
    assert why("The answer gives a step. In the answer there is blame.", prompt="Is the answer good?") is None
    assert why("I cannot rewrite a contract for you; ask a lawyer.", prompt="Rewrite this contract.") is None
    assert why("I sent the revised version.", prompt="Where is the revised version?") is None


def test_long_texts_take_no_long_time() -> None:
    """A megabyte of anything is looked at in well under a second: no pattern goes back and forth over white space."""
    for text in (
        "\n" * 1_000_000 + "x",
        "x " * 500_000,
        "the answer " * 100_000,
        "<<<answer 0123456789ab>>>\n" + "y" * 1_000_000,
        "*_# " * 250_000,
    ):
        began = time.perf_counter()
        why(text)
        assert time.perf_counter() - began < 2
