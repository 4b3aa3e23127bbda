"""Parquet and Arrow files: a shard is a run of row groups or a record batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from prefdata.errors import InputError
from prefdata.io.plan import Shard
from prefdata.io.sniff import Input


def arrow_schema(inp: Input) -> Any:
    """The file's Arrow schema. Raises InputError for a broken or cut file, and for one in which two columns have the same name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.ParquetFile(inp.path).schema_arrow if inp.format == "parquet" else _reader(inp).schema
    except (pa.ArrowException, OSError) as e:
        raise InputError(f"{inp.name}: not a readable {inp.format} file ({e})") from None
    twice = sorted({n for n in schema.names if schema.names.count(n) > 1})
    if twice:
        raise InputError(f"{inp.name}: the column {twice[0]!r} occurs twice")
    return schema


def _reader(inp: Input) -> Any:
    import pyarrow as pa

    source = pa.memory_map(inp.path)
    return pa.ipc.open_file(source) if inp.head.startswith(b"ARROW1") else pa.ipc.open_stream(source)


def columnar_shards(inp: Input, size: int) -> Iterator[Shard]:
    """Runs of row groups of about `size` unpacked bytes, or single record batches."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if inp.format == "parquet":
            metadata = pq.ParquetFile(inp.path).metadata
            sizes = [metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)]
        else:
            reader = _reader(inp)
            sizes = [size] * (reader.num_record_batches if hasattr(reader, "num_record_batches") else 1)
    except (pa.ArrowException, OSError) as e:
        raise InputError(f"{inp.name}: not a readable {inp.format} file ({e})") from None
    start = index = held = 0
    for i, one in enumerate(sizes):
        if held and held + one > size:
            yield Shard(inp, index, start=start, end=i, unit="row", packed=inp.size * (i - start) // len(sizes))
            start, index, held = i, index + 1, 0
        held += one
    if sizes:
        yield Shard(inp, index, start=start, end=len(sizes), unit="row", packed=inp.size * (len(sizes) - start) // len(sizes))


def read_table(shard: Shard, names: list[str] | None = None) -> pl.DataFrame:
    """The shard's rows, of these columns only (all if there are none), with every string checked to be UTF-8. Raises InputError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    inp = shard.input
    wanted = [n for n in arrow_schema(inp).names if not names or n in names]
    try:
        if inp.format == "parquet":
            file = pq.ParquetFile(inp.path, pre_buffer=False)  # buffering ahead is for object stores: here it costs a copy
            table = file.read_row_groups(range(shard.start, shard.end), columns=wanted, use_threads=False)
        else:
            reader = _reader(inp)
            batched = hasattr(reader, "get_batch")
            table = pa.Table.from_batches([reader.get_batch(shard.start)]) if batched else reader.read_all()
            table = table.select(wanted)
        table.validate(full=True)
    except (pa.ArrowException, OSError) as e:
        raise InputError(f"{inp.name}: part {shard.index + 1} cannot be read ({e})") from None
    if not wanted:  # rows without any of the columns are rows
        return pl.DataFrame({"": pl.repeat(None, table.num_rows, eager=True)})
    return pl.DataFrame([_series(inp, name, table.column(name)) for name in table.column_names])


def _series(inp: Input, name: str, values: Any) -> pl.Series:
    try:
        if _panics(values.type):
            raise TypeError
        return pl.Series(name, pl.from_arrow(values))
    except (pl.exceptions.PanicException, pl.exceptions.PolarsError, TypeError, ValueError):
        raise InputError(f"{inp.name}: the column {name!r} has a type that cannot be read ({values.type})") from None


def dtypes(inp: Input) -> dict[str, pl.DataType]:
    """The file's columns with their dtypes; a column of a type that polars does not have is Unknown."""
    out: dict[str, pl.DataType] = {}
    for field in arrow_schema(inp):
        try:
            if _panics(field.type):
                raise TypeError
            out[field.name] = pl.Series(pl.from_arrow(_empty(field.type))).dtype
        except (pl.exceptions.PanicException, pl.exceptions.PolarsError, NotImplementedError, TypeError, ValueError):
            out[field.name] = pl.Unknown()
    return out


def _panics(dtype: Any) -> bool:
    """Whether polars panics on the type (with a message on stderr) instead of raising: 256-bit decimals, at any depth."""
    import pyarrow as pa

    return pa.types.is_decimal256(dtype) or any(_panics(dtype.field(i).type) for i in range(dtype.num_fields))


def _empty(dtype: Any) -> Any:
    import pyarrow as pa

    return pa.chunked_array([], type=dtype)
