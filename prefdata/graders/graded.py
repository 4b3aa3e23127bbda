"""What a grader says of an answer: a number, or why there is none. A failure never becomes the score 0: then nobody could tell
a wrong answer from a broken grader."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

Row = dict[str, Any]
"""`{"item": the record's fields, "sample": the answer}` (`rows.row_of`)."""

REASONS = {
    "invalid-variable": "a template names something that the record does not have",
    "empty-reference": "the reference is an empty text",
    "bad-reference": "the reference cannot be read as what it should be",
    "sample-parse": "a template names something that the answer does not have (no JSON, no such field, no tool call)",
    "no-answer": "the answer has no final answer in it",
    "cut-off": "the answer was cut off at its most tokens: it is missing, not wrong",
    "formula": "the formula has no value here (a division by 0, the logarithm of 0, too large)",
    "time-out": "grading took too long",
    "out-of-memory": "grading took too much memory",
    "raised": "the grader raised an exception",
    "exited": "the grader's process ended",
    "wrong-type": "the grader returned no number",
    "not-finite": "the score is no finite number",
    "too-much-output": "the grader wrote too much",
    "not-asked": "no reply of the grader model is there",
    "refused": "the grader model refused",
    "reply-cut-off": "the grader model's reply was cut off",
    "no-score": "the grader model's reply has no score in it",
}
"""Why there is no score. Replies that the server refused have the codes of `llm.request.REFUSALS`."""
ANSWERS_FAULT = frozenset({"sample-parse", "no-answer"})
"""What `invalid_grade` stands for: the answer lacks the form that the grader needs."""


class Graded(NamedTuple):
    """A score, or None and the reason (`code: words`). `parts`: the scores of a multi grader's parts that have one."""

    score: float | None
    why: str | None = None
    parts: Mapping[str, float] = MappingProxyType({})


class Failed(Exception):
    """An answer cannot be scored: a code of `REASONS`, and words."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(f"{code}: {words}")
        self.code, self.words = code, words


def failed(code: str, words: str | None = None) -> Graded:
    return Graded(None, f"{code}: {words or REASONS[code]}")
