"""`prefdata convert`: inputs to one file of records, with its rejects, its manifest and balanced counts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from prefdata.conversion.options import ConvertOptions
from prefdata.conversion.plan import Plan, make_plan
from prefdata.conversion.stream import write_all
from prefdata.errors import UsageError
from prefdata.io import account
from prefdata.io.open import opened
from prefdata.io.write import file_format
from prefdata.version import __version__

Progress = Callable[[int, int, int], None]
"""Called with bytes done, bytes in all, and rows read."""


@dataclass
class ConvertResult:
    """What a conversion did. `counts` is in input rows, `records` in records written."""

    out: str
    kind: str
    counts: dict[str, Any]
    records: dict[str, Any]
    inputs: list[dict[str, Any]]
    rejects: str | None = None
    seconds: float = 0.0
    up_to_date: bool = False

    @property
    def exit_code(self) -> int:
        """1 when rows were rejected, else 0."""
        return 1 if self.counts["rejected"] else 0

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "exit_code": self.exit_code}

    def lines(self) -> list[str]:
        """The account in words."""
        done = ", up to date, nothing was done (--force converts again)" if self.up_to_date else ""
        out = [f"{self.out}: {self.records['written']:,} {self.kind} records{done}"]
        for i in self.inputs:
            out.append(f"  {i['path']}: {i['source']} ({i['why']})")
            if i["ignored_columns"]:
                out.append(f"    columns not used: {', '.join(i['ignored_columns'])}")
        out += account.row_lines(self.counts)
        out += [f"  records left out of kept rows: {n:,} {code}" for code, n in self.records["skipped"].items()]
        if self.rejects:
            out.append(f"  rejected rows are in {self.rejects}")
        return out


def convert(inputs: list[str] | str, out: str, options: ConvertOptions | None = None, progress: Progress | None = None) -> ConvertResult:
    """Convert files to one file of records.

    `inputs`: paths, globs, "-" for stdin, hub:org/name@revision. `out`: *.parquet, *.jsonl[.gz|.zst], or "-" for stdout.
    Unusable rows go to the rejects file and into the counts. Raises UsageError and InputError; then `out` is as it was before.
    """
    options = options or ConvertOptions()
    started = time.monotonic()
    form = file_format(out)
    with opened([inputs] if isinstance(inputs, str) else inputs) as files:
        rejects = options.rejects or ("prefdata.rejects.jsonl" if out == "-" else f"{out}.rejects.jsonl")
        keep_apart([f.path for f in files], out, rejects)
        plan = make_plan(files, form, options)
        described = _inputs(plan)
        if out != "-" and not options.force:
            done = _up_to_date(out, plan, options, described)
            if done is not None:
                return done
        with ThreadPoolExecutor(1) as beside:
            hashes = [beside.submit(account.sha256_of, f.path) for f in files] if out != "-" else []
            counts, written = write_all(plan, out, rejects, progress)
        result = ConvertResult(
            out, plan.to, counts.as_dict(), counts.records, described, rejects if counts.rejected else None,
            round(time.monotonic() - started, 3),
        )  # fmt: skip
        if out != "-":
            for d, digest in zip(described, hashes, strict=True):
                d["sha256"] = d["sha256"] or digest.result()
            account.write_manifest(out, _manifest(result, options, written))
    return result


def keep_apart(inputs: list[str], out: str, rejects: str) -> None:
    """No file is written over another one of the same run, however it is spelled. Raises UsageError."""
    written = {"the rejects file": rejects}
    if out != "-":
        written |= {"the output": out, "the manifest": account.manifest_path(out)}
        if os.path.isdir(out):
            raise UsageError(f"{out} is a folder; name a file in it")
    taken = {os.path.realpath(i): f"the input {i}" for i in inputs}
    for what, path in written.items():
        other = taken.setdefault(os.path.realpath(path), what)
        if other != what:
            raise UsageError(f"{path} is both {other} and {what}")


def _inputs(plan: Plan) -> list[dict[str, Any]]:
    return [
        {"path": i.name, "bytes": i.size, "sha256": None, "source": j.source.name, "why": w, "ignored_columns": list(j.layout.extras)}
        for i, j, w in zip(plan.inputs, plan.jobs, plan.why, strict=True)
    ]


def _settings(options: ConvertOptions) -> dict[str, Any]:
    """The options that the output depends on."""
    settings = options.model_dump(by_alias=True, exclude={"threads", "force", "rejects"}, exclude_defaults=True)
    if options.map:
        settings["map_sha256"] = account.sha256_of(options.map)
    return settings


def _manifest(result: ConvertResult, options: ConvertOptions, sha256: str | None) -> dict[str, Any]:
    return {
        "command": "convert",
        "version": __version__,
        "kind": result.kind,
        "options": _settings(options),
        "seed": options.seed,
        "inputs": result.inputs,
        "output": {"path": os.path.basename(result.out), "bytes": os.path.getsize(result.out), "sha256": sha256},
        "rejects": result.rejects,
        "counts": result.counts,
        "records": result.records,
        "calls": 0,
        "tokens": 0,
        "money": 0,
        "seconds": result.seconds,
    }


def _up_to_date(out: str, plan: Plan, options: ConvertOptions, described: list[dict[str, Any]]) -> ConvertResult | None:
    """What the manifest says, if it was written for the same work and the output still is what it describes."""
    found = account.read_manifest(out)
    if found is None or found.get("command") != "convert" or found.get("version") != __version__:
        return None
    if found.get("options") != _settings(options) or found["output"]["sha256"] != account.sha256_of(out):
        return None
    before = [(i["path"], i["bytes"], i["source"]) for i in found["inputs"]]
    if before != [(d["path"], d["bytes"], d["source"]) for d in described]:
        return None
    for d, i in zip(described, plan.inputs, strict=True):
        d["sha256"] = account.sha256_of(i.path)
    if [i["sha256"] for i in found["inputs"]] != [d["sha256"] for d in described]:
        return None
    if found["rejects"] and not os.path.exists(found["rejects"]):
        return None
    return ConvertResult(out, plan.to, found["counts"], found["records"], described, found["rejects"], found["seconds"], True)
