"""Every option of `prefdata generate`: one model for the command line, the Python API and recipes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from prefdata.llm.options import ClientOptions, Listed
from prefdata.options import Kind, Options


def _one_or_more(value: Any) -> Any:
    """A text is a list of one: a stop text may have commas."""
    return [value] if isinstance(value, str) else value


Stops = Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_one_or_more), Field(max_length=4)]
Count = Annotated[int, Field(ge=1, le=4096)]
Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(gt=0, le=1)]
Tokens = Annotated[int, Field(ge=1)]


class PolicySettings(Options):
    """One policy as the YAML of --policies writes it. What it does not say is as on the command line."""

    policy: str
    name: Annotated[str, Field(min_length=1)] | None = None
    n: Count | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: Count | None = None
    max_tokens: Tokens | None = None
    system: str | None = None
    stop: Stops | None = None
    thoughts: bool | None = None
    base_url: Listed | None = None
    provider: Literal["openai", "azure"] | None = None
    api_version: str | None = None
    api_key_env: str | None = None


class PoliciesFile(Options):
    """The YAML of --policies."""

    policies: list[PolicySettings] = Field(min_length=1)


class GenerateOptions(ClientOptions):
    """Who answers, how often, and how the answers are drawn."""

    model: str | None = Field(None, description="The same as --policy, for one model on a server.")
    policy: Listed = Field(
        default_factory=list,
        description="Who answers: a model on the server, or hf:FOLDER, a local transformers model; several with commas.",
    )
    policies: str | None = Field(None, description="YAML of policies, each with settings of its own (docs/generate.md).")
    n: Count = Field(8, description="Answers per prompt and policy; at temperature 0 all are the same, and one is asked for.")
    temperature: Temperature = Field(1.0, description="Temperature; 0: always the likeliest token.")
    top_p: TopP = Field(1.0, description="Draw from the likeliest tokens that have this probability together.")
    top_k: Count | None = Field(None, description="Draw from so many likeliest tokens; of servers, vLLM and its like know this.")
    max_tokens: Tokens = Field(1024, description="Most tokens of an answer; a longer one is cut, and kept with finish_reason length.")
    system: str | None = Field(None, description="System text in front of every prompt; a prompt's own system text stays, below it.")
    stop: Stops = Field(default_factory=list, description="Text that ends an answer and is no part of it (in YAML and Python: up to four).")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="Seed of the draws; each depends on it, the prompt, the settings and the sample.")
    thoughts: bool = Field(False, description="Ask for thoughts before the answer, and store them apart from it (TPO).")
    keep_completions: bool = Field(False, description="The completions (chosen, rejected) that the records have join as candidates.")
    iteration: int | None = Field(None, ge=0, description="Number of this round of sampling and training: policies are named NAME@k.")
    batch_size: int = Field(32, ge=1, description="hf: answers that are generated together; halved when memory runs out.")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="hf: type of the weights; auto: bfloat16 on a GPU, else float32."
    )
    kind: Kind | None = Field(None, description="Kind of the records; default: seen from the columns.")
    limit: int | None = Field(None, ge=1, description="Read only the first N rows.")
    force: bool = Field(False, description="Write again even if OUT is up to date (replies of the journal are not asked again).")
