"""`prefdata sample`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from prefdata.cli.options import command as make
from prefdata.cli.options import told
from prefdata.sampling.sample_options import SampleOptions

HELP = """Rejection sampling: have policies answer prompts, score the answers, and select.

This is 'prefdata generate', 'prefdata score' and 'prefdata select', one after the other, with the options of all three. All candidates are
in OUT.generated.parquet, with their scores in OUT.scored.parquet, and what is selected in OUT. The same command goes on where it stopped;
--until stops behind a step.

Examples:

  prefdata sample prompts.jsonl -o pairs.parquet --policy hf:./model -n 8 --reward-model ./rm --select best-worst

  prefdata sample prompts.jsonl -o pairs.parquet --policy M --base-url http://localhost:8000/v1 -n 64 --reward-model ./rm --select rso --k 8

  prefdata sample prompts.jsonl -o sft.parquet --policy hf:./model --grader grader.json --select top-k
"""

EXTRA: dict[str, Any] = {
    "data": (Annotated[list[str], typer.Argument(help="Files of prompts or records, or globs.")], ...),
    "out": (Annotated[str, typer.Option("--out", "-o", help="Output: .parquet, .jsonl, .jsonl.gz or .jsonl.zst.")], ...),
    "json_": (Annotated[bool, typer.Option("--json", help="Print the account as one JSON object on stdout.")], False),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")], False),
}


def run(options: Any, data: list[str], out: str, json_: bool, quiet: bool) -> int:
    from prefdata.cli.progress_calls import calls_bar
    from prefdata.sampling.sample import sample

    with calls_bar("sample", hidden=quiet or json_) as progress:
        result = sample(data, out, options, progress)
    return told(result, json_, quiet)


command = make(SampleOptions, EXTRA, run)
