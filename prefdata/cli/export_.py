"""`prefdata export`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from prefdata.cli.options import command as make
from prefdata.cli.options import told
from prefdata.exporters.options import ExportOptions

HELP = """Write records to a folder that a trainer loads as it is.

What the target cannot express is left out, counted and named in the account. Beside the data stand a card, a manifest and the command or
configuration that trains on it. Exit code 1: rows were rejected, or the target will refuse the files.

Examples:

  prefdata export pairs.parquet -o out --to trl --split test=0.02

  prefdata export pairs.parquet -o out --to align-anything --system merge
"""

EXTRA: dict[str, Any] = {
    "data": (Annotated[list[str], typer.Argument(help="Files of records, globs, or - for stdin.")], ...),
    "out": (Annotated[str, typer.Option("--out", "-o", help="Output folder.")], ...),
    "json_": (Annotated[bool, typer.Option("--json", help="Print the account as one JSON object on stdout.")], False),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")], False),
}


def run(options: ExportOptions, data: list[str], out: str, json_: bool, quiet: bool) -> int:
    from prefdata.cli.progress import progress_bar
    from prefdata.exporters.run import export

    with progress_bar("export", hidden=quiet or json_) as progress:
        result = export(data, out, options, progress)
    return told(result, json_, quiet)


command = make(ExportOptions, EXTRA, run)
