"""The process that grades: `python -m prefdata.graders.worker`, started by `child.py`. Requests and replies are JSON lines over the
pipes that were stdin and stdout; whatever the grader prints itself goes nowhere."""

from __future__ import annotations

import json
import os
import warnings
from typing import BinaryIO

from prefdata.graders.confine import confine
from prefdata.graders.graded import Failed
from prefdata.graders.jobs import JOBS, score

MOST_WORDS = 300


def main() -> None:
    requests, replies = _private_pipes()
    line = requests.readline()
    if not line:
        return
    job = json.loads(line)
    confine(job["memory_mb"])
    try:
        grade = JOBS[job["kind"]](job["setup"])
    except BaseException as e:
        _say(replies, -1, *_words(e))
        return
    _say(replies, -1, None, None)
    for line in requests:
        asked = json.loads(line)
        try:
            _say(replies, asked["n"], score(grade(asked["row"])), None)
        except BaseException as e:
            _say(replies, asked["n"], *_words(e))


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    return requests, replies


def _say(replies: BinaryIO, n: int, score: float | str | None, words: str | None) -> None:
    """`[n, score, null]`, or `[n, code, words]`."""
    replies.write(json.dumps([n, score, words]).encode() + b"\n")
    replies.flush()


def _words(e: BaseException) -> tuple[str, str]:
    if isinstance(e, Failed):
        return e.code, e.words
    if isinstance(e, MemoryError):
        return "out-of-memory", "it needed more memory than it may take"
    try:
        said = " ".join(str(e)[:MOST_WORDS].split())
    except BaseException:
        said = "(its message cannot be written)"
    return "raised", f"{type(e).__name__[:60]}: {said}" if said else type(e).__name__[:60]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
