"""Round trips and drift: pydantic, JSON lines, Parquet and the published JSON Schemas say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import prefdata
from prefdata.schema import dtypes, ids
from prefdata.schema.generate import json_schema
from prefdata.schema.records import KINDS, Binary, Listwise, Message, Pair
from tests.strategies import pairs

ROOT = Path(__file__).parents[2]
U = [{"role": "user", "content": "Q"}]


def answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def test_schemas_are_current() -> None:
    for kind in KINDS:
        assert (ROOT / "schemas" / f"{kind}.json").read_text(encoding="utf-8") == json_schema(kind), "run: make docs"


def test_dtypes_follow_the_models() -> None:
    assert list(dtypes.schema("pair"))[:4] == ["id", "prompt", "chosen", "rejected"]
    assert dtypes.schema("binary")["label"] == pl.Boolean()
    assert dtypes.required("listwise") == ("id", "prompt", "completions")


def test_ids_are_the_documented_hashes() -> None:
    """Derived by the text of `prefdata/schema/ids.py`."""
    import hashlib

    def sha(data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()[:32]

    user, a, b = b"\1\0\0\0\4\0\0\0\1\0\0\0userQ", *(b"\1\0\0\0\t\0\0\0\1\0\0\0assistant" + t for t in (b"A", b"B"))
    pair = ids.add_ids(pl.DataFrame({"prompt": [U], "chosen": [answer("A")], "rejected": [answer("B")]}), "pair")
    assert pair["id"][0] == sha(b"pair\n" + user + a + b)
    binary = ids.add_ids(pl.DataFrame({"prompt": [U], "completion": [answer("A")], "label": [False]}), "binary")
    assert binary["id"][0] == sha(b"binary\n" + user + a + b"false")
    tools = ids.add_ids(
        pl.DataFrame({"prompt": [U, U], "completion": [answer("A")] * 2, "label": [True] * 2, "tools": ["[]", None]}), "binary"
    )
    assert list(tools["id"]) == [sha(b"binary\n" + user + a + b"true\n[]"), sha(b"binary\n" + user + a + b"true")]
    ca, cb = sha(b"completion\n" + a), sha(b"completion\n" + b)
    candidates = [{"id": None, "messages": answer(t), "model": None, "score": None, "rank": None} for t in "AB"]
    listwise = ids.add_ids(
        pl.DataFrame(
            {"prompt": [U], "completions": [candidates]}, schema_overrides={"completions": dtypes.schema("listwise")["completions"]}
        ),
        "listwise",
    )
    assert listwise["id"][0] == sha(b"listwise\n" + user + "\n".join(sorted([ca, cb])).encode())
    assert [c["id"] for c in listwise["completions"][0]] == [ca, cb]


def test_tool_turns_have_their_own_ids() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    plain = [{"role": "user", "content": "Q", "name": None, "tool_calls": None, "tool_call_id": None}]
    used = [{"role": "assistant", "content": "", "name": None, "tool_calls": [call], "tool_call_id": None}]
    said = [{"role": "assistant", "content": "x", "name": None, "tool_calls": None, "tool_call_id": None}]
    t = dtypes.TOOL_TURNS
    frame = ids.add_ids(
        pl.DataFrame({"prompt": [plain], "chosen": [used], "rejected": [said]}, schema={"prompt": t, "chosen": t, "rejected": t}), "pair"
    )
    record = Pair.model_validate(frame.row(0, named=True))
    assert ids.record_id(record) == record.id
    narrow = ids.add_ids(pl.DataFrame({"prompt": [U], "chosen": [answer("x")], "rejected": [answer("y")]}), "pair")
    wide = ids.add_ids(
        pl.DataFrame(
            {"prompt": [plain], "chosen": [said], "rejected": [[{**said[0], "content": "y"}]]},
            schema={"prompt": t, "chosen": t, "rejected": t},
        ),
        "pair",
    )
    assert narrow["id"][0] == wide["id"][0], "unused tool fields do not change an id"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(pairs(), min_size=1, max_size=5))
def test_round_trips(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    """rows -> JSON lines -> convert -> Parquet and JSON lines -> pydantic: exactly the same records, whatever is in the texts."""
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({**r, "id": "0" * 32}, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8", newline="")
    found = {}
    for form in ("parquet", "jsonl", "jsonl.zst", "jsonl.gz"):
        out = tmp_path / f"out.{form}"
        result = prefdata.convert(str(source), str(out), from_="prefdata-pair", force=True)
        assert result.counts == {"read": len(rows), "kept": len(rows), "dropped": {}, "rejected": {}}
        found[form] = prefdata.read(str(out)).to_dicts()
    assert found["parquet"] == found["jsonl"] == found["jsonl.zst"] == found["jsonl.gz"]
    for row, back in zip(rows, found["parquet"], strict=True):
        record = Pair.model_validate(back)
        assert ids.record_id(record) == record.id
        for field, value in row.items():
            assert back[field] == value
        assert Pair.model_validate_json(record.model_dump_json()) == record


def test_large_and_odd_texts(tmp_path: Path) -> None:
    big = "é" * 500_000 + "\u2028\u0085\x00 \U0001f600"
    row = {"id": "0" * 32, "prompt": U, "chosen": answer(big), "rejected": answer("\ufeff b "), "source": "s"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8", newline="")
    for out in ("b.jsonl", "b.parquet"):
        assert prefdata.convert(str(tmp_path / "a.jsonl"), str(tmp_path / out)).counts["kept"] == 1
        back = prefdata.read(str(tmp_path / out)).row(0, named=True)
        assert back["chosen"] == answer(big)
        assert back["rejected"] == answer("\ufeff b ")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"chosen": []}, "at least 1"),
        ({"prompt": [*answer("x")]}, "roles of a prompt"),
        ({"chosen": U}, "begin and end with an assistant"),
        ({"chosen": answer(" \u3000")}, "blank"),
        ({"rejected": answer("A")}, "identical"),
        ({"margin": -1.0}, "greater than or equal to 0"),
        ({"p_chosen": 0.4}, "greater than or equal to 0.5"),
        ({"margin": float("nan")}, "finite"),
        ({"meta": "{"}, "not a JSON text"),
        ({"meta": '{"a": NaN}'}, "not a JSON text"),
        ({"colour": "red"}, "Extra inputs"),
        ({"chosen": answer("\ud800")}, "surrogate"),
        ({"id": "abc"}, "pattern"),
    ],
)
def test_the_model_refuses(change: dict[str, Any], word: str) -> None:
    good: dict[str, Any] = {"id": "0" * 32, "prompt": U, "chosen": answer("A"), "rejected": answer("B")}
    Pair.model_validate(good)
    with pytest.raises(ValueError, match=word):
        Pair.model_validate({**good, **change})


def test_roles_with_tools() -> None:
    m = {r: Message(role=r, content="x") for r in ("system", "user", "assistant", "tool")}  # type: ignore[arg-type]
    base: dict[str, Any] = {"id": "0" * 32, "completion": [m["assistant"]], "label": True}
    for roles, ok in [("user assistant tool", True), ("user assistant tool assistant user", True), ("user tool", False), ("system", False)]:
        prompt = [m[r] for r in roles.split()]
        if ok:
            Binary(prompt=prompt, **base)
        else:
            with pytest.raises(ValueError, match="roles"):
                Binary(prompt=prompt, **base)
    with pytest.raises(ValueError, match="at least 1"):
        Listwise(id="0" * 32, prompt=[m["user"]], completions=[])
