"""Options of every command that asks a server: where, how fast, for how much."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from prefdata.options import Options


def listed(value: Any) -> Any:
    """`a,b` as a list."""
    return [v.strip() for v in value.split(",") if v.strip()] if isinstance(value, str) else value


Listed = Annotated[list[str], BeforeValidator(listed)]


class ClientOptions(Options):
    """Which model answers, on which servers, within which limits. Keys come from the environment only."""

    model: str | None = Field(None, description="Model (Azure: deployment) that answers.")
    base_url: Listed = Field(
        default_factory=lambda: ["https://api.openai.com/v1"],
        description="Server, as http://localhost:8000/v1; several with commas share the load.",
    )
    provider: Literal["openai", "azure"] = Field("openai", description="openai: any OpenAI-compatible server; azure: Azure OpenAI.")
    api_version: str | None = Field(None, description="azure: api-version of the REST interface; default: the v1 interface without one.")
    api_key_env: str = Field("OPENAI_API_KEY", description="Environment variable with the key; a local server needs none.")
    concurrency: int = Field(64, ge=1, le=4096, description="Most requests in flight; the client goes lower when the server is overloaded.")
    rpm: float | None = Field(None, gt=0, description="Most requests a minute; default: what the server's headers and errors say.")
    tpm: float | None = Field(None, gt=0, description="Most tokens a minute; default: what the server's headers say.")
    timeout: float = Field(120.0, gt=0, description="Seconds in all for one try, however slowly the answer drips.")
    deadline: float = Field(600.0, gt=0, description="Seconds in all for one request with its retries.")
    retries: int = Field(6, ge=0, le=100, description="Most retries of a request after overload, timeouts and broken replies.")
    budget: float | None = Field(
        None, gt=0, description="Most USD to spend; needs prices. A request is only sent when its most expensive answer fits."
    )
    budget_tokens: int | None = Field(None, gt=0, description="Most tokens to spend, prompts and answers together.")
    budget_calls: int | None = Field(None, gt=0, description="Most calls to pay for; those that the server refused are not paid.")
    price_in: float | None = Field(None, ge=0, description="USD per million prompt tokens.")
    price_out: float | None = Field(None, ge=0, description="USD per million answer tokens.")
    journal: str | None = Field(None, description="Where replies are kept, so that none is paid twice; default: OUT.journal.")
    offline: bool = Field(False, description="Send nothing: use the replies of the journal alone.")
    dry_run: bool = Field(False, description="Send nothing: say how many calls and tokens it would take, and the range of the price.")
    batch: Literal["export", "import"] | None = Field(
        None, description="export: write requests to batch files in OUT.batch/; import: take their results in."
    )
