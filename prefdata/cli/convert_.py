"""`prefdata convert`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from prefdata.cli.options import command as make
from prefdata.cli.options import told
from prefdata.conversion.options import ConvertOptions

HELP = """Turn raw sources into validated pair, binary or listwise records.

Rows that cannot be used go to OUT.rejects.jsonl with the reason; OUT.manifest.json has the account. Exit code 1 means that rows
were rejected.

Examples:

  prefdata convert hh/*.jsonl.gz -o pairs.parquet

  prefdata convert safe.jsonl -o pairs.jsonl --dimension safer

  prefdata convert ab.csv -o pairs.parquet --from table --prompt question --first a --second b --preferred winner --first-is A --second-is B
"""

EXTRA: dict[str, Any] = {
    "inputs": (Annotated[list[str], typer.Argument(help="Files, globs, hub:org/name[@revision][#split], or - for stdin.")], ...),
    "out": (Annotated[str, typer.Option("--out", "-o", help="Output: .parquet, .jsonl, .jsonl.gz, .jsonl.zst, or - for stdout.")], ...),
    "json_": (Annotated[bool, typer.Option("--json", help="Print the account as one JSON object on stdout.")], False),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")], False),
}


def run(options: ConvertOptions, inputs: list[str], out: str, json_: bool, quiet: bool) -> int:
    from prefdata.cli.progress import progress_bar
    from prefdata.conversion.run import convert

    with progress_bar("convert", hidden=quiet or json_) as progress:
        result = convert(inputs, out, options, progress)
    return told(result, json_, quiet, to_stdout=out == "-")


command = make(ConvertOptions, EXTRA, run)
