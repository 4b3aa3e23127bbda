"""Options of the mock server, and what it counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field, model_validator

from prefdata.llm.mock_judges import Name
from prefdata.options import Options


class MockOptions(Options):
    """What the server answers, and how well."""

    port: int = Field(0, ge=0, le=65535, description="Port on 127.0.0.1; 0: a free one.")
    judge: Name | None = Field(
        None, description="Who answers: longest (default), shortest, overlap, first, second, tie, constant, garbage, empty, script."
    )
    script: str | None = Field(None, description="JSON lines of rules that answer first; what no rule answers goes to --judge.")
    latency: float = Field(0.0, ge=0, description="Seconds that every answer takes.")
    rpm: float | None = Field(None, gt=0, description="Most requests a minute; what is above gets 429 with Retry-After.")
    burst: int | None = Field(None, ge=1, description="Most requests at once under --rpm; default: those of a second, at least one.")
    no_headers: bool = Field(False, description="Say nothing about limits: neither x-ratelimit headers nor Retry-After.")
    faults: float = Field(0.0, ge=0, le=1, description="Share of requests that go wrong: errors, broken connections and replies.")
    seed: int = Field(0, description="Which requests go wrong.")

    @model_validator(mode="after")
    def _whole(self) -> MockOptions:
        if self.judge == "script" and self.script is None:
            raise ValueError("--judge script needs --script FILE")
        if self.rpm is None and (self.burst is not None):
            raise ValueError("--burst goes with --rpm")
        return self


@dataclass
class Stats:
    """What a server has done so far."""

    requests: int = 0
    answered: int = 0
    """Requests that got a whole answer (status 200, no fault)."""
    repeated: int = 0
    """Requests whose like (the same bytes) had been answered before: paid twice on a real server."""
    rate_limited: int = 0
    refused: int = 0
    """Requests that were wrong themselves, or that no rule of the script answers."""
    faults: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    tokens_in: int = 0
    tokens_out: int = 0
    in_flight: int = 0
    most_in_flight: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "faults": dict(self.faults), "models": dict(self.models)}
