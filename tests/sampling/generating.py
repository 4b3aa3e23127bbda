"""What the tests of generate share: prompts, a server that draws, and files as lines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from prefdata.sampling.generate import generate
from prefdata.sampling.generate_options import GenerateOptions
from prefdata.schema.ids import completion_id, record_id
from prefdata.schema.records import KINDS, Listwise, Message
from tests.judges.scripted import Body

Row = dict[str, Any]


def written(path: Path, rows: Sequence[Row]) -> str:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return str(path)


def lines(path: Path | str) -> list[Row]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def prompts(n: int) -> list[Row]:
    """Prompts of several lengths, the third of a few turns."""
    said = [[("user", f"Question {i}: why is{' so very' * (i % 5)} {{this}}?")] for i in range(n)]
    if n > 2:
        said[2] = [("system", "Be kind."), ("user", "Hello"), ("assistant", "Hello!"), ("user", "And now?")]
    return [{"prompt": [{"role": r, "content": c} for r, c in turns]} for turns in said]


def sampled(body: Body) -> str:
    """A text that depends on everything that was asked."""
    return f"SAMPLE-{sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:8]}"


def run(data: str | list[str], out: Path | str, **options: Any) -> Any:
    return generate(data, str(out), GenerateOptions(**options))


def checked(path: Path | str) -> list[Row]:
    """The records of an output, each valid, with the ids of its content and with annotations about its own candidates."""
    rows = lines(path)
    for row in rows:
        record = KINDS["listwise"].model_validate(row)
        assert isinstance(record, Listwise)
        assert record_id(record) == row["id"]
        ids = [c.id for c in record.completions]
        assert ids == [completion_id(list(c.messages)) for c in record.completions]
        assert len(set(ids)) == len(ids)
        assert {i for a in record.annotations or () for i in a.completions} <= set(ids)
    return rows


def texts(row: Row) -> list[str]:
    return [c["messages"][-1]["content"] for c in row["completions"]]


def about(row: Row, aspect: str) -> dict[str, str]:
    """What annotations of an aspect say, by the id of the candidate; the last one counts."""
    return {a["completions"][0]: a["rationale"] for a in row["annotations"] if a["aspect"] == aspect}


def balanced(result: Any) -> None:
    """Rows and answers, to the last one."""
    c = result.counts
    assert c["read"] == c["kept"] + sum(c["dropped"].values()) + sum(c["rejected"].values())
    for a in result.answers.values():
        assert a["asked"] == a["candidates"] + a["duplicates"] + sum(a["dropped"].values())
        assert sum(a["finish"].values()) == a["candidates"] + a["duplicates"]


def id_of(text: str) -> str:
    return completion_id([Message(role="assistant", content=text)])


def repeats(items: Sequence[Any]) -> list[Any]:
    return [item for item, n in Counter(items).items() if n > 1]
