"""What a run of revise leaves in OUT.manifest.json, and whether it already did what is asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from prefdata.io import account
from prefdata.io.sniff import Input
from prefdata.judges.constitution import as_manifest
from prefdata.judges.revise_plan import Reviser
from prefdata.judges.revise_result import ReviseResult
from prefdata.llm.options import ClientOptions
from prefdata.version import __version__

FREE = {*ClientOptions.model_fields, "constitution", "force"} - {"provider"}
"""Options that the output does not depend on, and those that `by` and `constitution` say in full."""
KEPT = (
    *("counts", "records", "inputs", "steps", "principles", "cost", "served", "run", "warnings", "rejects", "undecided", "all_steps"),
    *("journal", "seconds"),
)
"""Fields of a result that stand in the manifest under their own names."""


def settings(by: Reviser) -> dict[str, Any]:
    """Everything that the revisions depend on besides the prompts."""
    return {
        "options": by.options.model_dump(mode="json", exclude=FREE, exclude_defaults=True),
        "by": by.annotator,
        "constitution": {k: v for k, v in as_manifest(by.constitution).items() if k != "comparison"},
    }


def manifest(result: ReviseResult, known: dict[str, Any], seed: int) -> dict[str, Any]:
    """`known` are the settings."""
    return {
        "command": "revise",
        "version": __version__,
        "kind": result.kind,
        **known,
        "seed": seed,
        "output": {"path": os.path.basename(result.out), "bytes": os.path.getsize(result.out), "sha256": result.sha256},
        **{name: getattr(result, name) for name in KEPT},
        "calls": result.spent["calls"],
        "tokens": {"in": result.spent["tokens_in"], "out": result.spent["tokens_out"]},
        "money": result.spent["usd"],
    }


def up_to_date(out: str, known: dict[str, Any], files: Sequence[Input]) -> ReviseResult | None:
    """What the manifest says, if it was written for the same work, nothing is missing and the output is as it was."""
    found = account.read_manifest(out)
    if found is None or found.get("command") != "revise" or found.get("version") != __version__:
        return None
    if any(found.get(k) != v for k, v in known.items()) or found["output"]["sha256"] != account.sha256_of(out):
        return None
    before = [(i["path"], i["bytes"], i["sha256"]) for i in found["inputs"]]
    if before != [(f.name, f.size, account.sha256_of(f.path)) for f in files]:
        return None
    if any(found[name] and not os.path.exists(found[name]) for name in ("rejects", "undecided", "all_steps")):
        return None
    spent = {"calls": found["calls"], "tokens_in": found["tokens"]["in"], "tokens_out": found["tokens"]["out"], "usd": found["money"]}
    sha256 = found["output"]["sha256"]
    result = ReviseResult(out, found["kind"], **{n: found[n] for n in KEPT}, spent=spent, sha256=sha256, up_to_date=True)
    return None if result.unanswered else result
