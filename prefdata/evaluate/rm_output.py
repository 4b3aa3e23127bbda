"""The output folder of an evaluation: scores, report, page and plots, whole or not at all."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from prefdata.evaluate.rm_options import EvalRmOptions
from prefdata.evaluate.rm_page import Case, page
from prefdata.evaluate.rm_plots import plots
from prefdata.evaluate.rm_records import Records, picked
from prefdata.evaluate.rm_result import EvalRmResult
from prefdata.exporters.folder import replacing, write_json, write_text
from prefdata.io.account import sha256_of
from prefdata.io.sniff import Input
from prefdata.io.write import Writer, encode, sync
from prefdata.judges.agreement import Ints, Numbers
from prefdata.version import __version__


class Scored(NamedTuple):
    """Pairs in order of their records: the number of the record, rewards and tokens of chosen and rejected [N, 2], log-probs [N, 2]."""

    rows: Ints
    values: Numbers
    lengths: Numbers
    logps: dict[str, Numbers]


def write(out: str, result: EvalRmResult, scored: Scored, records: Records, options: EvalRmOptions, files: list[Input]) -> None:
    """Write the folder. Raises UsageError when it holds something else, InputError when it cannot be written."""
    charts = plots(result, scored.values, scored.lengths)
    cases = _worst(scored, [f.path for f in files], options.worst)
    table = frame(scored, records)
    with replacing(out, options.force) as work:
        writer = Writer(os.path.join(work, "scores.parquet"), "parquet", encode(table.clear(), "parquet"))
        writer.append(encode(table, "parquet"))
        writer.close()
        table.write_csv(os.path.join(work, "scores.tsv"), separator="\t")
        write_json(work, "report.json", result.as_dict())
        write_text(work, "report.html", page(result, charts, cases))
        for name, svg in charts.items():
            write_text(work, f"plots/{name}.svg", svg)
        names = ["scores.parquet", "scores.tsv", "report.json", "report.html", *(f"plots/{n}.svg" for n in charts)]
        for name in names[:2]:
            sync(os.path.join(work, name))
        write_json(work, "manifest.json", _manifest(work, names, options, files))


def frame(scored: Scored, records: Records) -> pl.DataFrame:
    """A row per pair; `record` counts from 1."""
    values, lengths = scored.values, scored.lengths.astype(np.int64)
    columns: dict[str, Any] = {
        "record": scored.rows + 1,
        "id": pl.Series(records.texts("id", scored.rows), dtype=pl.String),
        "source": pl.Series(records.texts("source", scored.rows), dtype=pl.String),
    }
    if records.by is not None:
        columns["part"] = pl.Series(records.texts("part", scored.rows), dtype=pl.String)
    columns |= {"score_chosen": values[:, 0], "score_rejected": values[:, 1], "margin": values[:, 0] - values[:, 1]}
    columns |= {"length_chosen": lengths[:, 0], "length_rejected": lengths[:, 1]}
    for name, said in scored.logps.items():
        columns |= {f"{name}_chosen": said[:, 0], f"{name}_rejected": said[:, 1]}
    return pl.DataFrame(columns)


def _worst(scored: Scored, paths: list[str], most: int) -> list[Case]:
    """The pairs with the lowest margins below 0, lowest first."""
    margin = scored.values[:, 0] - scored.values[:, 1]
    at = [int(i) for i in np.argsort(margin, kind="stable")[:most] if margin[i] < 0]
    found = picked(paths, [int(scored.rows[i]) for i in at]) if at else {}
    out = []
    for i in at:
        number = int(scored.rows[i])
        lengths = int(scored.lengths[i, 0]), int(scored.lengths[i, 1])
        out.append(Case(number, found[number], float(scored.values[i, 0]), float(scored.values[i, 1]), lengths))
    return out


def _manifest(work: str, names: list[str], options: EvalRmOptions, files: list[Input]) -> dict[str, Any]:
    return {
        "command": "eval rm",
        "version": __version__,
        "options": options.model_dump(exclude_defaults=True, exclude={"force"}),
        "inputs": [{"path": f.name, "bytes": f.size, "sha256": sha256_of(f.path)} for f in files],
        "files": [{"path": n, "bytes": os.path.getsize(os.path.join(work, n)), "sha256": sha256_of(os.path.join(work, n))} for n in names],
    }
