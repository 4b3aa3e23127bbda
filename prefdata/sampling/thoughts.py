"""Thoughts before an answer (TPO, Wu et al. 2024, arXiv:2410.10630): the model thinks in writing, and only the answer behind it is judged.

The two parts stand behind markers on lines of their own. Text that does not keep to the form has no answer: guessing where the thoughts end
would show thoughts to the scorer.
"""

from __future__ import annotations

import re
from typing import NamedTuple

VERSION = 1
"""Goes up when the words below change."""
THOUGHT, ANSWER = "[[thought]]", "[[answer]]"
INSTRUCTION = (
    "Before you answer, think in writing: what is asked, what matters to the person who asks, and a draft with what could be better in it. "
    "Then write the answer. Nobody reads the thoughts; the answer has to stand alone and does not mention them.\n\n"
    "Keep exactly to this form, with each marker on a line of its own and nothing in front of the first one:\n\n"
    f"{THOUGHT}\nyour thoughts\n{ANSWER}\nyour answer"
)
_MARKER = re.compile(rf"^[ \t]*({re.escape(THOUGHT)}|{re.escape(ANSWER)})[ \t]*\r?(?:\n|\Z)", re.MULTILINE)


class Parts(NamedTuple):
    """What the model wrote, cut in two: `thought` has the markers and the white space around them, so `thought + answer` is the whole."""

    thought: str
    answer: str


def parts(text: str) -> Parts | None:
    """The two parts, None when the text is not one thought and one answer behind their markers."""
    found = list(_MARKER.finditer(text))
    if [m[1] for m in found] != [THOUGHT, ANSWER] or text[: found[0].start()].strip():
        return None
    rest = text[found[1].end() :]
    begin = len(text) - len(rest.lstrip())
    return Parts(text[:begin], text[begin:]) if rest.strip() else None
