"""`prefdata label`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from prefdata.cli.options import command as make
from prefdata.cli.options import told
from prefdata.judges.options import LabelOptions

HELP = """Ask a judge model about completions and append what it says.

Replies are kept in OUT.journal: the same command goes on where it was stopped, and none is paid twice. Records without a label go to
OUT.undecided.jsonl with the reason, labels that contradict the records to OUT.disagreements.jsonl; OUT.manifest.json has the account.

Exit code 1: rows were rejected, records got no reply, or the judge is below --min-agreement. 4: the server gave up or the budget is
spent; the same command goes on. 130: interrupted, likewise.

Examples:

  prefdata label pairs.parquet -o labelled.parquet --judge pairwise --model M --base-url http://localhost:8000/v1

  prefdata label pairs.parquet -o soft.parquet --judge constitution --model M --decide soft --budget 5 --price-in 0.15 --price-out 0.6

  prefdata label lists.parquet -o scored.parquet --judge rubric --model M --dry-run

  prefdata label pairs.parquet -o scored.parquet --judge rm:./reward-model
"""

EXTRA: dict[str, Any] = {
    "data": (Annotated[list[str], typer.Argument(help="Files of records, globs, or - for stdin.")], ...),
    "out": (Annotated[str, typer.Option("--out", "-o", help="Output: .parquet, .jsonl, .jsonl.gz, .jsonl.zst, or - for stdout.")], ...),
    "json_": (Annotated[bool, typer.Option("--json", help="Print the account as one JSON object on stdout.")], False),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")], False),
}


def run(options: LabelOptions, data: list[str], out: str, json_: bool, quiet: bool) -> int:
    from prefdata.cli.progress_calls import calls_bar
    from prefdata.judges.run import label

    with calls_bar("label", hidden=quiet or json_) as progress:
        result = label(data, out, options, progress)
    return told(result, json_, quiet, to_stdout=out == "-")


command = make(LabelOptions, EXTRA, run)
