"""`prefdata export`: records to a folder that a trainer loads, with an account of what was left out, a card and the command to run."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import polars as pl

from prefdata.errors import UsageError
from prefdata.exporters import folder, register
from prefdata.exporters.about import About, about
from prefdata.exporters.card import card
from prefdata.exporters.files import Files, encoded
from prefdata.exporters.options import ExportOptions
from prefdata.exporters.shape import lost, merged, skip
from prefdata.exporters.splits import splits_of
from prefdata.exporters.target import REASONS, Form, Part, Target, Written
from prefdata.exporters.targets import load
from prefdata.io import account, runner
from prefdata.io.account import Counts
from prefdata.io.columns import as_dtype
from prefdata.io.open import opened
from prefdata.io.own import OwnFile, own_file
from prefdata.io.plan import Shard, plan
from prefdata.io.read import read_shard
from prefdata.io.rejects import Reject, RejectsFile, to_jsonl
from prefdata.io.sniff import Input
from prefdata.schema.dtypes import schema
from prefdata.schema.valid import problems
from prefdata.sources.intake import REASONS as REASONS_OF_ROWS
from prefdata.tokens import Lens, Seen, look, open_lens
from prefdata.version import __version__

Progress = Callable[[int, int, int], None]


@dataclass
class ExportResult:
    """What was written. `counts` is in input rows; `lost` counts written rows that lost something, by what they lost."""

    out: str
    target: str
    form: str
    counts: dict[str, Any]
    files: list[dict[str, Any]]
    lost: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rejects: str | None = None
    seen: Seen | None = None
    """What the trainer's tokenizer makes of the rows (--tokenizer)."""
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """1 when rows were rejected or the target will refuse the files, else 0."""
        return 1 if self.counts["rejected"] or self.warnings or (self.seen is not None and self.seen.failed) else 0

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "seen": self.seen.as_dict() if self.seen is not None else None, "exit_code": self.exit_code}

    def lines(self) -> list[str]:
        """The account in words."""
        out = [f"{self.out}: {self.counts['kept']:,} rows for {self.target} ({self.form})"]
        out += [f"  {f['path']}: {f['rows']:,} rows" for f in self.files if f["rows"]]
        reasons = {**REASONS, **load(self.target).reasons}
        out += account.row_lines(self.counts, lambda code: f"{code}, {reasons.get(code, code)}", str)
        out += [f"  {n:,} written rows lost their {what}, for which the target has no place" for what, n in self.lost.items()]
        out += [f"  warning: {w}" for w in self.warnings]
        out += [f"  note: {n}" for n in self.notes]
        out += self.seen.lines() if self.seen is not None else []
        return [*out, f"  rejected rows are in {self.rejects}"] if self.rejects else out


@dataclass(frozen=True)
class Job:
    """Everything that a shard's export depends on besides its rows. It can be pickled."""

    file: OwnFile
    form: Form
    options: ExportOptions
    lens: Lens | None = None


@dataclass
class Done:
    """An exported shard: encoded rows by split, the books, and the unusable rows."""

    rows: dict[str, tuple[Any, int]]
    counts: Counts
    lost: Counter[str]
    seen: About
    rejects: list[Reject]
    line_count: int
    unit: str
    packed: int
    view: Seen | None = None


def export(data: list[str] | str, out: str, options: ExportOptions, progress: Progress | None = None) -> ExportResult:
    """Write records to the folder `out` for a trainer. Raises UsageError and InputError; then `out` is as it was before."""
    started = time.monotonic()
    target = load(options.to)
    if options.register_in and target.entries is None:
        raise UsageError(f"--register: {target.name} looks up no data sets in a file; llama-factory does")
    if options.register_in:
        register.read(options.register_in)  # a file that cannot be merged into is an error before anything is written
    with opened([data] if isinstance(data, str) else data) as files:
        kinds = [own_file(f, options.kind) for f in files]
        name, form = chosen_form(target, options.form, {k.kind for k in kinds})
        lens = open_lens(options.tokenizer, target.name, name, options.max_length) if options.tokenizer else None
        with folder.replacing(out, options.force) as work, ThreadPoolExecutor(1) as beside:
            hashes = [beside.submit(account.sha256_of, f.path) for f in files]
            counts, lost_, seen, parts, view = _write(target, [Job(k, form, options, lens) for k in kinds], files, work, progress)
            written = Written(work, out, name, parts, options)
            extra = dict(target.extra(written))
            for path, content in extra.items():
                folder.write_text(work, path, content)
            warnings = target.complain(written)
            rejects = "rejects.jsonl" if counts.rejected else None
            listed = [p._asdict() for p in parts]
            listed += [{"path": p, "split": None, "rows": 0, "bytes": len(text.encode())} for p, text in extra.items()]
            result = ExportResult(out, target.name, name, counts.as_dict(), listed, dict(sorted(lost_.items())), warnings, rejects=rejects)
            result.notes = target.notes(written)
            result.seen = view if lens is not None else None
            if "README.md" not in extra:
                folder.write_text(work, "README.md", card(target, form, result, seen, options))
            result.seconds = round(time.monotonic() - started, 3)
            folder.write_json(work, "manifest.json", _manifest(result, files, [h.result() for h in hashes], options))
        if options.register_in and target.entries is not None:
            register.merge(options.register_in, out, target.entries(written))
    return result


