"""`prefdata validate --fix`: a new file without the damage that can be repaired safely, and an account of what was done.

Safe means that no reader can want it otherwise: an id is made anew from the content, the second of two equal records is dropped, control
and hidden characters are taken out of texts. Rows that are no records go to the rejects file; everything else is for people to decide.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl

from prefdata.checks.characters import RTL, SPACELESS
from prefdata.checks.options import ValidateOptions
from prefdata.errors import UsageError
from prefdata.io import account
from prefdata.io.account import Counts
from prefdata.io.columns import as_dtype
from prefdata.io.open import opened
from prefdata.io.own import own_file
from prefdata.io.plan import plan
from prefdata.io.rejects import Reject, RejectsFile, to_jsonl
from prefdata.io.write import Writer, encode, file_format, replacing
from prefdata.schema.dtypes import in_order
from prefdata.schema.ids import add_ids
from prefdata.schema.valid import problems
from prefdata.sources.intake import Intake, intake, read_rows
from prefdata.version import __version__

TEXT: dict[str, tuple[str, str | None]] = {
    "PD107": (r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", None),
    "PD114": (r"[\x{AD}\x{200B}\x{2060}-\x{2064}\x{FEFF}\x{202A}-\x{202E}\x{2066}-\x{2069}]", f"{RTL}|{SPACELESS}"),
}
"""Characters that are taken out of every text, by the rule that finds them, but for texts in scripts that need them. U+FFFD stays: nobody
knows what stood there."""

FIXED = (*TEXT, "PD006", "PD106", "PD109")
"""The rules whose findings --fix repairs."""


@dataclass
class FixResult:
    """What was repaired: `counts` is in input rows, `fixed` in rows by rule."""

    out: str
    kind: str
    counts: dict[str, Any]
    fixed: dict[str, int] = field(default_factory=dict)
    rejects: str | None = None
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """1 when rows were rejected, else 0."""
        return 1 if self.counts["rejected"] else 0

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "exit_code": self.exit_code}

    def lines(self) -> list[str]:
        """The account in words."""
        out = [f"{self.out}: {self.counts['kept']:,} {self.kind} records"]
        out += account.row_lines(self.counts, str, str)
        out += [f"    repaired {n:,}: {code}" for code, n in self.fixed.items()]
        return [*out, f"  rejected rows are in {self.rejects}"] if self.rejects else out


def fix(
    data: list[str] | str, out: str, options: ValidateOptions | None = None, progress: Callable[[int, int, int], None] | None = None
) -> FixResult:
    """Write the records of one prefdata file to a new file, repaired. Raises UsageError and InputError; then `out` is as it was before."""
    options = options or ValidateOptions()
    started = time.monotonic()
    form = file_format(out)
    rejects = f"{out}.rejects.jsonl"
    with opened([data] if isinstance(data, str) else data) as files:
        if len(files) != 1:
            raise UsageError(f"--fix repairs one file at a time, not {len(files)}")
        inp = files[0]
        if os.path.realpath(inp.path) == os.path.realpath(out):
            raise UsageError(f"{out} is the input; --fix writes a new file")
        kind = own_file(inp, options.kind).kind  # other files: convert them, which makes records of them
        how = intake(inp, options.model_copy(update={"from_": f"prefdata-{kind}"}))
        counts, fixed, seen = Counts(), Counter[str](), np.zeros(0, dtype=np.uint64)
        with replacing(out) as good, RejectsFile(rejects) as bad:
            writer = Writer(good, form, encode(_schema(how, kind), form))
            try:
                line, done = 1, 0
                for shard in plan(inp):
                    batch = read_rows(shard, how.source, how.layout)
                    records, lost = _repaired(batch.df, kind, fixed)
                    invalid = [Reject(batch.line_of(i), *why, batch.raw(i)) for i, why in lost.items()]
                    fresh, seen = _fresh(records, seen)
                    writer.append(encode(records.filter(pl.Series(fresh)), form))
                    refused = sorted([*batch.rejects, *invalid], key=lambda r: r.line)
                    bad.write(to_jsonl(refused, inp.name, shard.unit, line))
                    counts.read += batch.read
                    counts.kept += int(fresh.sum())
                    counts.dropped.update({"PD106": int((~fresh).sum())} if not fresh.all() else {})
                    counts.rejected.update(r.code for r in refused)
                    line, done = line + batch.line_count, done + shard.packed
                    if progress:
                        progress(done, inp.size, counts.read)
                counts.check()
            finally:
                writer.close()
        fixed.update({"PD006": 1} if inp.head.startswith(b"\xef\xbb\xbf") else {})
        seconds = round(time.monotonic() - started, 3)
        found = FixResult(out, kind, counts.as_dict(), dict(sorted(fixed.items())), rejects if counts.rejected else None, seconds)
        account.write_manifest(out, _manifest(found, inp.name, account.sha256_of(inp.path), writer.sha256))
    return found


def _schema(how: Intake, kind: str) -> pl.DataFrame:
    """An empty frame of the output's columns."""
    empty = pl.DataFrame(schema=how.layout.dtypes).drop(how.source.late).drop("id", strict=False)
    return _ordered(add_ids(empty, kind))


