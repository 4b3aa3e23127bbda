"""`prefdata revise`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from prefdata.cli.options import command as make
from prefdata.cli.options import told
from prefdata.judges.revise_options import ReviseOptions

HELP = """Draft, critique and revise answers by a constitution (SL-CAI).

A model answers every prompt, criticises its answer by a principle that is drawn, and rewrites it. The pair prefers the revision to the
draft. Prompts are records of any kind, or rows with a column prompt (a text, or turns). Every step is kept in OUT.steps.jsonl, and
prompts without a revision go to OUT.undecided.jsonl with the reason. Replies are kept in OUT.journal: the same command goes on where it
was stopped, and none is paid twice.

Exit code 1: rows were rejected or prompts got no reply. 4: the server gave up or the budget is spent; the same command goes on. 130:
interrupted, likewise.

Examples:

  prefdata revise prompts.jsonl -o pairs.parquet --model M --base-url http://localhost:8000/v1

  prefdata revise pairs.parquet -o better.parquet --model M --draft chosen --about anti-preachiness --rounds 2

  prefdata revise prompts.jsonl -o sft.parquet --model M --rounds 4 --emit sft --dry-run
"""

EXTRA: dict[str, Any] = {
    "data": (Annotated[list[str], typer.Argument(help="Files of prompts or records, globs, or - for stdin.")], ...),
    "out": (Annotated[str, typer.Option("--out", "-o", help="Output: .parquet, .jsonl, .jsonl.gz, .jsonl.zst, or - for stdout.")], ...),
    "json_": (Annotated[bool, typer.Option("--json", help="Print the account as one JSON object on stdout.")], False),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")], False),
}


def run(options: ReviseOptions, data: list[str], out: str, json_: bool, quiet: bool) -> int:
    from prefdata.cli.progress_calls import calls_bar
    from prefdata.judges.revise import revise

    with calls_bar("revise", hidden=quiet or json_) as progress:
        result = revise(data, out, options, progress)
    return told(result, json_, quiet, to_stdout=out == "-")


command = make(ReviseOptions, EXTRA, run)
