"""From --judge and --model to judges with their servers: one judge, several with commas, a YAML of a jury, local reward models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from prefdata.errors import PrefdataError, UsageError
from prefdata.judges import jury, reward_model
from prefdata.judges.judge import Judge, load
from prefdata.judges.options import JudgeOptions
from prefdata.llm.client import Pool, pool_of
from prefdata.llm.options import ClientOptions, Listed
from prefdata.options import Options
from prefdata.rewards.load import RewardModel
from prefdata.yaml_files import read

_JURY = re.compile(r"^members\s*:", re.M)
"""What a YAML of a jury has and that of a judge has not."""


class Seat(Options):
    """One judge of a jury as its YAML writes it. What it does not say is as on the command line."""

    judge: str
    model: str | None = None
    weight: Annotated[float, Field(gt=0)] = 1.0
    base_url: Listed | None = None
    provider: Literal["openai", "azure"] | None = None
    api_version: str | None = None
    api_key_env: str | None = None


class Jury(Options):
    """The YAML of a jury."""

    members: list[Seat] = Field(min_length=1)


@dataclass(frozen=True)
class Member:
    """A judge with the model that it asks in the servers of `pool`, or the folder of a local reward model."""

    judge: Judge | None
    model: str
    pool: str = ""
    weight: float = 1.0

    @property
    def annotator(self) -> str:
        return self.judge.annotator(self.model) if self.judge is not None else reward_model.annotator_of(self.model)


@dataclass(frozen=True)
class Panel:
    """Everybody who judges, and the servers by the names that requests carry."""

    members: tuple[Member, ...]
    pools: dict[str, Pool]

    @property
    def asks(self) -> bool:
        """Whether a server is needed at all."""
        return any(m.judge is not None for m in self.members)

    @cached_property
    def reward_models(self) -> dict[str, RewardModel]:
        """The local models by their folders, loaded when they are first needed. Raises UsageError and InputError."""
        return {m.model: reward_model.load(m.model) for m in self.members if m.judge is None}


def panel_of(options: JudgeOptions) -> Panel:
    """The judges and their servers. Raises UsageError with everything that is wrong."""
    members: list[Member] = []
    pools: dict[str, Pool] = {}
    wrong: list[str] = []
    try:
        jury.check(options.jury)
    except UsageError as e:
        wrong.append(str(e))
    for seat in _seats(options.judge, wrong):
        try:
            members.append(_member(seat, options, pools))
        except PrefdataError as e:
            wrong.append(str(e))
    names = [m.annotator for m in members]
    twice = sorted({n for n in names if names.count(n) > 1})
    wrong += [f"--judge: {name} is named twice, and would say everything twice" for name in twice]
    if wrong:
        raise UsageError("\n".join(dict.fromkeys(wrong)))
    return Panel(tuple(members), pools)


def _seats(names: list[str], wrong: list[str]) -> list[Seat]:
    out = []
    for name in names:
        try:
            if name.startswith("rm:"):
                out.append(Seat(judge=name))
            elif _is_jury(name):
                out += read(Jury, "judges", name).members
            else:
                judge, _, model = name.partition("@")
                out.append(Seat(judge=judge, model=model or None))
        except PrefdataError as e:
            wrong.append(str(e))
    return out


def _is_jury(name: str) -> bool:
    if not name.lower().endswith((".yaml", ".yml")):
        return False
    try:
        with open(name, encoding="utf-8", errors="replace") as f:
            return bool(_JURY.search(f.read(1 << 20)))
    except OSError:
        return False  # load() says that there is none


def _member(seat: Seat, options: JudgeOptions, pools: dict[str, Pool]) -> Member:
    if seat.judge.startswith("rm:"):
        folder = seat.judge.removeprefix("rm:")
        reward_model.check_folder(folder)
        return Member(None, folder, weight=seat.weight)
    judge = load(seat.judge)
    if options.votes > 1 and not (judge.temperature if options.temperature is None else options.temperature):
        raise UsageError(f"--votes {options.votes}: at temperature 0 the judge '{judge.name}' always says the same; add --temperature 0.7")
    model = seat.model or options.model
    if model is None:
        raise UsageError(f"--model: which model should be asked as judge '{judge.name}'?")
    own = {k: v for k in ("base_url", "provider", "api_version", "api_key_env") if (v := getattr(seat, k)) is not None}
    pool = pool_of(ClientOptions.model_validate({**options.model_dump(include=set(ClientOptions.model_fields)), **own}))
    name = next((n for n, p in pools.items() if p == pool), "" if not own else str(len(pools) + 1))
    pools[name] = pool
    return Member(judge, model, name, seat.weight)
