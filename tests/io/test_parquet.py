"""Parquet files put together from parts are what pyarrow's own writer makes, byte for byte."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefdata.io import parquet, thrift
from prefdata.io.parquet import ParquetFile, parquet_writer, part

TURNS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
SCHEMA = pa.schema({"id": pa.string(), "prompt": TURNS, "margin": pa.float64(), "label": pa.bool_(), "source": pa.string()})

text = st.text(max_size=8)
turns = st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": text}), max_size=3)
row = st.fixed_dictionaries(
    {
        "id": text,
        "prompt": st.none() | turns,
        "margin": st.none() | st.floats(allow_nan=False),
        "label": st.none() | st.booleans(),
        "source": st.sampled_from(["a", "b", None]),
    }
)


def together(tables: list[pa.Table]) -> bytes:
    sink = io.BytesIO()
    file = ParquetFile(sink, part(tables[0].slice(0, 0)))
    for table in tables:
        file.append(part(table))
    file.close()
    return sink.getvalue()


def by_pyarrow(tables: list[pa.Table]) -> bytes:
    sink = io.BytesIO()
    with parquet_writer(sink, tables[0].schema) as writer:
        for table in tables:
            if table.num_rows:
                writer.write_table(table, row_group_size=parquet.ROW_GROUP)
    return sink.getvalue()


@given(st.lists(st.lists(row, max_size=5), min_size=1, max_size=5))
def test_bytes_are_those_of_one_writer(shards: list[list[dict[str, object]]]) -> None:
    tables = [pa.Table.from_pylist(rows, SCHEMA) for rows in shards]
    assert together(tables) == by_pyarrow(tables)


def test_several_row_groups_in_a_part_and_many_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """More than 15 row groups (another form of list header) and more than 127 (another form of numbers)."""
    monkeypatch.setattr(parquet, "ROW_GROUP", 7)
    tables = [pa.table({"n": list(range(40 * k, 40 * k + 40)), "source": ["s"] * 40}) for k in range(30)]
    data = together(tables)
    assert data == by_pyarrow(tables)
    (tmp_path / "x.parquet").write_bytes(data)
    assert pq.ParquetFile(tmp_path / "x.parquet").metadata.num_row_groups == 180
    assert pl.read_parquet(tmp_path / "x.parquet")["n"].to_list() == list(range(1200))
    assert pq.ParquetFile(tmp_path / "x.parquet").read_row_group(150)["n"].to_pylist() == list(range(1000, 1007))


def test_a_file_without_rows() -> None:
    empty = SCHEMA.empty_table()
    assert together([empty, empty]) == by_pyarrow([empty])
    assert pq.read_table(io.BytesIO(together([empty]))).schema.equals(SCHEMA)


@pytest.mark.parametrize("n", [0, 1, -1, 63, 64, -64, -65, 127, 128, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)])
def test_thrift_numbers(n: int) -> None:
    """Zigzag: 0, -1, 1, -2 are 0, 1, 2, 3."""
    struct: thrift.Struct = {
        1: (thrift.I64, n),
        40: (thrift.LIST, (thrift.I32, [n] * 20)),
        41: (thrift.TRUE, True),
        42: (thrift.FALSE, False),
    }
    assert thrift.Reader(thrift.packed(struct)).struct() == struct
    assert thrift.packed({1: (thrift.I32, -1)}) == bytes([0x15, 0x01, 0])
    assert thrift.packed({1: (thrift.I32, 150)}) == bytes([0x15, 0xAC, 0x02, 0])


def test_thrift_types_that_no_footer_has() -> None:
    with pytest.raises(ValueError, match="thrift type 11"):
        thrift.Reader(bytes([0x1B, 0x00, 0])).struct()
