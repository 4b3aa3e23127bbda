"""Every option of `prefdata revise`: one model for the command line, the Python API and recipes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from prefdata.judges.constitution import About
from prefdata.llm.options import ClientOptions, listed
from prefdata.options import Kind

Values = Annotated[list[About], BeforeValidator(listed)]


class ReviseOptions(ClientOptions):
    """By which principles answers are criticised and rewritten, and what is written of it."""

    constitution: str = Field(
        "default", description="Constitution: a shipped one ('prefdata list constitutions'), a YAML, or a JSON of the paper."
    )
    about: Values = Field(
        default_factory=list, description="Draw principles about these values only, as honesty,anti-preachiness; default: about all."
    )
    rounds: int = Field(1, ge=1, le=16, description="Critiques and revisions of each answer, one after the other.")
    draft: Literal["generate", "chosen", "rejected", "completion"] = Field(
        "generate", description="The answer to begin with: the model's own, or one that the records have."
    )
    emit: Literal["pairs", "sft", "steps"] = Field(
        "pairs",
        description="pairs: last revision over draft; sft: every revision as a binary record; steps: lists of the draft and all revisions.",
    )
    examples: int | None = Field(None, ge=0, description="Worked examples of the constitution shown before; default: all.")
    temperature: float = Field(1.0, ge=0, le=2, description="Temperature of drafts, critiques and revisions.")
    max_tokens: int = Field(1024, ge=1, description="Most tokens of a draft or a revision; a longer one is cut off and not used.")
    critique_tokens: int = Field(512, ge=1, description="Most tokens of a critique.")
    resample: int = Field(1, ge=0, le=20, description="Second tries of a text that cannot be used.")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="Seed of the draws of principles and of second tries.")
    kind: Kind | None = Field(None, description="Kind of the records; default: seen from the columns.")
    limit: int | None = Field(None, ge=1, description="Read only the first N rows.")
    force: bool = Field(False, description="Revise again even if OUT is up to date (replies of the journal are not asked again).")
