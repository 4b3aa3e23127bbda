"""`prefdata validate`: files to findings. Columnar; only suspects pass through pydantic; memory is bounded by the shards and, for rules
over all rows, by the facts that they ask for (about 100 bytes a row)."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from fnmatch import fnmatch
from functools import partial

import numpy as np
import polars as pl

from prefdata.checks import baseline
from prefdata.checks.facts import Facts
from prefdata.checks.for_target import validate_for
from prefdata.checks.options import ValidateOptions
from prefdata.checks.reading import Reading, reading
from prefdata.checks.result import Finding, ValidateResult
from prefdata.checks.rule import Rule
from prefdata.checks.rules import chosen, limits
from prefdata.checks.shard import Checked, Checks, Flagged, check_batch, check_shard
from prefdata.checks.view import Hits
from prefdata.errors import UsageError
from prefdata.io import runner
from prefdata.io.open import opened
from prefdata.io.plan import SHARD_BYTES, plan
from prefdata.io.read import Batch
from prefdata.io.sniff import Input
from prefdata.tokens import Seen, open_lens

Progress = Callable[[int, int, int], None]
SHOW = 10
SHARD = 2 * SHARD_BYTES
"""Rules have a cost per shard: larger shards than those of convert, which holds the output, too."""


def validate(data: list[str] | str, options: ValidateOptions | None = None, progress: Progress | None = None) -> ValidateResult:
    """Check files of preference data. Raises UsageError for options and unknown layouts, InputError for files that cannot be read."""
    options = options or ValidateOptions()
    given = {None: True, "--target": options.target is not None, "--tokenizer": options.tokenizer is not None}
    rules = {c: r for c, r in chosen(options.select, options.ignore, options.extend_select).items() if given[r.needs]}
    if options.target:
        rules = {c: r for c, r in rules.items() if r.needs == "--target"}
    levels = {c: str(options.limits.get(c, {}).get("severity", r.severity)) for c, r in rules.items()}
    result = ValidateResult(fail_on=options.fail_on, max_errors=options.max_errors, severities=levels)
    data = files_in([data] if isinstance(data, str) else data)
    if options.target:
        options = options.model_copy(update={"show": SHOW if options.show is None else options.show})
        validate_for(data, str(options.target), options, result)
        return _judged(result, options)
    lens = open_lens(options.tokenizer, "trl", "preference", options.max_length) if options.tokenizer else None
    with opened(data) as files:
        readings = _readings(files, options)
        checks = replace(_checks(rules, options, readings), lens=lens)
        notes = Notes(result, options, [f.name for f in files])
        total, done = sum(f.size for f in files), 0
        facts: list[pl.DataFrame] = []
        for n, (inp, how) in enumerate(zip(files, readings, strict=True)):
            notes.of_file(n, inp, how)
            line, before = 1, result.rows
            for c in _shards(inp, how, checks, options.threads):
                for flagged in c.flagged:
                    notes.flagged(n, flagged, line, c.unit)
                if c.facts.width:
                    facts.append(_placed(c.facts, n, line, c.unit))
                if c.seen is not None:
                    result.seen = result.seen or Seen()
                    result.seen.add(c.seen)
                result.rows += c.rows
                line, done = line + c.line_count, done + c.packed
                if progress:
                    progress(done, total, result.rows)
            result.files.append(
                {"path": inp.name, "kind": how.kind, "source": how.name, "why": how.why, "bytes": inp.size, "rows": result.rows - before}
            )
            if result.rows == before:
                notes.add(Finding(inp.name, 0, "PD007", levels.get("PD007", ""), "the file has no rows"), n)
    for rule in rules.values():
        if rule.facts and rule.code in checks.rules:
            _over_all(rule, facts, readings, checks, notes)
    order = {f["path"]: i for i, f in enumerate(result.files)}
    result.findings.sort(key=lambda f: (order[f.file], f.line, f.code))
    return _judged(result, options)


def _judged(result: ValidateResult, options: ValidateOptions) -> ValidateResult:
    """The result, by the baseline if there is one."""
    if options.baseline:
        baseline.apply(result, options.baseline, options.update_baseline)
        _cut(result, options)
    return result


def _cut(result: ValidateResult, options: ValidateOptions) -> None:
    """Keep the first findings of each rule."""
    seen: Counter[str] = Counter()
    kept = []
    for f in result.findings:
        seen[f.code] += 1
        if seen[f.code] <= (SHOW if options.show is None else options.show):
            kept.append(f)
    result.findings = kept


SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
PACKED = (".gz", ".zst")
NO_DATA = (".manifest.json", ".rejects.jsonl", "manifest.json", "rejects.jsonl", "dataset_info.json", "package.json")


def files_in(paths: list[str]) -> list[str]:
    """The paths with every folder replaced by the data files in it, at any depth, without hidden ones and without accounts. Raises
    UsageError for a folder that has none."""
    out: list[str] = []
    for path in paths:
        if not os.path.isdir(path):
            out.append(path)
            continue
        found = []
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for name in sorted(names):
                base = next((name.removesuffix(p) for p in PACKED if name.endswith(p)), name)
                if base.endswith(SUFFIXES) and not name.startswith(".") and not name.endswith(NO_DATA):
                    found.append(os.path.join(folder, name))
        if not found:
            raise UsageError(f"{path}: the folder has no data files ({', '.join(SUFFIXES)}, packed or not)")
        out += found
    return out


def _readings(files: list[Input], options: ValidateOptions) -> list[Reading]:
    """How each file is read; what is wrong with several files is said together."""
    out, wrong = [], []
    for inp in files:
        try:
            out.append(reading(inp, options))
        except UsageError as e:
            wrong.append(str(e))
    if wrong:
        raise UsageError("\n".join(wrong))
    return out


def _checks(rules: dict[str, Rule], options: ValidateOptions, readings: list[Reading]) -> Checks:
    """The rules that can find something here: a rule that compares files or splits needs two of them."""
    grouped = len(readings) > 1 or any(r.states_split for r in readings)
    kinds = {r.kind for r in readings}
    can = {c: r for c, r in rules.items() if kinds & set(r.kinds) and (grouped or not r.groups)}
    return Checks(can, limits(rules, options.limits), tuple(dict.fromkeys(f for r in can.values() for f in r.facts)))


def _shards(inp: Input, how: Reading, checks: Checks, threads: int | None) -> Iterator[Checked]:
    if not how.whole:
        yield from runner.run(partial(check_shard, reading=how, checks=checks), plan(inp, SHARD), threads)
        return
    # records are made of rows that may stand anywhere: the file is read first
    batches = [(shard, how.read(shard)) for shard in plan(inp)]
    whole = Batch(pl.concat([b.df for _, b in batches]) if batches else pl.DataFrame(schema=how.layout.dtypes), lines=[])
    assert whole.lines is not None
    raws: list[Callable[[], bytes]] = []
    for _, b in batches:
        whole.lines += [whole.line_count + b.line_of(i) for i in range(b.df.height)]
        whole.rejects += [r._replace(line=whole.line_count + r.line) for r in b.rejects]
        raws += [partial(b.raw, i) for i in range(b.df.height)]
        whole.line_count += b.line_count
    whole.raw = lambda i: raws[i]()
    found = check_batch(whole, how, checks)
    found.unit, found.packed = (batches[0][0].unit if batches else "line"), inp.size
    yield found


def _placed(facts: pl.DataFrame, file: int, line: int, unit: str) -> pl.DataFrame:
    return facts.with_columns(pl.col("line") + line, pl.lit(file, pl.UInt16).alias("file"), pl.lit(unit == "row").alias("row"))


def _over_all(rule: Rule, parts: list[pl.DataFrame], readings: list[Reading], checks: Checks, notes: Notes) -> None:
    """Run a rule over the facts about all rows of the kinds that it is for."""
    fit = [p for p in parts if p.height and readings[p["file"][0]].kind in rule.kinds]
    if not fit:
        return
    df = pl.concat([p.select("file", "line", "row", "split", "id", *[f for f in rule.facts if f not in ("split", "id")]) for p in fit])
    facts = Facts(df, notes.names)
    given = checks.limits[rule.code]
    if rule.whole is not None:
        for message in rule.whole(facts, **given):
            notes.add(Finding(notes.names[df["file"][0]], 0, rule.code, notes.severity(rule.code), message, rule.field), df["file"][0])
    if rule.across is not None:
        for hits in rule.across(facts, **given):
            notes.across(rule, hits, df)


def matches(name: str, glob: str) -> bool:
    """Whether a file's name, as it was given or in full, matches a glob."""
    return fnmatch(name, glob) or fnmatch(os.path.abspath(name), glob)


