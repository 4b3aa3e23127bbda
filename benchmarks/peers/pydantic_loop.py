"""The loop that one writes by hand: orjson per line, a pydantic model per row, JSON lines out."""

from __future__ import annotations

from typing import Literal

import bare
import child
import orjson
from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid")
    role: Literal["user", "assistant"]
    content: str


class Pair(BaseModel):
    model_config = ConfigDict(extra="forbid")
    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]


def job(work: child.Work) -> int:
    parse, count = bare.ROW[work.task], 0
    with open(work.data, "rb") as source, open(work.out, "wb") as target:
        for line in source:
            pair = Pair.model_validate(parse(orjson.loads(line)))
            target.write(orjson.dumps(pair.model_dump(), option=orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count


if __name__ == "__main__":
    child.run(job, "orjson", "pydantic")
