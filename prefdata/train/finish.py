"""What is written beside a trained model: charts, the card, the records with the highest losses, and the manifest, which comes last."""

from __future__ import annotations

import os

import orjson

from prefdata.io import account
from prefdata.io.open import opened
from prefdata.io.write import replacing
from prefdata.train.card import card
from prefdata.train.options import TrainOptions
from prefdata.train.plots import write_course
from prefdata.train.result import TrainResult
from prefdata.train.store import Store
from prefdata.version import __version__


def finish(result: TrainResult, paths: list[str], options: TrainOptions, store: Store) -> None:
    """Write them into the folder of the model."""
    ids = store.texts("id")
    worst = [orjson.dumps({"id": ids[row], "loss": loss}, option=orjson.OPT_APPEND_NEWLINE) for row, loss in result.worst]
    files = {"README.md": card(result, options, paths, write_course(result.out)).encode(), "worst.jsonl": b"".join(worst)}
    for name, content in files.items():
        with replacing(os.path.join(result.out, name)) as temporary, open(temporary, "wb") as f:
            f.write(content)
    with opened(paths) as inputs:
        hashes = [{"path": i.name, "bytes": i.size, "sha256": account.sha256_of(i.path)} for i in inputs]
    said = {k: v for k, v in result.as_dict().items() if k not in ("out", "method", "exit_code", "worst", "plan")}
    given = options.model_dump(exclude_defaults=True, exclude={"force"})
    head = {"command": f"train {result.method}", "version": __version__, "options": given, "seed": options.seed, "inputs": hashes}
    account.write_manifest(os.path.join(result.out, "model"), {**head, **said})
