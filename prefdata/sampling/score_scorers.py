"""Who scores: local models, graders, judges and reward servers, as scorers that say something of every candidate of a record."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from prefdata.errors import PrefdataError, UsageError
from prefdata.io.journal import Journal
from prefdata.llm.endpoints import Pool
from prefdata.llm.plan import Plan
from prefdata.rewards.folder import look, members_of, same_tokens
from prefdata.rewards.load import needs_torch
from prefdata.sampling.folders import check_parts
from prefdata.sampling.score_graders import GraderScorer
from prefdata.sampling.score_judges import JudgeScorer, judges_of
from prefdata.sampling.score_local import LocalModel, Tell
from prefdata.sampling.score_options import ScoreOptions
from prefdata.sampling.score_said import Dict, Said, weighed
from prefdata.sampling.score_servers import ServerScorer


class Filler(Protocol):
    """What computes something on this machine. One at a time is at work: models take memory."""

    def fill(self, rows: Sequence[Dict], journal: Journal, tell: Tell | None = None) -> None:
        """Have what it says of some records in the journal."""

    def release(self) -> None:
        """Let go of what takes memory."""


class Scorer(Protocol):
    """What a run needs of a scorer. `aspects` are the names that its aspects can have, None where that is not known before."""

    name: str
    kind: str
    aspects: tuple[str, ...] | None

    def described(self) -> dict[str, Any]:
        """What decides its numbers, for the manifest."""

    def plans(self, row: Dict) -> list[Plan[Any]]:
        """The conversations with servers that it needs; [] for what is computed here."""

    def fillers(self) -> Sequence[Filler]:
        """What computes its numbers here."""

    def said(self, rows: Sequence[Dict], journal: Journal) -> list[list[list[Said]]]:
        """What it said: by record, by candidate, in the order of its statements."""


@dataclass
class Panel:
    """All scorers, and the servers that they ask."""

    scorers: list[Scorer]
    pools: dict[str, Pool]
    combined: str | None
    """The name under which the numbers of several scorers stand as one; None when there is one scorer."""


class RewardScorer:
    """A sequence classifier. Its outputs are aspects when there are several."""

    kind = "reward_model"

    def __init__(self, name: str, model: LocalModel, weights: dict[str, float]) -> None:
        self.name, self.model, self._weights = name, model, weights
        self.aspects: tuple[str, ...] | None = model.folder.names if model.folder.outputs > 1 else ()

    def described(self) -> dict[str, Any]:
        return {"name": self.name, "reward_model": self.model.sha256, "ending": self.model.ends, "outputs": list(self.model.folder.names)}

    def plans(self, row: Dict) -> list[Plan[Any]]:
        return []

    def fillers(self) -> Sequence[Filler]:
        return [self.model]

    def said(self, rows: Sequence[Dict], journal: Journal) -> list[list[list[Said]]]:
        return [[[self._one(found)] for found in some] for some in self.model.said(rows, journal)]

    def _one(self, found: list[float] | str) -> Said:
        if isinstance(found, str):
            return Said(why=found)
        return weighed(dict(zip(self.aspects, found, strict=True)), self._weights) if self.aspects else Said(found[0])


class ImplicitScorer:
    """beta (log pi - log pi_ref) of a policy and its reference: the reward that DPO optimises (Rafailov et al. 2023, equation 5)."""

    kind = "reward_model"
    aspects: tuple[str, ...] | None = ()

    def __init__(self, policy: LocalModel, reference: LocalModel, options: ScoreOptions) -> None:
        self.name = f"implicit:{policy.folder.name}"
        self.models, self._options = (policy, reference), options

    def described(self) -> dict[str, Any]:
        policy, reference = (m.sha256 for m in self.models)
        o = self._options
        return {"name": self.name, "policy": policy, "reference": reference, "beta": o.beta, "per_token": o.per_token}

    def plans(self, row: Dict) -> list[Plan[Any]]:
        return []

    def fillers(self) -> Sequence[Filler]:
        return self.models

    def said(self, rows: Sequence[Dict], journal: Journal) -> list[list[list[Said]]]:
        both = [m.said(rows, journal) for m in self.models]
        return [[[self._one(*found)] for found in zip(*some, strict=True)] for some in zip(*both, strict=True)]

    def _one(self, policy: list[float] | str, reference: list[float] | str) -> Said:
        if isinstance(policy, str) or isinstance(reference, str):
            return Said(why=policy if isinstance(policy, str) else str(reference))
        ratio = policy[0] - reference[0]
        return Said(self._options.beta * (ratio / policy[1] if self._options.per_token else ratio))


def panel_of(o: ScoreOptions, kind: str) -> Panel:
    """The scorers. Raises UsageError with everything that is wrong, InputError when a folder cannot be read."""
    scorers: list[Scorer] = []
    pools: dict[str, Pool] = {}
    wrong: list[PrefdataError] = []
    for make in (_rewards, _implicit, _server, _graders, _judges):
        try:
            scorers += make(o, kind, pools)
        except PrefdataError as e:
            wrong.append(e)
    known = [s.aspects for s in scorers]
    if o.aspect_weights and not wrong and None not in known:
        there = {a for some in known for a in some or ()}
        unknown = sorted(o.aspect_weights.keys() - there)
        if unknown:
            wrong.append(
                UsageError(f"--aspect-weights: no scorer has {', '.join(unknown)} (there are: {', '.join(sorted(there)) or 'none'})")
            )
    if wrong:
        raise type(max(wrong, key=lambda e: e.exit_code))("\n".join(dict.fromkeys(str(e) for e in wrong)))
    _renamed(scorers)
    together = None if len(scorers) < 2 else _ensemble(o, scorers)
    return Panel(scorers, pools, together)


def _renamed(scorers: Sequence[Scorer]) -> None:
    """Names that are unique: `#2` behind the second of two."""
    taken: set[str] = set()
    for s in scorers:
        n, name = 1, s.name
        while s.name in taken:
            n += 1
            s.name = f"{name}#{n}"
        taken.add(s.name)


def _ensemble(o: ScoreOptions, scorers: Sequence[Scorer]) -> str:
    """The members of one folder together are that folder; others are `ensemble`."""
    if len(o.reward_model) == 1 and all(isinstance(s, RewardScorer) for s in scorers):
        return f"rm:{os.path.basename(os.path.abspath(o.reward_model[0]))}"
    return "ensemble"


def _rewards(o: ScoreOptions, kind: str, pools: dict[str, Pool]) -> list[Scorer]:
    out: list[Scorer] = []
    for path in o.reward_model:
        where = f"--reward-model {path}"
        needs_torch(where)
        base = os.path.basename(os.path.abspath(path))
        for member in members_of(path, where):
            folder = look(member, f"--reward-model {member}")
            if folder.head != "score":
                raise UsageError(f"--reward-model {member}: a causal model; its implicit reward is --implicit {member} --reference REF")
            check_parts(folder, f"--reward-model {member}")
            model = LocalModel(folder, f"--reward-model {member}", "score", kind, o.ending, o.dtype, o.batch_tokens)
            name = f"rm:{base}" if member == path else f"rm:{base}/{folder.name}"
            out.append(RewardScorer(name, model, o.aspect_weights))
    return out


def _implicit(o: ScoreOptions, kind: str, pools: dict[str, Pool]) -> list[Scorer]:
    if o.implicit is None or o.reference is None:
        return []
    needs_torch("--implicit")
    models = []
    for flag, path in (("--implicit", o.implicit), ("--reference", o.reference)):
        folder = look(path, f"{flag} {path}")
        if folder.head != "lm":
            raise UsageError(f"{flag} {path}: a sequence classifier; --reward-model {path} gives its scores")
        check_parts(folder, f"{flag} {path}", flag == "--implicit")
        words = None if flag == "--implicit" else o.implicit
        models.append(LocalModel(folder, f"{flag} {path}", "logp", kind, "eos", o.dtype, o.batch_tokens, words))
    same_tokens(o.implicit, o.reference)
    return [ImplicitScorer(models[0], models[1], o)]


def _server(o: ScoreOptions, kind: str, pools: dict[str, Pool]) -> list[Scorer]:
    return [ServerScorer(o, kind, pools)] if o.reward_server else []


def _graders(o: ScoreOptions, kind: str, pools: dict[str, Pool]) -> list[Scorer]:
    return [GraderScorer(path, o, kind, pools) for path in o.grader]


def _judges(o: ScoreOptions, kind: str, pools: dict[str, Pool]) -> list[Scorer]:
    if not o.judge:
        return []
    panel, options = judges_of(o)
    pools |= panel.pools
    return [JudgeScorer(panel, member, options, o.aspect_weights) for member in panel.members]
