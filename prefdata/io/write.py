"""Records to a file that appears whole or not at all: written under a temporary name beside the target, synced, renamed."""

from __future__ import annotations

import hashlib
import io
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from prefdata.errors import InputError, UsageError
from prefdata.io.held import held

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from prefdata.io.parquet import ParquetFile

BEHIND = 8 * 1024 * 1024
"""Bytes after which the system is told to begin writing to the disk."""


def file_format(path: str) -> str:
    """`parquet`, `jsonl`, `jsonl.gz` or `jsonl.zst`, from the name of an output."""
    name = path.lower()
    if path == "-" or name.endswith((".jsonl", ".ndjson")):
        return "jsonl"
    for suffix in ("parquet", "jsonl.gz", "jsonl.zst"):
        if name.endswith("." + suffix):
            return suffix
    raise UsageError(f"{path}: the name of an output ends in .parquet, .jsonl, .jsonl.gz or .jsonl.zst (or is - for stdout)")


@contextmanager
def replacing(path: str) -> Iterator[str]:
    """A temporary path that becomes `path` when the block ends well and is removed when it does not. Raises InputError when it cannot be
    written, UsageError when another process is writing it."""
    folder = os.path.dirname(path) or "."
    temporary = os.path.join(folder, f".{os.path.basename(path)}.tmp")
    try:
        with held(temporary, f"{path}: another prefdata is writing this file"):
            yield temporary
            sync(temporary)
            os.replace(temporary, path)
            sync(folder)
    except BrokenPipeError:
        raise
    except OSError as e:
        if not os.path.isdir(folder):
            raise InputError(
                f"{path}: cannot be written, there is no folder {folder}; make it first: mkdir -p {shlex.quote(folder)}"
            ) from None
        raise InputError(f"{path}: cannot be written ({e.strerror or e}); what was there before is unchanged") from None


def sync(path: str) -> None:
    """Make sure that a file's bytes (a folder's names) are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def plain_type(dtype: Any) -> Any:
    """The Arrow type with string and list in place of large_string and large_list: with the large ones `datasets` cannot concatenate
    the file with others, and Spark refuses it."""
    import pyarrow as pa

    if pa.types.is_large_list(dtype) or pa.types.is_list(dtype):
        return pa.list_(plain_type(dtype.value_type))
    if pa.types.is_struct(dtype):
        return pa.struct([(f.name, plain_type(f.type)) for f in dtype])
    return pa.string() if pa.types.is_large_string(dtype) else dtype


def to_arrow(df: pl.DataFrame, arrow: Mapping[str, pa.Array] | None = None) -> pa.Table:
    """A frame as a table of plain types, in one chunk: the Parquet writer begins a page at every chunk, and bytes must not depend on
    how the rows were read. `arrow` has columns that are Arrow arrays already."""
    import polars as pl
    import pyarrow as pa

    given = arrow or {}
    made = df.select(pl.exclude(list(given))).rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    columns = {name: given[name] if name in given else made.column(name) for name in df.columns}
    return pa.table({name: column.cast(plain_type(column.type)) for name, column in columns.items()})


def encode(df: pl.DataFrame, form: str, arrow: Mapping[str, pa.Array] | None = None) -> Any:
    """What a worker hands to the writer: a part of a Parquet file, or the bytes of JSON lines. `arrow` as `to_arrow` takes it."""
    if form == "parquet":
        from prefdata.io.parquet import part

        return part(to_arrow(df, arrow))
    parts = _Parts()  # not write_ndjson() to a text: that decodes and encodes everything once more; nor BytesIO, which copies it
    df.write_ndjson(parts)  # type: ignore[call-overload]
    return b"".join(parts)


class _Parts(list[bytes]):
    """A file for polars, which writes everything at once."""

    def write(self, data: bytes) -> int:
        self.append(data)
        return len(data)


class HashedFile(io.RawIOBase):
    """A file that is only appended to, and its SHA-256 as it grows."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - closed by close()
        self.digest = hashlib.sha256()
        self._begun = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self.digest.update(view)
        done = 0
        while done < len(view):  # a raw file may take less than it is given
            done += self._file.write(view[done:]) or 0
        self._begin()
        return done

    def _begin(self) -> None:
        """Have Linux write what is dirty while there is more to do, so that the sync at the end does not wait for all of it."""
        fresh = self.tell() - self._begun
        if fresh >= BEHIND and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file.fileno(), self._begun, fresh, os.POSIX_FADV_DONTNEED)
            self._begun += fresh

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


class Writer:
    """Appends encoded shards, in the order given, to one file. `sha256` is the file's, once it is closed."""

    def __init__(self, path: str, form: str, empty: Any) -> None:
        self._parquet: ParquetFile | None = None
        self._stream: Any = None
        self._raw = HashedFile(path)
        if form == "parquet":
            from prefdata.io.parquet import ParquetFile

            self._parquet = ParquetFile(self._raw, empty)
        else:
            import pyarrow as pa

            codec = {"jsonl": None, "jsonl.gz": "gzip", "jsonl.zst": "zstd"}[form]
            self._stream = pa.CompressedOutputStream(pa.PythonFile(self._raw, mode="w"), codec) if codec else self._raw

    def append(self, encoded: Any) -> None:
        if self._parquet is None:
            self._stream.write(encoded)
        else:
            self._parquet.append(encoded)

    def close(self) -> None:
        if self._raw.closed:
            return
        if self._parquet is not None:
            self._parquet.close()
        if self._stream is not None:
            self._stream.close()
        self._raw.close()

    @property
    def sha256(self) -> str:
        return self._raw.digest.hexdigest()
