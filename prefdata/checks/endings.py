"""PD7: answers that end badly: cut off, or going round in circles."""

from __future__ import annotations

import numpy as np

from prefdata.checks.rule import Rule
from prefdata.checks.screens import BY_ASSISTANT, TEXT, hits, says, sift, where
from prefdata.checks.view import Hits, View

CUT = (
    r"(?:[,;:(\[{]| [-–—]|(?-u:\b)(?:and|or|but|the|an?|of|to|with|for|in|is|are|was|were|that|which|because|as|by|from|your|their|its|if"
    r"|when|than|at|on|into|so|be|can|will|has|have|had|would|could|should|such|every|very|more))\s*$"
)
"""What no finished text ends with."""


_LENGTH = TEXT.str.len_bytes()
_NO_FULL_STOP = ~TEXT.str.ends_with(".")
_CUT = TEXT.str.tail(24).str.contains(CUT)
_OPEN_FENCE = TEXT.str.count_matches("```", literal=True) % 2 == 1


def truncated_answer(v: View, min_bytes: int = 300) -> list[Hits]:
    long = BY_ASSISTANT & _LENGTH.ge(min_bytes)
    return [
        *where(v, long & _NO_FULL_STOP, _CUT, columns=v.answers, note="it stops in the middle of a sentence"),
        *where(v, long, _OPEN_FENCE, columns=v.answers, screen=says("```"), note="a code block is not closed"),
    ]


def repetition(v: View, chars: int = 40, times: int = 4) -> list[Hits]:
    """The last `chars` characters (with a letter among them) occur `times` times, not overlapping. The first step looks for some of them
    before the end: a search for up to 32 bytes is many times faster than one for more."""
    few = min(16, chars)
    again = TEXT.str.head(-few).str.contains(TEXT.str.tail(few), literal=True)
    tail = TEXT.str.tail(chars)
    count = TEXT.str.count_matches(tail, literal=True)
    long = BY_ASSISTANT & _LENGTH.ge(chars * times)
    some = sift(v, long, again, count >= times, columns=v.answers).select("n", tail)
    return list(hits(v, np.array([n for n, end in some.iter_rows() if any(map(str.isalpha, end))], dtype=np.int64)))


RULES = (
    Rule(
        code="PD702",
        name="truncated-answer",
        severity="info",
        message="a long answer looks cut off",
        reason="An answer that hit a token limit teaches the model not to end; as the chosen one it teaches that endings do not matter.",
        bad='"content": "… and then you add the flour to the"',
        good='"content": "… and then you add the flour."',
        fix="generate the answer again with a higher limit, or drop the row",
        row=truncated_answer,
    ),
    Rule(
        code="PD707",
        name="repetition",
        severity="warning",
        message="an answer ends in a loop",
        reason="It is a failure of the model that wrote it; as a chosen answer it teaches the failure.",
        bad='"content": "I am fine. I am fine. I am fine. …"',
        good='"content": "I am fine."',
        fix="drop the row",
        row=repetition,
    ),
)
