"""Inputs to shards. A plan depends on the inputs and the shard size only: never on threads, cores or time, so that the output
is the same whatever runs it.

Plain JSON lines are cut into byte ranges that end at a newline and Parquet into row groups; whoever runs the shard reads them.
Compressed files, CSV and JSON arrays can only be read from the front: their shards carry the unpacked rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Literal

from prefdata.errors import InputError
from prefdata.io.sniff import Input, open_bytes, stamp_of, unpacked

if TYPE_CHECKING:
    import polars as pl

    from prefdata.io.rejects import Reject

SHARD_BYTES = 16 * 1024 * 1024
MAX_LINE = 64 * 1024 * 1024
BOMB_RATIO, BOMB_BYTES = 250, 1 << 30
"""A file that unpacks to over 1 GiB and 250 times its size is refused (text packs 3 to 30 times)."""


@dataclass(frozen=True)
class Shard:
    """A run of whole rows of one file: a byte range, a row group, unpacked JSON lines or parsed cells."""

    input: Input
    index: int
    start: int = 0
    end: int = 0
    data: bytes | None = None
    cells: pl.DataFrame | None = None
    lines: tuple[int, ...] | None = None
    """The line of the file on which each row begins, where rows are not lines (cells, elements of an array)."""
    rejects: tuple[Reject, ...] = ()
    """Rows that could not be cut out at all (bad quoting, wrong number of cells)."""
    unit: Literal["line", "row"] = "line"
    packed: int = 0
    """Bytes of the file that this shard stands for: what the progress bar counts."""


def plan(inp: Input, shard_bytes: int = SHARD_BYTES) -> Iterator[Shard]:
    """The shards of one input, in order."""
    if inp.format == "jsonl":
        return byte_ranges(inp, shard_bytes) if inp.codec == "none" else blocks(inp, shard_bytes)
    if inp.format == "json":
        from prefdata.io.json_array import array_shards

        return array_shards(inp, shard_bytes)
    if inp.format == "csv":
        from prefdata.io.delimited import delimited_shards

        return delimited_shards(inp, shard_bytes)
    if inp.format in ("parquet", "arrow"):
        from prefdata.io.columnar import columnar_shards

        return columnar_shards(inp, shard_bytes)
    return iter([Shard(inp, 0, data=whole(inp), unit="row", packed=inp.size)])


def byte_ranges(inp: Input, size: int) -> Iterator[Shard]:
    """Ranges of about `size` bytes, smaller towards the end so that no core waits for the last one, each ending behind a newline (or
    at the end of the file)."""
    with open_bytes(inp.path) as f:
        start, index = 0, 0
        while start < inp.size:
            end = start + min(size, max(size // 4, (inp.size - start) // 3))
            if end < inp.size:
                f.seek(end - 1)
                end = _behind_newline(f, end - 1)
            end = min(end, inp.size)
            yield Shard(inp, index, start, end, packed=end - start)
            start, index = end, index + 1


def _behind_newline(f: BinaryIO, position: int) -> int:
    while chunk := f.read(1 << 16):
        cut = chunk.find(b"\n")
        if cut >= 0:
            return position + cut + 1
        position += len(chunk)
    return position


def read_range(shard: Shard) -> bytes | memoryview:
    """The bytes of a shard. Of a range that holds a line beyond MAX_LINE, enough to see that it does.

    A range is mapped, not copied: the system would have to clear every page of a buffer of this size. So what is read must be checked
    with `still_the_same` before it is used, and a process that cuts off a file while it is read ends this one (SIGBUS)."""
    if shard.data is not None:
        return shard.data
    import pyarrow as pa

    try:
        with pa.memory_map(shard.input.path) as f:
            f.seek(shard.start)
            return memoryview(f.read_buffer(min(shard.end - shard.start, SHARD_BYTES + 2 * MAX_LINE))).cast("B")
    except OSError as e:
        raise InputError(f"{shard.input.name}: cannot be read ({e.strerror or e})") from None


def still_the_same(inp: Input) -> None:
    """Raises InputError for a file that has changed since it was opened."""
    try:
        same = stamp_of(inp.path) == inp.stamp
    except OSError:
        same = False
    if not same:
        raise InputError(f"{inp.name}: the file was changed while it was read; copy it, then use the copy")


def unpacked_chunks(inp: Input, size: int) -> Iterator[tuple[bytes, int]]:
    """`(unpacked bytes, packed bytes consumed so far)`. Raises InputError for broken data, a cut file and a bomb."""
    with open_bytes(inp.path) as raw:
        stream = unpacked(raw, inp.codec)
        total = 0
        while True:
            try:
                chunk = stream.read(size)
                position = raw.tell()
            except OSError as e:
                raise InputError(f"{inp.name}: the {inp.codec} data is broken or cut off after {total:,} unpacked bytes ({e})") from None
            if not chunk:
                return
            total += len(chunk)
            if inp.codec != "none" and total > BOMB_BYTES and total > BOMB_RATIO * position:
                raise InputError(
                    f"{inp.name}: unpacks to more than {BOMB_RATIO} times its size, which no text does (a decompression bomb?)"
                )
            yield chunk, position


def blocks(inp: Input, size: int) -> Iterator[Shard]:
    """Unpacked runs of about `size` bytes, each ending behind a newline (or at the end of the data)."""
    pending: list[bytes] = []
    held = index = seen = 0
    position = 0
    for chunk, position in unpacked_chunks(inp, 1 << 20):
        cut = chunk.rfind(b"\n") + 1 if held + len(chunk) >= size else 0
        if cut:
            yield Shard(inp, index, data=b"".join([*pending, chunk[:cut]]), packed=position - seen)
            pending, held, index, seen = [chunk[cut:]], len(chunk) - cut, index + 1, position
        elif held <= size + MAX_LINE:  # what goes on beyond is one line that is too long: it is known by its beginning
            pending.append(chunk)
            held += len(chunk)
    if held:
        yield Shard(inp, index, data=b"".join(pending), packed=inp.size - seen)


def whole(inp: Input) -> bytes:
    """All bytes of a file that only a source's own parser understands (XML) or that cannot be cut (a JSON array)."""
    return b"".join(chunk for chunk, _ in unpacked_chunks(inp, 1 << 20))
