"""The columnar gate and the pydantic models agree on every row."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from prefdata.schema import dtypes
from prefdata.schema.grammar import json_text
from prefdata.schema.records import Pair
from prefdata.schema.valid import _json_suspects, problems, suspects, tidy
from tests.strategies import WILD_PAIR, pairs

T = dtypes.TURNS
SCHEMA = {"prompt": T, "chosen": T, "rejected": T, "margin": pl.Float64(), "p_chosen": pl.Float64(), "weight": pl.Float64()}


def valid(row: dict[str, Any]) -> bool:
    try:
        Pair.model_validate(tidy(row))
    except ValidationError:
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(st.lists(WILD_PAIR, max_size=6))
def test_gate_equals_model(rows: list[dict[str, Any]]) -> None:
    df = pl.DataFrame(rows, schema=SCHEMA)
    expected = [not valid(r) for r in rows]
    assert sorted({p.row for p in problems(df, "pair")}) == [i for i, bad in enumerate(expected) if bad]


@settings(max_examples=50, deadline=None)
@given(st.lists(pairs(), min_size=1, max_size=5))
def test_plain_chat_is_not_suspected(rows: list[dict[str, Any]]) -> None:
    """Valid rows of plain chat never go through pydantic: that is where the speed comes from."""
    df = pl.DataFrame(rows, schema_overrides={"margin": pl.Float64, "p_chosen": pl.Float64}).select(
        "prompt", "chosen", "rejected", "margin"
    )
    assert not suspects(df, "pair").any()


def test_null_turns_are_found() -> None:
    df = pl.DataFrame(
        {
            "prompt": [None, [{"role": None, "content": "x"}], [None]],
            "chosen": [[{"role": "assistant", "content": None}]] * 3,
            "rejected": [None] * 3,
        },
        schema={"prompt": T, "chosen": T, "rejected": T},
    )
    assert sorted({p.row for p in problems(df, "pair")}) == [0, 1, 2]


JSON_LIKE = st.lists(
    st.sampled_from(["{", "}", '"a"', '"', ":", ",", "1", "-", "01", "1.5", ".", "true", "null", "NaN", "\\", "\n", "\x7f", "é", "[", "]"]),
    max_size=9,
).map("".join)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        JSON_LIKE | st.dictionaries(st.text(max_size=3), st.none() | st.integers() | st.floats() | st.text(max_size=3)).map(json.dumps),
        max_size=8,
    )
)
@example(['{"a":1,"b":"x","c":null,"d":true,"e":-1.5}', '{"a":1,}', '{"a":01}', '{"a":1}\n', '{"a":"\n"}', "{}"])
def test_meta_that_needs_no_parser_is_json(texts: list[str]) -> None:
    """The columnar test passes only what the model passes."""
    bad = _json_suspects(pl.Series("meta", texts, pl.String))
    for text, suspected in zip(texts, bad, strict=True):
        if not suspected:
            json_text(text)


def test_only_the_rows_asked_about_have_problems() -> None:
    turn = [{"role": "user", "content": "q"}]
    df = pl.DataFrame({"prompt": [turn] * 3, "chosen": [[]] * 3, "rejected": [[]] * 3}, schema={"prompt": T, "chosen": T, "rejected": T})
    among = np.array([False, True, False])
    assert {p.row for p in problems(df, "pair", among)} == {1}