class Notes:
    """Findings are counted here, and the first ones of each rule are kept."""

    def __init__(self, result: ValidateResult, options: ValidateOptions, names: list[str]) -> None:
        self.result = result
        self.names = names
        self._show = sys.maxsize if options.baseline else SHOW if options.show is None else options.show
        ignores = [(glob, tuple(codes)) for glob, codes in options.per_path_ignores.items()]
        self._ignored = [tuple(c for glob, codes in ignores if matches(name, glob) for c in codes) for name in names]

    def severity(self, code: str) -> str:
        return self.result.severities.get(code, "")

    def counts(self, code: str, file: int) -> bool:
        """Whether findings of a rule count in a file."""
        return code in self.result.severities and not code.startswith(self._ignored[file] or ("-",))

    def add(self, finding: Finding, file: int) -> None:
        if self.counts(finding.code, file):
            self.result.counts[finding.code] += 1
            self.result.findings.append(finding)

    def of_file(self, n: int, inp: Input, how: Reading) -> None:
        """What is seen in the first bytes of a file."""
        if inp.head.startswith(b"\xef\xbb\xbf"):
            self.add(Finding(inp.name, 1, "PD006", self.severity("PD006"), "the file begins with a byte-order mark"), n)
        if how.source is None and how.layout.extras:
            columns = ", ".join(how.layout.extras)
            self.add(Finding(inp.name, 0, "PD102", self.severity("PD102"), f"columns that no {how.kind} record has: {columns}"), n)

    def flagged(self, n: int, found: Flagged, line: int, unit: str) -> None:
        if not self.counts(found.code, n):
            return
        before = self.result.counts[found.code]
        self.result.counts[found.code] += len(found.lines)
        for i in range(max(0, min(len(found.lines), self._show - before))):
            message, field = found.words(i)
            place = int(found.lines[i]) + line
            self.result.findings.append(
                Finding(self.names[n], place, found.code, self.severity(found.code), message, field, found.id(i), unit)
            )

    def across(self, rule: Rule, hits: Hits, df: pl.DataFrame) -> None:
        """Findings of a rule over all rows; `hits` are rows of `df`."""
        found = df[hits.rows].select("file", "line", "row", "id")
        live = np.array([self.counts(rule.code, n) for n in range(len(self.names))])[found["file"].to_numpy()]
        before = self.result.counts[rule.code]
        self.result.counts[rule.code] += int(live.sum())
        at = np.flatnonzero(live)
        for i in at[: max(0, self._show - before)].tolist():
            file, line, is_row, ident = found.row(i)
            message = f"{rule.message} ({hits.note})" if hits.note else rule.message
            if hits.others is not None:
                other = df.row(int(hits.others[i]), named=True)
                where = "" if other["file"] == file else self.names[other["file"]] + " "
                message += f"; see {where}{'row' if other['row'] else 'line'} {other['line']}"
            where, unit = hits.field or rule.field, "row" if is_row else "line"
            self.result.findings.append(
                Finding(self.names[file], line, rule.code, self.severity(rule.code), message, where, f"{ident:016x}", unit)
            )
