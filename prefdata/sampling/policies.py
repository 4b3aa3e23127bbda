"""From --policy and --policies to policies with their settings and servers, and from a prompt to the requests that a policy gets."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from prefdata.errors import PrefdataError, UsageError
from prefdata.judges.revise_plan import Prompt
from prefdata.llm.client import Pool, pool_of
from prefdata.llm.endpoints import address, authorization
from prefdata.llm.options import ClientOptions
from prefdata.llm.request import Message, Request, request
from prefdata.sampling import thoughts
from prefdata.sampling.folders import check_folder, model_hash
from prefdata.sampling.generate_options import GenerateOptions, PoliciesFile, PolicySettings
from prefdata.yaml_files import bytes_of, parse

LOCAL = "hf:"
ROUND = 1 << 20
"""Sample numbers of two iterations are so far apart: a server may serve another model under the same name then."""


@dataclass(frozen=True)
class Policy:
    """Who answers, with settings. `model` is the server's name for it; of a local one `hf:` and the hash of its files."""

    name: str
    model: str
    folder: str | None
    pool: str
    n: int
    temperature: float
    top_p: float
    top_k: int | None
    max_tokens: int
    system: str | None
    stop: tuple[str, ...]
    thoughts: bool
    seed: int
    iteration: int | None
    dtype: str | None

    @cached_property
    def _system(self) -> str | None:
        """The system text that comes in front of a prompt."""
        said = [t for t in (self.system, thoughts.INSTRUCTION if self.thoughts else None) if t]
        return "\n\n".join(said) or None

    def turns(self, turns: Sequence[Message]) -> list[Message]:
        """A prompt's turns with the policy's system text in front; the prompt's own system text stays, below it."""
        if self._system is None:
            return list(turns)
        own = [t["content"] for t in turns[:1] if t["role"] == "system"]
        return [{"role": "system", "content": "\n\n".join([self._system, *own])}, *turns[len(own) :]]

    def requests(self, prompt: Prompt) -> list[Request]:
        """One request per sample. The seed of a sample depends on what is asked and on its number: two prompts never share their draws."""
        messages = Prompt(prompt.id, self.turns(prompt.turns), prompt.tools).messages()
        first = (self.iteration or 0) * ROUND
        fields: dict[str, Any] = {
            "temperature": self.temperature,
            "top_p": self.top_p if self.top_p < 1 else None,
            "top_k": self.top_k,
            "stop": list(self.stop) or None,
            "tools": orjson.loads(prompt.tools) if prompt.tools else None,
            "dtype": self.dtype,
        }
        what = hashlib.sha256(orjson.dumps([self.seed, self.model, messages, self.max_tokens, fields])).digest()
        out = []
        for sample in range(first, first + self.n):
            seed = int.from_bytes(hashlib.sha256(what + b"%d" % sample).digest()[:8]) >> (1 if self.folder else 33)
            fields["seed"] = seed if self.temperature else None
            out.append(request(self.model, messages, self.max_tokens, sample=sample, pool=self.pool, **fields))
        return out

    def as_dict(self) -> dict[str, Any]:
        """Where its answers come from, for the manifest."""
        kept = ("n", "temperature", "top_p", "top_k", "max_tokens", "system", "stop", "seed", "iteration", "dtype")
        thinks = {"version": thoughts.VERSION, "instruction": thoughts.INSTRUCTION} if self.thoughts else None
        folder = {} if self.folder is None else {"folder": self.folder, "sha256": self.model.removeprefix(LOCAL)}
        named = {"model": self.model} if self.folder is None else folder
        found = {"name": self.name, **named, **{k: getattr(self, k) for k in kept}, "thoughts": thinks}
        plain: dict[str, Any] = json.loads(json.dumps({k: v for k, v in found.items() if v is not None}))
        return plain


@dataclass(frozen=True)
class Policies:
    """All policies, the servers by the names that requests carry, and what should be said about the settings."""

    all: tuple[Policy, ...]
    pools: dict[str, Pool]
    notes: tuple[str, ...] = ()

    @property
    def remote(self) -> tuple[Policy, ...]:
        return tuple(p for p in self.all if p.folder is None)

    @property
    def local(self) -> tuple[Policy, ...]:
        return tuple(p for p in self.all if p.folder is not None)


