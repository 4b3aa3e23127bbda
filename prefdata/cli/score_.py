"""`prefdata score`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from prefdata.cli.options import command as make
from prefdata.cli.options import told
from prefdata.sampling.score_options import ScoreOptions

HELP = """Score every answer of records: by reward models, graders, judges, or what a policy has learnt.

A score is an annotation, and the candidate's score is what the scorers say together. An answer that cannot be scored (too long, no reply)
has the reason, and no number. What was scored is kept in OUT.journal: the same command goes on where it was stopped.

Exit code 1: rows were rejected or scores are missing. 4: a server gave up or the budget is spent; the same command goes on. 130:
interrupted, likewise.

Examples:

  prefdata score candidates.parquet -o scored.parquet --reward-model ./reward-model

  prefdata score candidates.parquet -o scored.parquet --reward-model ./rm-a,./rm-b --aggregate uncertainty --standardise prompt

  prefdata score candidates.parquet -o scored.parquet --implicit ./dpo --reference ./sft --beta 0.1

  prefdata score candidates.parquet -o scored.parquet --judge rubric --model M --base-url http://localhost:8000/v1

  prefdata score candidates.parquet -o scored.parquet --grader grader.json
"""

EXTRA: dict[str, Any] = {
    "data": (Annotated[list[str], typer.Argument(help="Files of records, globs, or - for stdin.")], ...),
    "out": (Annotated[str, typer.Option("--out", "-o", help="Output: .parquet, .jsonl, .jsonl.gz, .jsonl.zst, or - for stdout.")], ...),
    "json_": (Annotated[bool, typer.Option("--json", help="Print the account as one JSON object on stdout.")], False),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")], False),
}


def run(options: ScoreOptions, data: list[str], out: str, json_: bool, quiet: bool) -> int:
    from prefdata.cli.progress_calls import calls_bar
    from prefdata.sampling.score import score

    with calls_bar("score", hidden=quiet or json_) as progress:
        result = score(data, out, options, progress)
    return told(result, json_, quiet, to_stdout=out == "-")


command = make(ScoreOptions, EXTRA, run)
