"""A Parquet file made by several threads: each encodes the row groups of its shard, and they are put one behind the other. pyarrow's writer
does one file on one thread, which is slower than everything else that a conversion does.

Only the footer is new: the places of the pages are counted from the file's start, so they move. The result is, byte for byte, what one
writer of pyarrow makes of the same tables (tests/io/test_parquet.py). Footer: https://github.com/apache/parquet-format, parquet.thrift.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from prefdata.io.thrift import LIST, STRUCT, Reader, Struct, packed

ROW_GROUP = 20_000
MAGIC = b"PAR1"
_LOW_CARDINALITY = ("role", "source", "split")
_ROWS, _ROW_GROUPS = 3, 4
"""Fields of FileMetaData."""
_COLUMNS, _OFFSET, _ORDINAL = 1, 5, 7
"""Fields of RowGroup."""
_CHUNK_OFFSET, _META_DATA = 2, 3
"""Fields of ColumnChunk; the next are fields of its ColumnMetaData: where the first data, index and dictionary page begin."""
_PAGE_OFFSETS = (9, 10, 11)


class Part(NamedTuple):
    """The row groups of a table, encoded, and the footer of a file that holds them alone."""

    pages: Any
    footer: Struct

    @property
    def num_rows(self) -> int:
        rows: int = self.footer[_ROWS][1]
        return rows

    @property
    def nbytes(self) -> int:
        """Bytes that the part takes in a file, without its share of the footer."""
        return len(self.pages)


class Sink(Protocol):
    """Where a file's bytes go."""

    def write(self, data: Any) -> int: ...
    def tell(self) -> int: ...


def part(table: pa.Table) -> Part:
    """Encode a table: the work of a thread."""
    sink = pa.BufferOutputStream()
    with parquet_writer(sink, table.schema) as writer:
        if table.num_rows:
            writer.write_table(table, row_group_size=ROW_GROUP)
    data = memoryview(sink.getvalue())
    end = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    return Part(data[len(MAGIC) : end], Reader(bytes(data[end:-8])).struct())


class ParquetFile:
    """Puts parts one behind the other. `empty` is a part without rows; it has the schema."""

    def __init__(self, sink: Sink, empty: Part) -> None:
        self._sink = sink
        self._footer = empty.footer
        self._rows = 0
        self._row_groups: list[Struct] = []
        sink.write(MAGIC)

    def append(self, part: Part) -> None:
        if part.num_rows:
            moved = self._sink.tell() - len(MAGIC)
            self._sink.write(part.pages)
            self._rows += part.num_rows
            for group in part.footer[_ROW_GROUPS][1][1]:
                _move(group, moved, len(self._row_groups))
                self._row_groups.append(group)

    def close(self) -> None:
        """Write the footer."""
        self._footer[_ROWS] = (self._footer[_ROWS][0], self._rows)
        self._footer[_ROW_GROUPS] = (LIST, (STRUCT, self._row_groups))
        footer = packed(self._footer)
        self._sink.write(footer + len(footer).to_bytes(4, "little") + MAGIC)


def _move(group: Struct, by: int, ordinal: int) -> None:
    """A row group's places in a file in which its first page begins so many bytes further on."""
    _add(group, _OFFSET, by)
    if _ORDINAL in group:
        group[_ORDINAL] = (group[_ORDINAL][0], ordinal)
    for chunk in group[_COLUMNS][1][1]:
        _add(chunk, _CHUNK_OFFSET, by)
        for field in _PAGE_OFFSETS:
            _add(chunk[_META_DATA][1], field, by)


def _add(struct: Struct, field: int, by: int) -> None:
    if field in struct and struct[field][1]:  # 0 says that there is none
        struct[field] = (struct[field][0], struct[field][1] + by)


def parquet_writer(target: Any, schema: pa.Schema) -> pq.ParquetWriter:
    """zstd level 3. Dictionaries and statistics only where values repeat: on texts they cost time and save nothing."""
    repeated = [leaf for leaf in _leaves(schema) if leaf.split(".")[-1] in _LOW_CARDINALITY]
    return pq.ParquetWriter(target, schema, compression="zstd", compression_level=3, use_dictionary=repeated, write_statistics=repeated)


def _leaves(schema: pa.Schema) -> list[str]:
    """Paths of the leaf columns as the Parquet writer names them."""

    def walk(prefix: str, dtype: Any) -> Iterator[str]:
        if pa.types.is_list(dtype):
            yield from walk(f"{prefix}.list.element", dtype.value_type)
        elif pa.types.is_struct(dtype):
            for f in dtype:
                yield from walk(f"{prefix}.{f.name}", f.type)
        else:
            yield prefix

    return [leaf for f in schema for leaf in walk(f.name, f.type)]
