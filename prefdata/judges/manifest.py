"""What a labelling run leaves in OUT.manifest.json, and whether it already did what is asked for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

from prefdata.io import account, step
from prefdata.io.sniff import Input
from prefdata.judges import constitution as constitutions
from prefdata.judges.ask import Job
from prefdata.judges.judge import as_yaml
from prefdata.judges.members import Member
from prefdata.judges.options import LabelOptions
from prefdata.judges.result import LabelResult
from prefdata.llm.options import ClientOptions
from prefdata.version import __version__

FREE = {*ClientOptions.model_fields, "judge", "constitution", "force"}
"""Options that the output does not depend on, and those that `judges` and `constitution` say in full."""


def settings(options: LabelOptions, job: Job) -> dict[str, Any]:
    """Everything that the labels depend on besides the records."""
    return {
        "options": options.model_dump(mode="json", exclude=FREE, exclude_defaults=True),
        "judges": [_judge(m) for m in job.panel.members],
        "constitution": constitutions.as_manifest(job.constitution) if job.constitution is not None else None,
    }


def _judge(member: Member) -> dict[str, Any]:
    if member.judge is None:
        return {"reward_model": member.annotator, "sha256": _folder(member.model), "weight": member.weight}
    return {"model": member.model, "weight": member.weight, "judge": as_yaml(member.judge)}


def _folder(folder: str) -> str:
    """SHA-256 over the files of a model."""
    digest = hashlib.sha256()
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            digest.update(f"{name} {account.sha256_of(path)}\n".encode())
    return digest.hexdigest()


def manifest(result: LabelResult, known: dict[str, Any], seed: int) -> dict[str, Any]:
    """`known` are the settings."""
    return {
        "command": "label",
        "version": __version__,
        "kind": result.kind,
        **known,
        "seed": seed,
        "inputs": result.inputs,
        "gold": result.gold,
        "output": {"path": os.path.basename(result.out), "bytes": os.path.getsize(result.out), "sha256": result.sha256},
        "counts": result.counts,
        "records": result.records,
        "report": result.report,
        "run": result.run,
        "calls": result.spent.get("calls", 0),
        "tokens": {"in": result.spent.get("tokens_in", 0), "out": result.spent.get("tokens_out", 0)},
        "money": result.spent.get("usd", 0.0),
        "warnings": result.warnings,
        "rejects": result.rejects,
        "undecided": result.undecided,
        "disagreements": result.disagreements,
        "journal": result.journal,
        "seconds": result.seconds,
    }


def up_to_date(out: str, known: dict[str, Any], files: Sequence[Input], gold: Sequence[Input]) -> LabelResult | None:
    """What the manifest says, if it was written for the same work, nothing is missing and the output is as it was."""
    found = step.up_to_date(out, "label", known, files, sides=("rejects", "undecided", "disagreements"))
    if found is None or (found["gold"] or {}).get("sha256") != next((account.sha256_of(f.path) for f in gold), None):
        return None
    names = (
        "counts",
        "records",
        "inputs",
        "report",
        "run",
        "gold",
        "warnings",
        "rejects",
        "undecided",
        "disagreements",
        "journal",
        "seconds",
    )
    spent = {"calls": found["calls"], "tokens_in": found["tokens"]["in"], "tokens_out": found["tokens"]["out"], "usd": found["money"]}
    result = LabelResult(out, found["kind"], **{n: found[n] for n in names}, spent=spent, sha256=found["output"]["sha256"], up_to_date=True)
    return None if result.unanswered else result
