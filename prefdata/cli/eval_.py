"""`prefdata eval`: measure judges, reward models and policies."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from prefdata.cli.options import command as make
from prefdata.cli.options import visible
from prefdata.evaluate.options import EvalJudgeOptions
from prefdata.evaluate.policy_options import EvalPolicyOptions
from prefdata.evaluate.rm_options import EvalRmOptions

HELP = """Measure judges and models.

Examples:

  prefdata eval judge labelled.parquet

  prefdata eval judge labelled.parquet --gold reviewed.jsonl --min-agreement 0.75

  prefdata eval rm held-out.parquet --model ./reward-model -o report

  prefdata eval policy prompts.jsonl -o report --base hf:./sft --tuned hf:./dpo --reward-model ./reward-model
"""

JUDGE = """Measure judges against gold: agreement, Cohen's kappa, what the place and the length of an answer do, calibration, cost.

The judges are the annotators of the records, as prefdata label writes them and as sources bring them.

Exit code 0; 1: a judge is below --min-agreement, or rows cannot be used; 2: wrong options; 3: a file cannot be read.

Examples:

  prefdata label pairs.parquet -o labelled.parquet --judge pairwise --model M --base-url http://localhost:8000/v1

  prefdata eval judge labelled.parquet

  prefdata eval judge labelled.parquet --gold human --by source --json

  prefdata eval judge labelled.parquet --gold reviewed.jsonl --min-agreement 0.75
"""

EXTRA: dict[str, Any] = {
    "data": (Annotated[list[str], typer.Argument(help="Labelled records: files, globs, or - for stdin.")], ...),
    "json_": (Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object on stdout.")], False),
    "output": (Annotated[str | None, typer.Option("--out", "--output", "-o", help="Also write the figures to a JSON file.")], None),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing; only the exit code tells.")], False),
}


def run_judge(options: EvalJudgeOptions, data: list[str], json_: bool, output: str | None, quiet: bool) -> int:
    import orjson

    from prefdata.cli.progress import progress_bar
    from prefdata.evaluate.judge import eval_judge
    from prefdata.io.write import replacing

    with progress_bar("eval judge", hidden=quiet or json_) as progress:
        result = eval_judge(data, options, progress)
    if output:
        with replacing(output) as temporary, open(temporary, "wb") as f:
            f.write(orjson.dumps(result.as_dict(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    if json_:
        print(orjson.dumps(result.as_dict()).decode())
    elif not quiet:
        print(visible(result.text()), end="")
    return result.exit_code


RM = """Measure a reward model, or the implicit rewards of a DPO model, on pairs: accuracy, calibration, margins, what length does.

--model is a folder with safetensors; no code of it runs. A causal model is scored by beta (log pi - log pi_ref) with --reference, else by
beta log pi. The output folder has the scores (Parquet, TSV), report.json, plots and one page, report.html.

Exit code 0; 1: the accuracy is below --min-accuracy; 2: wrong options; 3: a file or a model cannot be read.

Examples:

  prefdata eval rm held-out.parquet --model ./reward-model -o report

  prefdata eval rm held-out.parquet --model ./dpo --reference ./sft --beta 0.1 --json

  prefdata eval rm reward-bench.parquet --model ./reward-model --by subset --min-accuracy 0.7
"""

RM_EXTRA: dict[str, Any] = {
    **EXTRA,
    "data": (Annotated[list[str], typer.Argument(help="Pair records: files, globs, or - for stdin.")], ...),
    "output": (
        Annotated[str | None, typer.Option("--out", "--output", "-o", help="Output folder: scores, report, page and plots.")],
        None,
    ),
}


def run_rm(options: EvalRmOptions, data: list[str], json_: bool, output: str | None, quiet: bool) -> int:
    import orjson

    from prefdata.cli.progress import progress_bar
    from prefdata.errors import UsageError

    try:
        from prefdata.evaluate.rm import eval_rm
    except ModuleNotFoundError as e:
        raise UsageError(f"eval rm needs {e.name or 'transformers with accelerate'}: pip install 'prefdata[train]'") from None
    with progress_bar("eval rm", hidden=quiet or json_) as progress:
        result = eval_rm(data, options, output, progress)
    if json_:
        print(orjson.dumps(result.as_dict()).decode())
    elif not quiet:
        print(visible(result.text()), end="")
    return result.exit_code


POLICY = """Measure a tuned policy against its base: both answer the same prompts, and a reward model or a judge compares the answers.

Win rate with its interval, paired tests, differences of scores, the win rate at equal length (as in AlpacaEval 2), truncated and identical
answers, and the cases that gained and lost most. The output folder has the table (Parquet, JSON lines), report.json, plots and one page,
report.html. Answers and scores are kept there as they come: after a stop the same command goes on.

Exit code 0; 1: the win rate is below --min-win-rate, rows cannot be used, or replies are missing; 2: wrong options; 3: a file or a model
cannot be read; 4: the server gave up, or the budget is spent.

Examples:

  prefdata eval policy prompts.jsonl -o report --base hf:./sft --tuned hf:./dpo --reward-model ./reward-model

  prefdata eval policy prompts.jsonl -o report --base hf:./sft --tuned hf:./dpo --judge pairwise --model M --base-url http://localhost:8000/v1

  prefdata eval policy prompts.jsonl -o report --base M --tuned N --base-url http://localhost:8000/v1 --reward-model ./rm --min-win-rate 0.5
"""

POLICY_EXTRA: dict[str, Any] = {
    "data": (Annotated[list[str], typer.Argument(help="Files of prompts or records, or globs.")], ...),
    "output": (Annotated[str, typer.Option("--out", "--output", "-o", help="Output folder: answers, scores, report and page.")], ...),
    "json_": (Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object on stdout.")], False),
    "quiet": EXTRA["quiet"],
}


def run_policy(options: EvalPolicyOptions, data: list[str], output: str, json_: bool, quiet: bool) -> int:
    import orjson

    from prefdata.cli.progress_calls import calls_bar
    from prefdata.errors import UsageError

    try:
        from prefdata.evaluate.policy import eval_policy
    except ModuleNotFoundError as e:
        raise UsageError(f"eval policy needs {e.name or 'transformers with accelerate'}: pip install 'prefdata[train]'") from None
    with calls_bar("eval policy", hidden=quiet or json_) as progress:
        result = eval_policy(data, output, options, progress)
    if json_:
        print(orjson.dumps(result.as_dict()).decode())
    elif not quiet:
        for line in result.lines():
            print(visible(line.replace("\n", "\\n")))
    return result.exit_code


COMMANDS = {
    "judge": (JUDGE, make(EvalJudgeOptions, EXTRA, run_judge)),
    "rm": (RM, make(EvalRmOptions, RM_EXTRA, run_rm)),
    "policy": (POLICY, make(EvalPolicyOptions, POLICY_EXTRA, run_policy)),
}
