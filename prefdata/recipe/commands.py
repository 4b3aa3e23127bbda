"""The commands that a recipe can have as steps: their option models, their functions, and which options name files."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal, NamedTuple

from prefdata.options import Options

Run = Callable[[list[str], Any, Any, Any], Any]
"""(data, out, options, progress) -> the result of the command."""


class Command(NamedTuple):
    """`writes`: what its `out` is; one that is `optional` may be left out. A `gate` that exits with 1 stops the recipe (of others 1
    says that rows were rejected). `asks`: it may call servers, and its dry run says what that costs."""

    options: str
    run: str
    writes: Literal["file", "folder", "report"] = "file"
    optional: bool = False
    gate: bool = False
    asks: bool = False
    paths: tuple[str, ...] = ()

    def model(self) -> type[Options]:
        found: type[Options] = _load(self.options)
        return found

    def function(self) -> Run:
        found: Run = _load(self.run)
        return found


def _load(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


ADAPTERS = "prefdata.recipe.adapters"
TRAIN = ("model", "tokenizer", "reference", "eval_data")
COMMANDS: dict[str, Command] = {
    "convert": Command("prefdata.conversion.options:ConvertOptions", "prefdata.conversion.run:convert", paths=("map",)),
    "validate": Command(
        "prefdata.checks.options:ValidateOptions",
        f"{ADAPTERS}:validate",
        "report",
        optional=True,
        gate=True,
        paths=("baseline", "tokenizer"),
    ),
    "label": Command(
        "prefdata.judges.options:LabelOptions", "prefdata.judges.run:label", asks=True, paths=("judge", "jury", "constitution", "gold")
    ),
    "revise": Command("prefdata.judges.revise_options:ReviseOptions", "prefdata.judges.revise:revise", asks=True, paths=("constitution",)),
    "generate": Command(
        "prefdata.sampling.generate_options:GenerateOptions", "prefdata.sampling.generate:generate", asks=True, paths=("policy", "policies")
    ),
    "score": Command(
        "prefdata.sampling.score_options:ScoreOptions",
        "prefdata.sampling.score:score",
        asks=True,
        paths=("reward_model", "implicit", "reference", "grader", "judge", "constitution"),
    ),
    "select": Command("prefdata.sampling.select_options:SelectOptions", "prefdata.sampling.select:select"),
    "sample": Command(
        "prefdata.sampling.sample_options:SampleOptions",
        "prefdata.sampling.sample:sample",
        asks=True,
        paths=("policy", "policies", "reward_model", "implicit", "reference", "grader", "judge", "constitution"),
    ),
    "export": Command(
        "prefdata.exporters.options:ExportOptions", "prefdata.exporters.run:export", "folder", paths=("tokenizer", "register_in")
    ),
    **{
        f"train {method}": Command("prefdata.train.options:TrainOptions", f"{ADAPTERS}:train_{method}", "folder", paths=TRAIN)
        for method in ("dpo", "rm", "kto", "sft")
    },
    "eval judge": Command(
        "prefdata.evaluate.options:EvalJudgeOptions", f"{ADAPTERS}:eval_judge", "report", optional=True, gate=True, paths=("gold",)
    ),
    "eval rm": Command(
        "prefdata.evaluate.rm_options:EvalRmOptions",
        f"{ADAPTERS}:eval_rm",
        "folder",
        optional=True,
        gate=True,
        paths=("model", "reference", "tokenizer"),
    ),
    "eval policy": Command(
        "prefdata.evaluate.policy_options:EvalPolicyOptions",
        "prefdata.evaluate.policy:eval_policy",
        "folder",
        gate=True,
        asks=True,
        paths=("base", "tuned", "reward_model", "tokenizer", "grader", "judge", "constitution"),
    ),
}
"""By the words of the command line."""
