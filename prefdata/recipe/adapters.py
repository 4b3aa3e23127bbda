"""Commands whose function is not (data, out, options, progress), as if it were."""

from __future__ import annotations

import os
import shutil
from functools import partial
from typing import Any

import orjson

from prefdata.checks.options import ValidateOptions
from prefdata.evaluate.options import EvalJudgeOptions
from prefdata.evaluate.rm_options import EvalRmOptions
from prefdata.io.write import replacing


def validate(data: list[str], out: str | None, options: ValidateOptions, progress: Any) -> Any:
    """`out`: a report, whose name decides its format (.sarif, .xml, .md, .json, .jsonl, .txt)."""
    from prefdata.checks import reports
    from prefdata.checks.run import validate as run

    files = {out: reports.format_of(out)} if out else {}
    most = max(map(reports.shown, ("text", *files.values())))
    result = run(data, options if options.show is not None else options.model_copy(update={"show": most}), progress)
    reports.write(result, files, options.show)
    return result


def eval_judge(data: list[str], out: str | None, options: EvalJudgeOptions, progress: Any) -> Any:
    """`out`: the figures as a JSON file."""
    from prefdata.evaluate.judge import eval_judge as run

    result = run(data, options, progress)
    if out:
        with replacing(out) as temporary, open(temporary, "wb") as f:
            f.write(orjson.dumps(result.as_dict(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return result


def eval_rm(data: list[str], out: str | None, options: EvalRmOptions, progress: Any) -> Any:
    from prefdata.evaluate.rm import eval_rm as run

    return run(data, options, out, progress)


def _train(method: Any, data: list[str], out: str, options: Any, progress: Any) -> Any:
    from prefdata.train.run import train

    return train(method, data, out, options, progress)


train_dpo, train_rm, train_kto, train_sft = (partial(_train, method) for method in ("dpo", "rm", "kto", "sft"))


def forget(out: str) -> None:
    """Remove the checkpoints of another training, or of the members of an ensemble, from a folder: a new one must not go on from them."""
    for folder in (out, *(os.path.join(out, n) for n in (os.listdir(out) if os.path.isdir(out) else ()) if n.isdecimal())):
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if name.startswith("checkpoint-"):
                shutil.rmtree(os.path.join(folder, name))


def said(result: Any, show: int = 5) -> list[str]:
    """What a result has to say to people, as lines."""
    from prefdata.checks.result import ValidateResult

    if isinstance(result, ValidateResult):
        from prefdata.checks import reports

        return reports.render(result, "text", show).splitlines()
    if hasattr(result, "lines"):
        return list(result.lines())
    return [line for line in result.text().splitlines() if line]
