"""Every option of `prefdata eval judge`: one model for the command line and the Python API."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from prefdata.llm.options import Listed
from prefdata.options import Kind, Options


class EvalJudgeOptions(Options):
    """What is gold, whose annotations are measured, and how several calls become one verdict."""

    gold: str = Field(
        "source",
        description="source: what the records say (chosen, ranks, scores); human: the majority of people's annotations; FILE: other "
        "records with the same prompts and answers, in any order and of any kind.",
    )
    judge: Listed = Field(
        default_factory=list,
        description="Annotators to measure, with * as a wildcard; default: all judges and reward models. A person can be named, too, and "
        "is then no part of --gold human.",
    )
    by: Literal["aspect", "source"] | None = Field(None, description="Figures per aspect (principle) or per source as well.")
    jury: Literal["majority", "dawid-skene"] | None = Field(None, description="Measure the judges together, too, as a jury.")
    flip: Literal["tie", "average"] = Field(
        "tie", description="Orders that disagree: a tie, or the mean of both in logit space (needs log-probs)."
    )
    min_agreement: float | None = Field(None, ge=0, le=1, description="Agreement below which the exit code is 1, as 0.75.")
    kind: Kind | None = Field(None, description="Kind of the records; default: seen from the columns.")
    limit: int | None = Field(None, ge=1, description="Read only the first N rows.")
    threads: int | None = Field(None, ge=1, description="Worker threads; default: one per core.")