def chosen_form(target: Target, name: str | None, kinds: set[str]) -> tuple[str, Form]:
    """The form that is asked for, or the first that takes the records. Raises UsageError."""
    if len(kinds) > 1:
        raise UsageError(f"the inputs hold different kinds ({', '.join(sorted(kinds))}); export them one by one")
    kind = next(iter(kinds))
    listing = "; ".join(f"{n} ({f.kind}): {f.what}" for n, f in target.forms.items())
    if name is not None and name not in target.forms:
        raise UsageError(f"{target.name} has no form {name!r}; it has {listing}")
    fits = {n: f for n, f in target.forms.items() if f.kind == kind and name in (None, n)}
    if not fits:
        what = f"the form {name} of {target.name}" if name else target.name
        raise UsageError(f"{what} does not take {kind} records ({listing}); 'prefdata convert --to KIND' turns one kind into another")
    return next(iter(fits.items()))


def _write(
    target: Target, jobs: list[Job], files: list[Input], work: str, progress: Progress | None
) -> tuple[Counts, Counter[str], About, list[Part], Seen]:
    counts, gone, seen, view = Counts(), Counter[str](), About(), Seen()
    kinds, form, options = [j.file for j in jobs], jobs[0].form, jobs[0].options
    empty = _rows(pl.DataFrame(schema=_all_columns(kinds)), jobs[0]).drop("_split")
    writer = Files(work, form, target.part_bytes, empty)
    total, done = sum(f.size for f in files), 0
    with RejectsFile(os.path.join(work, "rejects.jsonl")) as bad:
        for inp, job in zip(files, jobs, strict=True):
            line = 1
            for found in runner.run(partial(export_shard, job=job, columns=_all_columns(kinds)), plan(inp), options.threads):
                for split, (data, n) in found.rows.items():
                    writer.append(split, data, n)
                counts.add(found.counts)
                gone.update(found.lost)
                seen.update(found.seen)
                if found.view is not None:
                    view.add(found.view)
                bad.write(to_jsonl(found.rejects, inp.name, found.unit, line))
                line, done = line + found.line_count, done + found.packed
                if progress:
                    progress(done, total, counts.read)
    counts.check()
    return counts, gone, seen, writer.close(), view


def _all_columns(kinds: list[OwnFile]) -> dict[str, pl.DataType]:
    """The columns of all inputs together: every shard gets them, so that all rows of a file have one shape."""
    out: dict[str, pl.DataType] = {}
    for k in kinds:
        for name, dtype in k.layout.dtypes.items():
            if name in k.layout.present:
                out[name] = dtype if "tool_calls" not in str(out.get(name, dtype)) else schema(k.kind)[name]
    return out


def export_shard(shard: Shard, job: Job, columns: dict[str, pl.DataType]) -> Done:
    """Read one shard, leave out what the form cannot express, and encode the rest by split."""
    batch = read_shard(shard, job.file.layout, job.file.columns)
    why: dict[int, Reject] = {}
    for p in problems(batch.df, job.file.kind):
        why.setdefault(p.row, Reject(batch.line_of(p.row), p.code, p.message, p.field, batch.raw(p.row)))
    for c in (c for c in batch.df.columns if c not in columns and c != "id"):  # the first rows of the file lack it
        for i in batch.df[c].is_not_null().arg_true().to_list():
            why.setdefault(i, Reject(batch.line_of(i), "late-field", f"{c}: {REASONS_OF_ROWS['late-field']}", c, batch.raw(i)))
    df = batch.df if not why else batch.df.with_row_index("_i").filter(~pl.col("_i").is_in(list(why))).drop("_i")
    have = df.schema
    df = df.select((as_dtype(pl.col(c), have[c], t) if c in have else pl.lit(None, t)).alias(c) for c, t in columns.items())
    reasons = df.select(skip(df, job.file.kind, job.form, job.options))["_skip"]
    good = df.filter(reasons.is_null()) if reasons.null_count() < len(reasons) else df
    rows = _rows(good, job)
    rejects = sorted([*batch.rejects, *why.values()], key=lambda r: r.line)
    counts = Counts(batch.read, good.height, Counter(reasons.drop_nulls().to_list()), Counter(r.code for r in rejects), good.height)
    seen = about(good, job.file.kind)
    whole = rows.height == 0 or rows["_split"].n_unique() == 1
    parts = [rows] if whole else rows.partition_by("_split", maintain_order=True)
    by_split = {str(p["_split"][0]): (encoded(p.drop("_split"), job.form), p.height) for p in parts if p.height}
    view = None if job.lens is None else look(merged(good, job.form, job.options), job.file.kind, job.lens)
    return Done(by_split, counts, Counter(lost(good, job.form)), seen, rejects, batch.line_count, shard.unit, shard.packed, view)


def _rows(df: pl.DataFrame, job: Job) -> pl.DataFrame:
    """The target's rows, with `_split`."""
    splits = splits_of(df, job.options)
    return job.form.rows(merged(df, job.form, job.options), job.options).with_columns(splits.alias("_split"))


def _manifest(result: ExportResult, files: list[Input], hashes: list[str], options: ExportOptions) -> dict[str, Any]:
    return {
        "command": "export",
        "version": __version__,
        "target": result.target,
        "form": result.form,
        "options": options.model_dump(exclude={"threads", "force"}, exclude_defaults=True),
        "seed": options.seed,
        "inputs": [{"path": f.name, "bytes": f.size, "sha256": h} for f, h in zip(files, hashes, strict=True)],
        "files": result.files,
        "counts": result.counts,
        "lost": result.lost,
        "warnings": result.warnings,
        "notes": result.notes,
        "seen": result.seen.as_dict() if result.seen is not None else None,
        "rejects": result.rejects,
        "seconds": result.seconds,
    }
