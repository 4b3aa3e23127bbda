"""The Python API: the commands as functions, with the same names and options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from prefdata.errors import InputError, UsageError
from prefdata.options import Options

if TYPE_CHECKING:
    import polars as pl

    from prefdata.checks.result import ValidateResult
    from prefdata.conversion.run import ConvertResult
    from prefdata.evaluate.policy import Done as Evaluated
    from prefdata.evaluate.result import EvalJudgeResult
    from prefdata.evaluate.rm_result import EvalRmResult
    from prefdata.exporters.run import ExportResult
    from prefdata.judges.revise import Done as Revised
    from prefdata.judges.run import Done
    from prefdata.llm.estimate import Estimate
    from prefdata.recipe.result import RecipeResult
    from prefdata.sampling.generate import Done as Generated
    from prefdata.sampling.sample import SampleResult
    from prefdata.sampling.score import Done as Scored
    from prefdata.sampling.select_result import SelectResult
    from prefdata.train.result import TrainResult


def convert(inputs: str | list[str], out: str, **options: Any) -> ConvertResult:
    """Convert raw sources to one file of records; see `prefdata convert --help` for the options (`from` is written `from_`).

    Returns the account; `result.exit_code` is 1 when rows were rejected (they are in `result.rejects`). Raises UsageError, InputError.

        result = prefdata.convert("safe.jsonl", "pairs.parquet", dimension="safer")
        result.counts  # {"read": 894, "kept": 894, "dropped": {}, "rejected": {}}
    """
    from prefdata.conversion.options import ConvertOptions
    from prefdata.conversion.run import convert as run

    return run(inputs, out, checked(ConvertOptions, options))


def validate(data: str | list[str], **options: Any) -> ValidateResult:
    """Check record files; see `prefdata validate --help` for the options. Raises UsageError, InputError.

    result = prefdata.validate("pairs.parquet", select=["PD1"])
    result.counts  # {"PD105": 2}
    """
    from prefdata.checks.options import ValidateOptions
    from prefdata.checks.run import validate as run

    return run(data, checked(ValidateOptions, options))


def export(data: str | list[str], out: str, **options: Any) -> ExportResult:
    """Write record files to a folder for a trainer (`to="trl"`); see `prefdata export --help` for the options.

    Returns the account; `result.exit_code` is 1 when rows were rejected or the target will refuse the files. Raises UsageError, InputError.

        result = prefdata.export("pairs.parquet", "out", to="trl", split={"test": 0.02})
        result.counts  # {"read": 836, "kept": 836, "dropped": {}, "rejected": {}}
    """
    from prefdata.exporters.options import ExportOptions
    from prefdata.exporters.run import export as run

    return run(data, out, checked(ExportOptions, options))


def label(data: str | list[str], out: str, **options: Any) -> Done:
    """Ask judges about records and write them with what was said; see `prefdata label --help` for the options.

    Returns the account; `result.exit_code` is 1 when rows were rejected or got no reply. With dry_run=True it is the estimate, with batch=
    what was exported or imported. Raises UsageError, InputError, ProviderError and BudgetError (the same call goes on from the journal).

        result = prefdata.label("pairs.parquet", "labelled.parquet", judge="pairwise", model="M", base_url="http://localhost:8000/v1")
        result.counts  # {"read": 100, "kept": 100, "dropped": {}, "rejected": {}}
    """
    from prefdata.judges.options import LabelOptions
    from prefdata.judges.run import label as run

    return run(data, out, checked(LabelOptions, options))


def revise(data: str | list[str], out: str, **options: Any) -> Revised:
    """Have a model criticise and rewrite answers by a constitution; see `prefdata revise --help` for the options.

    Returns the account; `result.exit_code` is 1 when rows were rejected or got no reply. With dry_run=True it is the estimate, with batch=
    what was exported or imported. Raises UsageError, InputError, ProviderError and BudgetError (the same call goes on from the journal).

        result = prefdata.revise("prompts.jsonl", "pairs.parquet", model="M", base_url="http://localhost:8000/v1", rounds=2)
        result.steps  # {"critique": 1, "revised": 199}
    """
    from prefdata.judges.revise import revise as run
    from prefdata.judges.revise_options import ReviseOptions

    return run(data, out, checked(ReviseOptions, options))


def generate(data: str | list[str], out: str, **options: Any) -> Generated:
    """Have policies answer every prompt several times; see `prefdata generate --help` for the options.

    Returns the account; `result.exit_code` is 1 when rows were rejected, prompts got nothing or replies are missing. With dry_run=True it
    is the estimate, with batch= what was exported or imported. Raises UsageError, InputError, ProviderError and BudgetError (the same call
    goes on from the journal).

        result = prefdata.generate("prompts.jsonl", "candidates.parquet", policy="hf:./model", n=8, temperature=0.8)
        result.counts  # {"read": 103, "kept": 103, "dropped": {}, "rejected": {}}
    """
    from prefdata.sampling.generate import generate as run
    from prefdata.sampling.generate_options import GenerateOptions

    return run(data, out, checked(GenerateOptions, options))


def score(data: str | list[str], out: str, **options: Any) -> Scored:
    """Score every answer of records; see `prefdata score --help` for the options.

    Returns the account; `result.exit_code` is 1 when rows were rejected or scores are missing. With dry_run=True it is the estimate. Raises
    UsageError, InputError, ProviderError and BudgetError (the same call goes on from the journal).

        result = prefdata.score("candidates.parquet", "scored.parquet", reward_model="./reward-model")
        result.scores["decided"]  # 824
    """
    from prefdata.sampling.score import score as run
    from prefdata.sampling.score_options import ScoreOptions

    return run(data, out, checked(ScoreOptions, options))


def select(data: str | list[str], out: str, **options: Any) -> SelectResult:
    """Select pairs or answers from lists of scored candidates; see `prefdata select --help` for the options.

    Returns the account; `result.exit_code` is 1 when rows were rejected. Raises UsageError, InputError.

        result = prefdata.select("scored.parquet", "pairs.parquet", method="rso", k=8, beta=0.5)
        result.figures["gain"]  # {"prompts": 98, "mean": 0.41, "low": 0.32, "high": 0.5}
    """
    from prefdata.sampling.select import select as run
    from prefdata.sampling.select_options import SelectOptions

    return run(data, out, checked(SelectOptions, options))


def eval_judge(data: str | list[str], **options: Any) -> EvalJudgeResult:
    """Measure the judges of labelled records against gold; see `prefdata eval judge --help` for the options.

    Returns the figures of each judge; `result.exit_code` is 1 when one is below min_agreement. Raises UsageError, InputError.

        result = prefdata.eval_judge("labelled.parquet", gold="reviewed.jsonl")
        result.judges[0].figures["agreement"]  # {"value": 0.739, "low": 0.659, "high": 0.806, "n": 134}
    """
    from prefdata.evaluate.judge import eval_judge as run
    from prefdata.evaluate.options import EvalJudgeOptions

    return run(data, checked(EvalJudgeOptions, options))


def eval_rm(data: str | list[str], out: str | None = None, **options: Any) -> EvalRmResult:
    """Measure a reward model on pairs; see `prefdata eval rm --help` for the options. `out` is a folder for scores, report and page.

    Returns the figures; `result.exit_code` is 1 when the accuracy is below min_accuracy. Raises UsageError, InputError.

        result = prefdata.eval_rm("held-out.parquet", "report", model="./reward-model")
        result.figures["accuracy"]  # {"value": 0.712, "low": 0.683, "high": 0.739, "n": 1000}
    """
    from prefdata.evaluate.rm import eval_rm as run
    from prefdata.evaluate.rm_options import EvalRmOptions

    return run(data, checked(EvalRmOptions, options), out)


def eval_policy(data: str | list[str], out: str, **options: Any) -> Evaluated:
    """Measure a tuned policy against its base; see `prefdata eval policy --help` for the options. `out` is a folder for answers and report.

    Returns the figures; `result.exit_code` is 1 when the win rate is below min_win_rate, rows were rejected or replies are missing. With
    dry_run=True it is the estimate. Raises UsageError, InputError, ProviderError and BudgetError (the same call goes on).

        result = prefdata.eval_policy("prompts.jsonl", "report", base="hf:./sft", tuned="hf:./dpo", reward_model="./reward-model")
        result.figures["win_rate"]  # {"value": 0.561, "low": 0.512, "high": 0.609, "n": 397}
    """
    from prefdata.evaluate.policy import eval_policy as run
    from prefdata.evaluate.policy_options import EvalPolicyOptions

    return run(data, out, checked(EvalPolicyOptions, options))


def train_model(method: Literal["dpo", "rm", "kto", "sft"], data: str | list[str], out: str, **options: Any) -> TrainResult:
    """Train a model on records; see `prefdata train --help` for the options. `out` is the folder of the model. (`prefdata.train` is the
    package, whose `python -m prefdata.train.vectors` checks the losses.)

    Returns the account. Raises UsageError, InputError; PrefdataError when a self-check at the start fails.

        result = prefdata.train_model("dpo", "pairs.parquet", "tuned", model="./model", loss={"dpo": 1, "sft": 0.1})
        result.metrics["rewards/accuracies"]  # 0.71
    """
    from prefdata.train.options import TrainOptions
    from prefdata.train.run import train as run

    return run(method, data, out, checked(TrainOptions, options))


def sample(data: str | list[str], out: str, **options: Any) -> SampleResult | Estimate:
    """Rejection sampling: generate candidates, score them, select; see `prefdata sample --help` for the options.

    Returns the accounts of the three steps. Raises UsageError, InputError, ProviderError and BudgetError (the same call goes on).

        result = prefdata.sample("prompts.jsonl", "pairs.parquet", policy="hf:./model", n=8, reward_model="./rm", select="rso")
        result.counts  # {"read": 100, "kept": 93, "dropped": {"tie": 7}, "rejected": {}}
    """
    from prefdata.sampling.sample import sample as run
    from prefdata.sampling.sample_options import SampleOptions

    return run(data, out, checked(SampleOptions, options))


def run_recipe(recipe: str, out: str | None = None, vars: dict[str, Any] | None = None, **options: Any) -> RecipeResult:
    """Run a recipe, a file or a shipped one by name, with values for its variables; see `prefdata run --help` for the options.

    Returns the account of every step; `result.exit_code` is that of the step that stopped it. Raises UsageError for a recipe that is wrong.

        result = prefdata.run_recipe("hh-dpo.yaml", out="runs/hh", vars={"model": "./base"})
        [step.status for step in result.steps]  # ["up to date", "done", "done"]
    """
    import json

    from prefdata.recipe.options import RunOptions
    from prefdata.recipe.run import run

    return run(recipe, [f"{k}={json.dumps(v)}" for k, v in (vars or {}).items()], out, checked(RunOptions, options))


def read(path: str, kind: str | None = None) -> pl.DataFrame:
    """Records of a prefdata file (Parquet, JSON lines, packed or not) as a polars frame, read strictly.

    Raises InputError when a row cannot be read: 'prefdata validate' names all of them. UsageError when the file is not prefdata's.
    """
    import polars as pl

    from prefdata.io.open import opened
    from prefdata.io.own import own_file, slim
    from prefdata.io.plan import plan
    from prefdata.io.read import read_shard

    frames = []
    with opened([path]) as files:
        if len(files) != 1:
            raise UsageError(f"{path} is {len(files)} files; read them one by one")
        inp = files[0]
        how = own_file(inp, kind)
        line = 1
        for shard in plan(inp):
            batch = read_shard(shard, how.layout, how.columns)
            if batch.rejects:
                first = batch.rejects[0]
                raise InputError(f"{inp.name}:{line + first.line}: {first.reason}; 'prefdata validate {path}' names every such row")
            line += batch.line_count
            frames.append(batch.df)
    df = pl.concat(frames) if frames else pl.DataFrame(schema=how.layout.dtypes)
    return df if inp.format == "parquet" else slim(df, list(how.layout.present))


def checked(model: type[Options], values: dict[str, Any]) -> Any:
    """The option model from keyword arguments. Raises UsageError with every wrong one and the nearest right name."""
    from difflib import get_close_matches

    from pydantic import ValidationError

    from prefdata.schema.records import explain

    try:
        return model.model_validate(values)
    except ValidationError as e:
        lines = []
        for field, message in explain(e):
            near = get_close_matches(field, model.model_fields, n=1)
            unknown = field not in model.model_fields and field.split(".")[0] not in model.model_fields
            lines.append(f"{field}: unknown option{f'; did you mean {near[0]}?' if near else ''}" if unknown else f"{field}: {message}")
        raise UsageError("\n".join(lines)) from None
