"""Every option of `prefdata sample`: those of generate, score and select in one model.

An option keeps its name, and options that the three share (seed, limit, force ...) are given once. Where two mean different things, the
table below has the other name.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, create_model

from prefdata.options import Options
from prefdata.sampling.generate_options import GenerateOptions
from prefdata.sampling.score_options import ScoreOptions
from prefdata.sampling.select_options import SelectOptions

SCORE = {"beta": "implicit_beta", "model": "judge_model", "base_url": "judge_base_url", "temperature": "judge_temperature"}
SELECT = {"method": "select", "temperature": "p_temperature", "thoughts": "thoughts_in_pairs", "reference": "reference_answers"}
"""Names of score's and select's options, and what they are called here."""
OF_RUN = ("limit", "kind", "journal", "dry_run")
"""What only the first step has: it reads the prompts, the others read what came of them. Journals lie beside each file."""


def _fields() -> dict[str, Any]:
    out: dict[str, Any] = {}
    for model, renamed in ((ScoreOptions, SCORE), (SelectOptions, SELECT)):
        for name, field in model.model_fields.items():
            here = renamed.get(name, name)
            if here != name or (name not in GenerateOptions.model_fields and name not in out):
                out[here] = (field.annotation, field)
    out["judge_base_url"] = (
        ScoreOptions.model_fields["base_url"].annotation,
        Field(None, description="Server of judges; default: that of policies."),
    )
    out["judge_model"] = (str | None, Field(None, description="Model of judges and of graders that ask one; default: that of policies."))
    out["until"] = (Literal["generate", "score", "select"], Field("select", description="Stop behind this step; the same command goes on."))
    return out


SampleOptions = create_model(
    "SampleOptions", __base__=GenerateOptions, __doc__="Who answers, who scores, and what is selected.", **_fields()
)


def parts(options: Options) -> tuple[GenerateOptions, ScoreOptions, SelectOptions]:
    """The options of the three commands."""
    given = options.model_dump(exclude_unset=True)
    made = []
    for model, renamed in ((GenerateOptions, {}), (ScoreOptions, SCORE), (SelectOptions, SELECT)):
        taken = {}
        for name in model.model_fields:
            here = renamed.get(name, name)
            if here in given and not (model is not GenerateOptions and name in OF_RUN):
                taken[name] = given[here]
        made.append(taken)
    generate, score, select = made
    for name in ("model", "base_url"):  # one server and one model for everything, unless judges have their own
        if name in given and name not in score:
            score[name] = given[name]
    return GenerateOptions(**generate), ScoreOptions(**score), SelectOptions(**select)
