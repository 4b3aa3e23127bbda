"""`prefdata select`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from prefdata.cli.options import command as make
from prefdata.cli.options import told
from prefdata.sampling.select_options import SelectOptions

HELP = """Select pairs or answers from scored candidates.

Reads lists of candidates with scores (of 'prefdata score', or of a source) and writes pairs, or the best answers to be imitated. Ties are
never paired. Prompts that give nothing go to OUT.dropped.jsonl with the reason. The account compares the selection with a random one of the
same size. Exit code 1 means that rows were rejected.

Examples:

  prefdata select scored.parquet -o pairs.parquet

  prefdata select scored.parquet -o pairs.parquet --method rso --k 8 --beta 0.5 --temperature 1

  prefdata select scored.parquet -o sft.parquet --method top-k --length-control z-score --control random.parquet
"""

EXTRA: dict[str, Any] = {
    "data": (Annotated[list[str], typer.Argument(help="Files of listwise records, globs, or - for stdin.")], ...),
    "out": (Annotated[str, typer.Option("--out", "-o", help="Output: .parquet, .jsonl, .jsonl.gz, .jsonl.zst, or - for stdout.")], ...),
    "json_": (Annotated[bool, typer.Option("--json", help="Print the account as one JSON object on stdout.")], False),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")], False),
}


def run(options: SelectOptions, data: list[str], out: str, json_: bool, quiet: bool) -> int:
    from prefdata.cli.progress import progress_bar
    from prefdata.sampling.select import select

    with progress_bar("select", hidden=quiet or json_) as progress:
        result = select(data, out, options, progress)
    return told(result, json_, quiet, to_stdout=out == "-")


command = make(SelectOptions, EXTRA, run)