def _ordered(df: pl.DataFrame) -> pl.DataFrame:
    return df.select(in_order(df.columns))


def _repaired(df: pl.DataFrame, kind: str, fixed: Counter[str]) -> tuple[pl.DataFrame, dict[int, tuple[str, str, str]]]:
    """Sound records with true ids, and why the others are refused (code, words, field); `fixed` counts the repairs."""
    stated = df["id"] if "id" in df.columns else pl.Series("id", [None] * df.height, dtype=pl.String)
    df = df.drop("id", strict=False)
    df, changed = _cleaned(df, fixed)
    lost: dict[int, tuple[str, str, str]] = {}
    for p in problems(df, kind):
        lost.setdefault(p.row, (p.code, p.message, p.field))
    sound = np.ones(df.height, dtype=bool)
    sound[list(lost)] = False
    records = _ordered(add_ids(df.filter(pl.Series(sound)), kind))
    old = stated.filter(pl.Series(sound))
    stale = ((old != records["id"]) & ~pl.Series(changed[sound])).fill_null(False).sum()
    fixed.update({"PD109": int(stale)} if stale else {})
    return records, lost


def _cleaned(df: pl.DataFrame, fixed: Counter[str]) -> tuple[pl.DataFrame, np.ndarray[Any, np.dtype[np.bool_]]]:
    """The frame with clean texts, and which rows were changed."""
    changed = np.zeros(df.height, dtype=bool)
    turns = [c for c, t in df.schema.items() if c in ("prompt", "chosen", "rejected", "completion", "completions")]
    for code, (pattern, unless) in TEXT.items():
        found = df.select(pl.any_horizontal(_texts(c).str.contains(pattern) for c in turns).fill_null(False).alias("f"))["f"]
        if found.any():
            clean = df.with_columns(_mapped(c, df.schema[c], pattern, unless) for c in turns)
            dirty = pl.any_horizontal(pl.col(c).ne_missing(clean[c]) for c in turns)
            now = df.select(dirty.alias("d"))["d"].to_numpy()
            fixed.update({code: int(now.sum())} if now.any() else {})
            changed |= now
            df = clean
    return df, changed


def _texts(column: str) -> pl.Expr:
    """All texts of a column of turns (or of candidates) of a row as one."""
    content = pl.element().struct.field("content")
    if column == "completions":
        joined = pl.element().struct.field("messages").list.eval(content).list.join("\n")
        return pl.col(column).list.eval(joined).list.join("\n")
    return pl.col(column).list.eval(content).list.join("\n")


def _mapped(column: str, dtype: pl.DataType, pattern: str, unless: str | None) -> pl.Expr:
    content = pl.field("content")
    text = content.str.replace_all(pattern, "")
    if unless:
        text = pl.when(content.str.contains(unless)).then(content).otherwise(text).alias("content")
    clean = pl.element().struct.with_fields(text)
    if column == "completions":
        messages = pl.field("messages").list.eval(clean)
        return as_dtype(pl.col(column).list.eval(pl.element().struct.with_fields(messages)), dtype, dtype)
    return pl.col(column).list.eval(clean)


def _fresh(records: pl.DataFrame, seen: Any) -> tuple[Any, Any]:
    """Which records do not occur before, in this shard or an earlier one, by the first 64 bits of their ids."""
    keys = records["id"].str.head(16).str.to_integer(base=16, dtype=pl.UInt64).to_numpy()
    fresh = records["id"].is_first_distinct().to_numpy() & ~np.isin(keys, seen)
    return fresh, np.concatenate([seen, keys[fresh]])


def _manifest(found: FixResult, name: str, before: str, after: str) -> dict[str, Any]:
    return {
        "command": "validate --fix",
        "version": __version__,
        "kind": found.kind,
        "inputs": [{"path": name, "sha256": before}],
        "output": {"path": os.path.basename(found.out), "bytes": os.path.getsize(found.out), "sha256": after},
        "rejects": found.rejects,
        "counts": found.counts,
        "fixed": found.fixed,
        "seconds": found.seconds,
    }
