"""`prefdata train`."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

import typer

from prefdata.cli.options import command as make
from prefdata.cli.options import told
from prefdata.train.options import TrainOptions

HELP = """Train a model on records.

dpo: pairs, every pairwise loss ('prefdata list losses'); rm: a reward model on pairs or lists; kto: single labelled completions;
sft: the chosen (or desirable) completions.

The folder gets the model and its tokenizer, metrics.jsonl and metrics.csv, plots, a card and a manifest. The same command goes on from the
last checkpoint. Several GPUs: accelerate launch --num_processes 8 -m prefdata.cli.main train ...

Examples:

  prefdata train dpo pairs.parquet --model ./sft-model -o out --loss-args beta=0.1

  prefdata train dpo pairs.parquet --model ./sft-model -o out --loss dpo:1,sft:0.1 --lora 16

  prefdata train rm pairs.parquet --model ./base-model -o rm --eval-data held-out.parquet
"""

EXTRA: dict[str, Any] = {
    "method": (Annotated[Literal["dpo", "rm", "kto", "sft"], typer.Argument(help="What is trained.")], ...),
    "data": (Annotated[list[str], typer.Argument(help="Files of records, or globs.")], ...),
    "out": (Annotated[str, typer.Option("--out", "-o", help="Output folder.")], ...),
    "json_": (Annotated[bool, typer.Option("--json", help="Print the account as one JSON object on stdout.")], False),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")], False),
}


def run(options: TrainOptions, method: Any, data: list[str], out: str, json_: bool, quiet: bool) -> int:
    from prefdata.cli.progress_train import steps_bar
    from prefdata.errors import PrefdataError, UsageError

    try:
        from prefdata.train.run import train
    except ModuleNotFoundError as e:
        raise UsageError(f"training needs {e.name or 'transformers with accelerate'}: pip install 'prefdata[train]'") from None
    rank = os.environ.get("RANK", "0")
    first = rank == "0"  # one of several processes speaks ('accelerate launch', torchrun)
    try:
        with steps_bar(f"train {method}", hidden=quiet or json_ or not first) as progress:
            result = train(method, data, out, options, progress)
    except PrefdataError as e:
        raise e if first else type(e)(f"process {rank}: {e}") from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; the same command goes on from the last whole checkpoint") from None
    if not first:
        return result.exit_code
    return told(result, json_, quiet)


command = make(TrainOptions, EXTRA, run)
