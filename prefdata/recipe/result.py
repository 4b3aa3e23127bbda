"""What came of a recipe."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["done", "up to date", "not asked for", "planned", "failed"]


@dataclass
class StepResult:
    name: str
    command: str
    out: str | None
    status: Status
    exit_code: int = 0
    seconds: float = 0.0
    lines: list[str] = field(default_factory=list)
    result: dict[str, Any] | None = None
    """What the command itself gives as --json."""


@dataclass
class RecipeResult:
    recipe: str
    out: str
    steps: list[StepResult] = field(default_factory=list)
    seconds: float = 0.0
    dry_run: bool = False

    @property
    def exit_code(self) -> int:
        """That of the step that stopped the recipe, else 1 when a step rejected rows or left records without an answer."""
        return next((s.exit_code for s in self.steps if s.status == "failed"), max((s.exit_code for s in self.steps), default=0))

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "exit_code": self.exit_code}

    def lines(self) -> list[str]:
        ran = sum(s.status == "done" for s in self.steps)
        same = sum(s.status == "up to date" for s in self.steps)
        if self.dry_run:
            todo = sum(s.status == "planned" for s in self.steps)
            return [f"{self.recipe}: {todo} of {len(self.steps)} steps would run, {same} are up to date; nothing was written"]
        stopped = next((s for s in self.steps if s.status == "failed"), None)
        if stopped is not None:
            return [f"{self.recipe}: stopped at {stopped.name!r} (exit code {stopped.exit_code}); the same command goes on from there"]
        return [f"{self.recipe}: {ran} steps ran, {same} were up to date, in {self.seconds:.1f} s; everything is in {self.out}"]
