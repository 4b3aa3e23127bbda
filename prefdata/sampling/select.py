"""`prefdata select`: scored lists to pairs or answers, shard by shard, with a matched random control."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from prefdata.conversion.run import Progress
from prefdata.errors import UsageError
from prefdata.io import account, runner, step
from prefdata.io.account import Counts
from prefdata.io.open import opened
from prefdata.io.sniff import Input
from prefdata.io.write import encode, file_format
from prefdata.judges.records import Part, Source, columns_of, parts, sources_of
from prefdata.sampling import select_rows as rows
from prefdata.sampling.select_choose import Chosen, choose
from prefdata.sampling.select_figures import Tally, against_reference, tally_of
from prefdata.sampling.select_length import Line
from prefdata.sampling.select_limits import NAMES
from prefdata.sampling.select_options import SelectOptions, check
from prefdata.sampling.select_pool import Candidates, candidates_of
from prefdata.sampling.select_result import SelectResult
from prefdata.statistics import percent


def select(data: Sequence[str] | str, out: str, options: SelectOptions | None = None, progress: Progress | None = None) -> SelectResult:
    """Select from scored candidates: pairs, or answers to be imitated.

    `data`: paths, globs, "-" for stdin; listwise records. `out`: *.parquet, *.jsonl[.gz|.zst], or "-" for stdout. Prompts that give nothing
    go to `OUT.dropped.jsonl` with the reason, unusable rows to `OUT.rejects.jsonl`. Raises UsageError and InputError; then `out` is as it
    was before.
    """
    o = options or SelectOptions()
    check(o)
    started = time.monotonic()
    with ExitStack() as stack:
        files = stack.enter_context(opened([data] if isinstance(data, str) else list(data)))
        form = step.check_paths(out, [f.path for f in files], _control_paths(o))
        sources = _sources(files)
        known = {"options": _settings(o), "seed": o.seed}
        if not o.force:
            done = _up_to_date(out, known, files, o)
            if done is not None:
                return done
        inputs = stack.enter_context(step.described(files))
        written, control, tally = _written(sources, out, form, o, progress)
        result = SelectResult(
            out, o.kind, o.method, written.counts.as_dict(), written.counts.records, [], **_figures(tally, o),
            control=o.control, rejects=written.sides.get("rejects"), dropped=written.sides.get("dropped"),
        )  # fmt: skip
        result.inputs = inputs()
        result.seconds = round(time.monotonic() - started, 3)
        if control is not None:
            of = {"kind": o.kind, "control_of": os.path.basename(out), "seconds": result.seconds}
            account.write_manifest(control.out, step.manifest("select", known, result.inputs, control, **of))
        if out != "-":
            more = {"kind": o.kind, **{n: getattr(result, n) for n in ("candidates", "figures", "warnings", "seconds")}}
            more["control"] = None if control is None else {"path": o.control, "sha256": control.sha256}
            account.write_manifest(out, step.manifest("select", known, result.inputs, written, **more))
    return result


def _control_paths(o: SelectOptions) -> list[str]:
    if o.control is None:
        return []
    if o.control == "-":
        raise UsageError("--control - : the control is a file of its own; name one")
    file_format(o.control)
    return [o.control, account.manifest_path(o.control)]


def _sources(files: Sequence[Input]) -> list[Source]:
    """Raises UsageError for records that are not lists."""
    sources, kind = sources_of(files, None)
    if kind != "listwise":
        names = " ".join(f.name for f in files)
        raise UsageError(
            f"the inputs are {kind} records, and selection is among candidates; 'prefdata convert {names} -o LISTS --to listwise' first"
        )
    return sources


def _settings(o: SelectOptions) -> dict[str, Any]:
    """The options that the output depends on."""
    return o.model_dump(mode="json", exclude={"threads", "force"}, exclude_defaults=True)


def _up_to_date(out: str, known: dict[str, Any], files: Sequence[Input], o: SelectOptions) -> SelectResult | None:
    found = step.up_to_date(out, "select", known, files)
    if found is None:
        return None
    control = found["control"]
    if control is not None and (not os.path.exists(control["path"]) or account.sha256_of(control["path"]) != control["sha256"]):
        return None
    names = ("kind", "counts", "records", "inputs", "candidates", "figures", "warnings", "rejects", "dropped", "seconds")
    return SelectResult(out=out, method=o.method, control=o.control, up_to_date=True, **{n: found[n] for n in names})


class Done(NamedTuple):
    """A shard that was selected from."""

    out: pl.DataFrame
    control: pl.DataFrame
    counts: Counts
    dropped: bytes
    tally: Tally


def _written(
    sources: list[Source], out: str, form: str, o: SelectOptions, progress: Progress | None
) -> tuple[step.Written, step.Written | None, Tally]:
    """Write the output, the control and the side files, which appear whole or not at all (stdout excepted)."""
    columns = columns_of(sources, "listwise")
    if not any("annotations" in s.file.layout.present for s in sources):
        del columns["annotations"]
    size, tally = sum(s.input.size for s in sources), Tally()
    passes = 2 if o.length_control == "residual" else 1
    seen = [0, 0]

    def through() -> Iterator[tuple[Part, bytes]]:
        for part, bad in parts(sources, columns, o.limit, o.threads):
            yield part, bad
            seen[0] += part.packed
            seen[1] += part.counts.read
            if progress is not None:
                progress(seen[0], passes * size, seen[1])

    line = Line()
    if o.length_control == "residual":
        for more in runner.run(partial(_line, o=o), (part.df for part, _ in through()), o.threads):
            line = line.plus(more)
        seen[1] = 0
    empty = select_part(pl.DataFrame(schema=columns), o, line)
    with ExitStack() as stack:
        control = None if o.control is None else stack.enter_context(step.writing(o.control, file_format(o.control), empty.control, ()))
        written = stack.enter_context(step.writing(out, form, empty.out))
        for done, bad, books in runner.run(partial(_selected, o=o, line=line), through(), o.threads):
            done.counts.read, done.counts.rejected = books.read, books.rejected
            written.add(done.out, done.counts, rejects=bad, dropped=done.dropped)
            if control is not None:
                control.add(done.control, replace(done.counts, written=done.control.height, skipped=Counter()))
            tally.add(done.tally)
    return written, control, tally


def _line(df: pl.DataFrame, o: SelectOptions) -> Line:
    found = candidates_of(df, o).pool
    return Line.of(found.score, found.length)


def _selected(item: tuple[Part, bytes], o: SelectOptions, line: Line) -> tuple[Done, bytes, Counts]:
    part, bad = item
    return select_part(part.df, o, line), bad, part.counts


def select_part(df: pl.DataFrame, o: SelectOptions, line: Line | None = None) -> Done:
    """Select from valid listwise records. `line`: of --length-control residual, over the whole data."""
    found = candidates_of(df, o)
    chosen = choose(found.pool, o, line)
    out = _records(df, found, chosen, o)
    of_control = chosen._replace(**chosen.control._asdict(), label=np.ones(len(chosen.control.first), dtype=bool))
    control = _records(df, found, of_control, o) if o.control is not None else out.clear()
    there = np.bincount(out["_rec"].to_numpy(), minlength=df.height) > 0
    before = np.bincount(chosen.prompt, minlength=df.height) > 0
    why = np.where(found.why > 0, found.why, chosen.why)
    why = np.where(there, 0, np.where(before, NAMES.index("same-text"), why))
    reasons = pl.Series("why", [NAMES[i] or None for i in why], dtype=pl.String)
    lost = df.with_columns(reasons).filter(pl.col("why").is_not_null())
    counts = Counts(df.height, int(there.sum()), Counter(lost["why"].to_list()), written=out.height)
    same = int(there[chosen.prompt].sum()) - out.height
    counts.skipped.update({"same-text": same} if same else {})
    tally = tally_of(found.pool, chosen, o)
    tally.candidates.update({"read": found.flat.height, "used": len(found.used), **found.left_out})
    tally.names, tally.reference = found.names, against_reference(found.flat, o.tie_tolerance)
    return Done(rows.with_ids(out, o), rows.with_ids(control, o), counts, encode(lost, "jsonl") if lost.height else b"", tally)


def _records(df: pl.DataFrame, found: Candidates, chosen: Chosen, o: SelectOptions) -> pl.DataFrame:
    if o.kind == "pair":
        return rows.pairs(df, found.flat, chosen.prompt, found.used[chosen.first], found.used[chosen.second], chosen.margin, o)
    return rows.answers(df, found.flat, chosen.prompt, found.used[chosen.first], chosen.label, o)


def _figures(tally: Tally, o: SelectOptions) -> dict[str, Any]:
    """Candidates, figures and warnings of a result."""
    known = {name: tally.candidates[name] for name in ("read", "used")}
    left_out = {name: n for name, n in sorted(tally.candidates.items()) if name not in known}
    figures = tally.as_dict(o)
    warnings = []
    rso = figures.get("rso")
    if rso and rso["ess_below_k"]:
        warnings.append(
            f"--beta {o.beta:g} is small for the spread of these scores: the effective sample size is below k = {o.size} in "
            f"{percent(rso['ess_below_k'])} of the prompts with more candidates, so the same few are drawn; a larger beta draws more evenly"
        )
    if rso and rso["fewer_than_k"]:
        warnings.append(f"{rso['fewer_than_k']:,} prompts have fewer than k = {o.size} candidates; all of them were drawn")
    nothing = tally.candidates["unscored"] and tally.candidates["used"] == 0
    if nothing and o.annotator is None and o.aspect is None:
        warnings.append("no candidate has a score; prefdata score gives them one (see prefdata score --help)")
    elif nothing:
        asked = f"{o.annotator or 'any annotator'}{f' about {o.aspect}' if o.aspect else ' without an aspect'}"
        seen = ", ".join(sorted(tally.names)[:20]) or "none"
        warnings.append(f"no candidate has a score of {asked}; scores (annotator/aspect) that there are: {seen}")
    return {"candidates": {**known, "left_out": left_out}, "figures": figures, "warnings": warnings}