def policies_of(options: GenerateOptions) -> Policies:
    """The policies and their servers. Raises UsageError with everything that is wrong."""
    given = [PolicySettings(policy=p) for p in (*options.policy, *([options.model] if options.model else []))]
    if options.policies:
        given += parse(PoliciesFile, bytes_of(Path(options.policies), "policies"), options.policies).policies
    if not given:
        raise UsageError("--policy: who should answer? The name of a model on --base-url, or hf:FOLDER for a local model")
    pools: dict[str, Pool] = {}
    found, wrong, notes = list[Policy](), list[str](), list[str]()
    for settings, name in zip(given, _names(given, options.iteration), strict=True):
        try:
            policy = _policy(settings, name, options, pools)
        except PrefdataError as e:
            wrong.append(str(e))
            continue
        asked = settings.n or options.n
        if policy.n < asked:
            notes.append(f"{name}: at temperature 0 all {asked} answers would be the same; one is asked for")
        notes += _same(policy, found, wrong)
        found.append(policy)
    if wrong:
        raise UsageError("\n".join(dict.fromkeys(wrong)))
    return Policies(tuple(found), pools, tuple(notes))


def _same(policy: Policy, others: Sequence[Policy], wrong: list[str]) -> list[str]:
    """What should be said where two policies are one: requests are known by the model's name and the settings."""
    for other in others:
        if policy.folder is None and other.folder is None and policy.model == other.model and policy.pool != other.pool:
            wrong.append(
                f"--policies: {other.name} and {policy.name} are both the model {policy.model!r} on different servers, and the journal "
                "would take one's answers for the other's; serve them under different names, or give one policy both servers as base_url"
            )
        if replace(policy, name=other.name, n=other.n) == other:
            return [f"{policy.name} is {other.name} with the same settings: its answers are the same"]
    return []


def check_servers(policies: Policies) -> None:
    """Raises UsageError when an address or a key is wrong, before anything is sent."""
    for p in policies.remote:
        pool = policies.pools[p.pool]
        authorization(pool)
        for base in pool.base_url:
            address(pool, base, p.model)


def _names(given: Iterable[PolicySettings], iteration: int | None) -> list[str]:
    """A name for each policy, no two alike: NAME, NAME@k with an iteration, and `#2` where a name is taken."""
    taken: set[str] = set()
    out = []
    for p in given:
        base = p.name or (LOCAL + os.path.basename(os.path.abspath(p.policy[len(LOCAL) :])) if p.policy.startswith(LOCAL) else p.policy)
        base = base if iteration is None else f"{base}@{iteration}"
        name, k = base, 2
        while name in taken:
            name, k = f"{base}#{k}", k + 1
        taken.add(name)
        out.append(name)
    return out


def _policy(p: PolicySettings, name: str, options: GenerateOptions, pools: dict[str, Pool]) -> Policy:
    own = {k: v for k in ("base_url", "provider", "api_version", "api_key_env") if (v := getattr(p, k)) is not None}
    folder = p.policy[len(LOCAL) :] if p.policy.startswith(LOCAL) else None
    if folder is not None:
        if own:
            raise UsageError(f"--policies: {name}: {', '.join(own)} are of servers; {p.policy} is a folder on this machine")
        check_folder(folder, f"--policy {p.policy}")
        model, pool = LOCAL + model_hash(folder), p.policy
    elif os.path.isdir(p.policy) and not own and "base_url" not in options.model_fields_set:
        raise UsageError(f"--policy {p.policy}: is a folder; a local model is written {LOCAL}{p.policy}, a server's with --base-url")
    else:
        servers = pool_of(ClientOptions.model_validate({**options.model_dump(include=set(ClientOptions.model_fields)), **own}))
        pool = next((n for n, q in pools.items() if q == servers), str(len(pools)) if pools else "")
        pools[pool] = servers
        model = p.policy
    said: dict[str, Any] = {}
    for k in ("n", "temperature", "top_p", "top_k", "max_tokens", "system", "stop", "thoughts"):
        value = getattr(p, k)
        said[k] = getattr(options, k) if value is None else value
    said |= {"stop": tuple(said["stop"]), "n": said["n"] if said["temperature"] else 1, "system": (said["system"] or "").strip() or None}
    dtype = options.dtype if folder is not None else None
    return Policy(name, model, folder, pool, **said, seed=options.seed, iteration=options.iteration, dtype=dtype)
