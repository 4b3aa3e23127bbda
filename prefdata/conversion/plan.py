"""From paths to jobs: open, recognise, choose, and settle the kind and the columns of the output before any work is done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from prefdata.conversion.options import ConvertOptions
from prefdata.conversion.shard import Job, output_schema
from prefdata.errors import UsageError
from prefdata.io.sniff import Input
from prefdata.sources.intake import intake

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Plan:
    """Inputs with the job of each, ready to run."""

    inputs: list[Input]
    jobs: list[Job]
    why: list[str]
    to: str
    schema: dict[str, pl.DataType]
    options: ConvertOptions
    form: str


def make_plan(inputs: list[Input], form: str, options: ConvertOptions) -> Plan:
    """Settle everything that can be settled from the first rows. Raises UsageError."""
    jobs, why, kinds = [], [], []
    for inp in inputs:
        found = intake(inp, options, options.to)
        kinds.append(found.kind)
        jobs.append(Job(found.source, found.layout, found.choices, options, found.kind, form))
        why.append(found.why)
    if options.to is None and len(set(kinds)) > 1:
        which = ", ".join(f"{i.name}: {k}" for i, k in zip(inputs, kinds, strict=True))
        raise UsageError(f"the inputs hold different kinds ({which}); say which one to write: --to {kinds[0]}")
    to = options.to or kinds[0]
    jobs = [replace(j, to=to) for j in jobs]
    if any(j.grouped for j in jobs) and len({j.source.name for j in jobs}) > 1:
        raise UsageError("a source whose rows are grouped cannot be mixed with other sources in one run; convert them one by one")
    schema = output_schema(jobs)
    return Plan(inputs, [replace(j, schema=schema) for j in jobs], why, to, schema, options, form)
