"""Hundreds of damaged files: real rows in ten layouts, each damaged in one place. The finding is where the damage is and names it, no other
row is blamed, and the exit code tells."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import prefdata
from prefdata.checks.result import Finding
from prefdata.checks.rules import RULES
from tests.checks.build import pair
from tests.conftest import ROOT

DATA = ROOT / "examples" / "data"
ROWS = 30
Row = dict[str, Any]


@cache
def pairs() -> tuple[Row, ...]:
    """Real pairs of HH-RLHF: the last exchange of transcripts that have plain ones."""
    out = []
    with gzip.open(DATA / "hh_rlhf_harmless" / "harmless_base_test_part.jsonl.gz", "rt", encoding="utf-8") as f:
        for line in f:
            row = json.loads(line)
            sides = {c: row[c].split("\n\nAssistant: ") for c in row}
            if all(len(s) == 2 and len(s[1]) > 40 and "\n" not in s[0].strip() + s[1] for s in sides.values()):
                prompt = sides["chosen"][0].removeprefix("\n\nHuman: ")
                if prompt not in {r["prompt"] for r in out}:
                    out.append({"prompt": prompt, "chosen": sides["chosen"][1], "rejected": sides["rejected"][1]})
            if len(out) == ROWS:
                return tuple(out)
    raise AssertionError("too few plain rows")


def turns(role: str, text: str) -> list[Row]:
    return [{"role": role, "content": text}]


def conversation(r: Row, side: str) -> list[Row]:
    return [*turns("user", r["prompt"]), *turns("assistant", r[side])]


class Layout(NamedTuple):
    """A layout: a row of it from a pair, the paths of its texts (prompt, chosen, rejected), and its verdict."""

    make: Callable[[Row], Row]
    prompt: str
    chosen: str
    rejected: str
    verdict: str | None = None


def message_rows(r: Row) -> Row:
    return {c: turns("user" if c == "prompt" else "assistant", r[c]) for c in r}


def openai(r: Row) -> Row:
    m = message_rows(r)
    return {"input": {"messages": m["prompt"]}, "preferred_output": m["chosen"], "non_preferred_output": m["rejected"]}


def sharegpt(r: Row) -> Row:
    answers = {c: {"from": "gpt", "value": r[c]} for c in ("chosen", "rejected")}
    return {"conversations": [{"from": "human", "value": r["prompt"]}], **answers}


LAYOUTS = {
    "trl-texts": Layout(dict, "prompt", "chosen", "rejected"),
    "trl-turns": Layout(message_rows, "prompt[0].content", "chosen[0].content", "rejected[0].content"),
    "trl-implicit": Layout(
        lambda r: {c: conversation(r, c) for c in ("chosen", "rejected")}, "chosen[0].content", "chosen[1].content", "rejected[1].content"
    ),
    "hh-rlhf": Layout(
        lambda r: {c: f"\n\nHuman: {r['prompt']}\n\nAssistant: {r[c]}" for c in ("chosen", "rejected")}, "chosen", "chosen", "rejected"
    ),
    "pku-saferlhf": Layout(
        lambda r: {"prompt": r["prompt"], "response_0": r["rejected"], "response_1": r["chosen"], "better_response_id": 1},
        *("prompt", "response_1", "response_0", "better_response_id"),
    ),
    "align-anything-t2t": Layout(
        lambda r: {"question": r["prompt"], "response_1": r["chosen"], "response_2": r["rejected"], "overall_response": 1},
        *("question", "response_1", "response_2", "overall_response"),
    ),
    "llmbar": Layout(
        lambda r: {"input": r["prompt"], "output_1": r["rejected"], "output_2": r["chosen"], "label": 2},
        *("input", "output_2", "output_1", "label"),
    ),
    "openai-dpo": Layout(openai, "input.messages[0].content", "preferred_output[0].content", "non_preferred_output[0].content"),
    "sharegpt": Layout(sharegpt, "conversations[0].value", "chosen.value", "rejected.value"),
    "prefdata-pair": Layout(
        lambda r: pair(r["chosen"], r["rejected"], r["prompt"]), "prompt[0].content", "chosen[0].content", "rejected[0].content"
    ),
}


def transcripts(layout: Layout) -> bool:
    """Whether a text of the layout is a whole transcript."""
    return layout is LAYOUTS["hh-rlhf"]


def at(row: Row, path: str) -> tuple[Any, Any]:
    """The container of a path and the key in it."""
    parts: list[Any] = [int(p) if p.isdigit() else p for p in path.replace("[", ".").replace("]", "").split(".")]
    here: Any = row
    for p in parts[:-1]:
        here = here[p]
    return here, parts[-1]


def get(row: Row, path: str) -> Any:
    here, key = at(row, path)
    return here[key]


def put(row: Row, path: str, value: Any) -> Row:
    out: Row = json.loads(json.dumps(row))
    here, key = at(out, path)
    here[key] = value
    return out


def without(row: Row, path: str) -> Row:
    return {k: v for k, v in row.items() if k != path.split(".")[0].split("[")[0]}


def line_of(row: Row) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode()


class Damage(NamedTuple):
    """Lines in place of one line, the codes one of which must be found, which of the new lines is damaged, and the field that is told."""

    lines: list[bytes]
    codes: set[str]
    damaged: int = 0
    field: str | None = None


def twice(row: Row) -> bytes:
    key = next(iter(row))
    return line_of(row)[:-1] + b", " + json.dumps(key).encode() + b": " + json.dumps(row[key]).encode() + b"}"


Mutation = Callable[[Row, Layout], Damage | None]
MUTATIONS: dict[str, Mutation] = {
    "field dropped": lambda r, o: Damage([line_of(without(r, o.rejected))], {"PD110", "PD101"}, field=o.rejected),
    "field null": lambda r, o: Damage([line_of({**r, o.chosen.split(".")[0].split("[")[0]: None})], {"PD110", "PD101"}, field=o.chosen),
    "number for text": lambda r, o: Damage([line_of(put(r, o.chosen, 7))], {"PD005"}, field=o.chosen),
    "list for text": lambda r, o: Damage([line_of(put(r, o.rejected, ["a"]))], {"PD005"}, field=o.rejected),
    "object for text": lambda r, o: Damage([line_of(put(r, o.prompt, {"a": 1}))], {"PD005"}, field=o.prompt),
    "line cut": lambda r, o: Damage([line_of(r)[:-25]], {"PD001"}),
    "line cut in a key": lambda r, o: Damage([line_of(r)[:4]], {"PD001"}),
    "garbage before": lambda r, o: Damage([b"<<<<<<< HEAD", line_of(r)], {"PD001"}),
    "two objects": lambda r, o: Damage([line_of(r) + line_of(r)], {"PD001"}),
    "array": lambda r, o: Damage([b"[" + line_of(r) + b"]"], {"PD001"}),
    "Latin-1": lambda r, o: Damage(
        [line_of(put(r, o.chosen, "caf\xe9 " + get(r, o.chosen))).decode().encode("latin-1", "replace")], {"PD002"}
    ),
    "UTF-8 cut": lambda r, o: Damage([line_of(put(r, o.chosen, "\u20ac@ " + get(r, o.chosen))).replace(b"\xac@", b"@")], {"PD002"}),
    "lone surrogate": lambda r, o: Damage([line_of(put(r, o.rejected, "@" + get(r, o.rejected))).replace(b'"@', b'"\\ud83d')], {"PD002"}),
    "key twice": lambda r, o: Damage([twice(r)], {"PD003"}),
    "NaN": lambda r, o: Damage([line_of(r)[:-1] + b', "extra": NaN}'], {"PD004"}),
    "infinite": lambda r, o: Damage([line_of(r)[:-1] + b', "extra": -Infinity}'], {"PD004"}),
    "answer blank": lambda r, o: Damage([line_of(put(r, o.rejected, ""))], {"PD105"}) if not transcripts(o) else None,
    "answers equal": lambda r, o: Damage([line_of(put(r, o.rejected, get(r, o.chosen)))], {"PD201"}),
    "control character": lambda r, o: Damage([line_of(put(r, o.rejected, get(r, o.rejected) + "\x00!"))], {"PD107"}, field=o.rejected),
    "decoded wrongly": lambda r, o: Damage([line_of(put(r, o.chosen, get(r, o.chosen) + "\ufffd"))], {"PD107"}, field=o.chosen),
    "direction override": lambda r, o: Damage([line_of(put(r, o.chosen, get(r, o.chosen) + "\u202e"))], {"PD114"}, field=o.chosen),
    "row twice": lambda r, o: Damage([line_of(r), line_of(r)], {"PD106"}, 1),
    "answer cut": lambda r, o: Damage([line_of(put(r, o.rejected, get(r, o.chosen)[:-9]))], {"PD203", "PD210"}),
    "marker in answer": lambda r, o: (
        Damage([line_of(put(r, o.rejected, "Yes.\n\nHuman: And?\n\nAssistant: Well"))], {"PD204"})
        if o.make is not LAYOUTS["hh-rlhf"].make
        else None
    ),
    "verdict out of range": lambda r, o: (
        Damage([line_of({**r, o.verdict: 7})], {"PD112"}) if o.verdict and o.prompt != "question" else None
    ),
    "verdict a text": lambda r, o: Damage([line_of({**r, o.verdict: "yes"})], {"PD112", "PD005"}) if o.verdict else None,
    "verdict null": lambda r, o: Damage([line_of({**r, o.verdict: None})], {"PD112", "PD110"}) if o.verdict else None,
}
CASES = [(layout, name) for layout, o in LAYOUTS.items() for name, m in MUTATIONS.items() if m(o.make(pairs()[0]), o) is not None]


def findings(path: Path, layout: str) -> list[Finding]:
    kind = "pair" if layout == "prefdata-pair" else None
    from_ = (
        layout if layout in ("hh-rlhf", "openai-dpo", "sharegpt", "pku-saferlhf", "llmbar", "align-anything-t2t", "prefdata-pair") else None
    )
    options: dict[str, Any] = {"from_": from_} if from_ else {}
    return prefdata.validate(str(path), show=1000, kind=kind, **options).findings


@pytest.mark.parametrize(("layout", "name"), CASES)
def test_damage_is_found_where_it_is(layout: str, name: str, tmp_path: Path) -> None:
    o = LAYOUTS[layout]
    rows = [o.make(r) for r in pairs()]
    place = random.Random(f"{layout} {name}").randrange(1, ROWS)
    damage = MUTATIONS[name](rows[place], o)
    assert damage is not None
    lines = [line_of(r) for r in rows]
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    whole.write_bytes(b"\n".join(lines) + b"\n")
    broken.write_bytes(b"\n".join([*lines[:place], *damage.lines, *lines[place + 1 :]]) + b"\n")
    others = [f for f in findings(whole, layout) if f.line != place + 1]
    before = Counter((f.code, f.line + (f.line > place + 1) * (len(damage.lines) - 1)) for f in others)
    found = findings(broken, layout)
    new = [f for f in found if not before[(f.code, f.line)]]
    assert place + 1 + damage.damaged in {f.line for f in new} <= set(range(place + 1, place + 1 + len(damage.lines))), new
    hit = [f for f in new if f.code in damage.codes and f.line == place + 1 + damage.damaged]
    assert hit, new
    if damage.field is not None and hit[0].code != "PD101":
        top = damage.field.split(".")[0].split("[")[0]
        assert hit[0].field is not None
        assert hit[0].field.split(".")[0].split("[")[0] == top
    kind = "pair" if layout == "prefdata-pair" else None
    result = prefdata.validate(
        str(broken), kind=kind, **({} if kind else {"from_": layout if layout in ("hh-rlhf", "openai-dpo") else "auto"})
    )
    assert result.exit_code == any(RULES[f.code].severity == "error" for f in found)


def test_there_are_enough() -> None:
    assert len(CASES) >= 200
