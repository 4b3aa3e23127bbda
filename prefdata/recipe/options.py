"""Every option of `prefdata run`."""

from __future__ import annotations

from pydantic import Field

from prefdata.options import Options


class RunOptions(Options):
    """Which steps of a recipe run."""

    from_: str | None = Field(None, alias="from", description="Begin at this step; what earlier ones wrote is taken as it is.")
    until: str | None = Field(None, description="Stop behind this step.")
    dry_run: bool = Field(False, description="Run nothing: say which steps would run, and what calls of servers would cost.")
    force: bool = Field(False, description="Run steps again that are up to date.")
