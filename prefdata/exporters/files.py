"""Rows to the files of a folder: one file per split, cut into parts where a target takes only so many bytes."""

from __future__ import annotations

import os
from typing import Any

import polars as pl

from prefdata.exporters.target import Form, Part
from prefdata.io import parquet
from prefdata.io.write import HashedFile, encode, sync, to_arrow

BOM = b"\xef\xbb\xbf"
FORMULA = r"^[=+\-@\t\r]"
"""How a spreadsheet recognises a formula; such a cell gets a quote in front (OWASP, CSV injection)."""


def encoded(df: pl.DataFrame, form: Form) -> Any:
    """Rows as the writer appends them: a part of a Parquet file, or lines, each with its end. A frame with the one column `_json` has
    ready JSON texts."""
    if form.file == "parquet":
        return parquet.part(to_arrow(df))
    if df.columns == ["_json"]:
        return "\n".join([*df["_json"], ""]).encode()
    if form.file == "csv":
        safe = [pl.when(pl.col(c).str.contains(FORMULA)).then("'" + pl.col(c)).otherwise(pl.col(c)).alias(c) for c in _texts(df)]
        return df.with_columns(safe).write_csv(include_header=False).encode()
    return encode(df, "jsonl")


def _texts(df: pl.DataFrame) -> list[str]:
    return [c for c, t in df.schema.items() if isinstance(t, pl.String)]


class Files:
    """The files of one export. `header` is the first line of a CSV file; `schema` the Arrow schema of Parquet files."""

    def __init__(self, folder: str, form: Form, part_bytes: int | None, empty: pl.DataFrame) -> None:
        self.folder = folder
        self.form = form
        self.part_bytes = part_bytes
        self.empty = empty
        self.parts: dict[str, list[_File]] = {}

    def append(self, split: str, data: Any, rows: int) -> None:
        """Append encoded rows to the current part of a split."""
        if not rows:
            return
        split = self.form.splits.get(split, split)  # two splits of one name share a file
        parts = self.parts.setdefault(split, [])
        size = data.nbytes if self.form.file == "parquet" else len(data)
        full = parts and self.part_bytes is not None and parts[-1].bytes + size > self.part_bytes
        if full or not parts:
            if full:
                parts[-1].close()
            parts.append(_File(os.path.join(self.folder, f".{split}-{len(parts)}"), self.form, self.empty))
        parts[-1].append(data, rows)

    def close(self) -> list[Part]:
        """Finish all files and give them their names. Splits that got no rows have no file."""
        out = []
        for split, parts in self.parts.items():
            for i, part in enumerate(parts):
                part.close()
                path = self._name(split, i, len(parts))
                os.makedirs(os.path.dirname(os.path.join(self.folder, path)) or self.folder, exist_ok=True)
                os.replace(part.path, os.path.join(self.folder, path))
                sync(os.path.join(self.folder, path))
                out.append(Part(path, split, part.rows, os.path.getsize(os.path.join(self.folder, path)), part.sha256))
        return out

    def _name(self, split: str, i: int, n: int) -> str:
        if self.form.file == "parquet":
            return f"data/{split}-{i:05d}-of-{n:05d}.parquet"
        return f"{split}.{self.form.file}" if n == 1 else f"{split}-{i + 1:03d}-of-{n:03d}.{self.form.file}"


class _File:
    """One file that grows."""

    def __init__(self, path: str, form: Form, empty: pl.DataFrame) -> None:
        self.path, self.form, self.rows = path, form, 0
        self._file = HashedFile(path)
        self._parquet = parquet.ParquetFile(self._file, parquet.part(to_arrow(empty))) if form.file == "parquet" else None
        if form.file == "csv":
            self._file.write(empty.write_csv().encode())
        elif form.bom:
            self._file.write(BOM)

    @property
    def bytes(self) -> int:
        return self._file.tell()

    @property
    def sha256(self) -> str:
        return self._file.digest.hexdigest()

    def append(self, data: Any, rows: int) -> None:
        if self._parquet is not None:
            self._parquet.append(data)
        elif self.form.file == "json":
            self._file.write((b",\n" if self.rows else b"[\n") + data[:-1].replace(b"\n", b",\n"))
        else:
            self._file.write(data)
        self.rows += rows

    def close(self) -> None:
        if self._file.closed:
            return
        if self._parquet is not None:
            self._parquet.close()
        if self.form.file == "json":
            self._file.write(b"\n]\n")
        self._file.close()
