"""What stands in a journal, for people and for other programs."""

from __future__ import annotations

import json
import os
import shlex
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson

from prefdata.errors import UsageError
from prefdata.io.journal import CHARGES, Journal, Stored, Usage
from prefdata.io.write import replacing

NO_NAME = "(no name)"


def info(path: str) -> dict[str, Any]:
    """Counts, cost and origin of a journal. Every reply is read and compared with its checksum; raises InputError when one is damaged."""
    with Journal(path, write=False) as journal:
        journal.verify()
        served: Counter[str] = Counter()
        for _, stored, _ in journal.entries():
            if stored.code == "ok":
                served[_model(stored.raw)] += 1
        totals = journal.totals()
        charges = totals.pop(CHARGES, (0, Usage()))[1]
        return {
            "journal": path,
            "replies": sum(n for n, _ in totals.values()),
            "codes": {code: {"replies": n, **usage._asdict()} for code, (n, usage) in totals.items()},
            "charges": charges._asdict(),
            "spent": journal.spent()._asdict(),
            "served": dict(sorted(served.items(), key=lambda kv: (-kv[1], kv[0]))),
            "failures": journal.failures(),
            "run": journal.run(),
        }


def _model(raw: bytes) -> str:
    """The model that a server says answered."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return NO_NAME
    name = body.get("model") if isinstance(body, dict) else None
    return name if isinstance(name, str) and name else NO_NAME


def lines(found: dict[str, Any]) -> Iterator[str]:
    """`info` in words."""
    yield f"{found['journal']}: {found['replies']:,} {'reply' if found['replies'] == 1 else 'replies'}"
    for code, use in found["codes"].items():
        yield f"  {code}: {use['replies']:,}; {_cost(use)}"
    if any(found["charges"].values()):
        yield f"  without a reply, perhaps billed: {_cost(found['charges'])}"
    yield f"  in all: {_cost(found['spent'])}"
    if found["served"]:
        yield "  models that answered: " + ", ".join(f"{name} {n:,}" for name, n in found["served"].items())
    if found["failures"]:
        yield "  requests without a reply, by their last failure: " + ", ".join(f"{code} {n:,}" for code, n in found["failures"].items())
    yield f"  written by: {command(found['run'])}" if found["run"] else "  the command that wrote it is not known"


def _cost(use: dict[str, Any]) -> str:
    money = f", {use['usd']:,.4f} USD" if use["usd"] else ""  # 0 where no price is known
    return f"{use['calls']:,} calls, {use['tokens_in']:,} + {use['tokens_out']:,} tokens{money}"


def command(run: dict[str, Any]) -> str:
    """The kept command as it would be typed; what is the default anyway may be among it."""
    words = ["prefdata", str(run.get("command")), *map(str, run.get("data") or []), "-o", str(run.get("out"))]
    for name, value in (run.get("options") or {}).items():
        if value is None or value is False or value == []:
            continue
        words.append("--" + str(name).replace("_", "-"))
        if isinstance(value, list):
            words.append(",".join(map(str, value)))
        elif isinstance(value, dict):
            words.append(json.dumps(value))
        elif value is not True:
            words.append(str(value))
    return shlex.join(words)


def export(path: str, out: str) -> int:
    """Write one JSON line per reply, in the order in which they came, to a file that appears whole. Gives how many there are."""
    if any(os.path.realpath(out) == os.path.realpath(path + side) for side in ("", "-wal", "-shm", "-lock")):
        raise UsageError(f"{out} is the journal itself; name another output")
    with Journal(path, write=False) as journal, replacing(out) as temporary, open(temporary, "wb") as file:
        count = 0
        for line in json_lines(journal):
            file.write(line)
            count += 1
    return count


def json_lines(journal: Journal) -> Iterator[bytes]:
    """`{"key", "code", "body" | "text" | "raw_base64", "usage"}` per reply."""
    for key, stored, usage in journal.entries():
        row = {"key": key.hex(), "code": stored.code, **_body(stored), "usage": usage._asdict()}
        yield orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _body(stored: Stored) -> dict[str, Any]:
    """The body as it came: JSON is not written anew, which would round its numbers."""
    try:
        orjson.loads(stored.raw)
    except orjson.JSONDecodeError:
        try:
            return {"text": stored.raw.decode()}
        except UnicodeDecodeError:
            import base64

            return {"raw_base64": base64.b64encode(stored.raw).decode()}
    # line breaks of JSON only stand between its tokens
    return {"body": orjson.Fragment(stored.raw.replace(b"\n", b" ").replace(b"\r", b" "))}
