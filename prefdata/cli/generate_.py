"""`prefdata generate`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from prefdata.cli.options import command as make
from prefdata.cli.options import told
from prefdata.sampling.generate_options import GenerateOptions

HELP = """Have policies answer every prompt several times, and write all candidates.

Prompts are records of any kind, or rows with a column prompt (a text, or turns). A policy is a model on an OpenAI-compatible server, or
hf:FOLDER, a local transformers model; several can answer in one run (--policies FILE.yaml gives each its own settings). OUT has one
listwise record per prompt; prompts that got nothing go to OUT.dropped.jsonl with the reason. Replies are kept in OUT.journal: the same
command goes on where it was stopped, and none is paid or generated twice.

Exit code 1: rows were rejected, prompts got nothing, or replies are missing. 4: the server gave up or the budget is spent; the same
command goes on. 130: interrupted, likewise.

Examples:

  prefdata generate prompts.jsonl -o candidates.parquet --policy M -n 8 --base-url http://localhost:8000/v1

  prefdata generate pairs.parquet -o candidates.parquet --policy hf:./model --temperature 0.8 --top-p 0.95 --keep-completions

  prefdata generate prompts.jsonl -o candidates.parquet --policies policies.yaml --thoughts --dry-run
"""

EXTRA: dict[str, Any] = {
    "data": (Annotated[list[str], typer.Argument(help="Files of prompts or records, globs, or - for stdin.")], ...),
    "out": (Annotated[str, typer.Option("--out", "-o", help="Output: .parquet, .jsonl, .jsonl.gz, .jsonl.zst, or - for stdout.")], ...),
    "json_": (Annotated[bool, typer.Option("--json", help="Print the account as one JSON object on stdout.")], False),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")], False),
}


def run(options: GenerateOptions, data: list[str], out: str, json_: bool, quiet: bool) -> int:
    from prefdata.cli.progress_calls import calls_bar
    from prefdata.sampling.generate import generate

    with calls_bar("generate", hidden=quiet or json_) as progress:
        result = generate(data, out, options, progress)
    return told(result, json_, quiet, to_stdout=out == "-")


command = make(GenerateOptions, EXTRA, run)
