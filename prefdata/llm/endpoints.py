"""Servers: their addresses and keys, and what is known of each while a run goes on."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from prefdata.errors import UsageError
from prefdata.llm.breaker import Breaker
from prefdata.llm.limits import Limit
from prefdata.llm.options import ClientOptions
from prefdata.llm.outcome import RETRIED
from prefdata.llm.pace import Named, Pace
from prefdata.llm.request import Request

CHAT = "/chat/completions"
SHORTEST_SECRET = 8
"""Characters of the shortest key that is looked for in texts: local servers are given keys like `EMPTY`, which answers may contain."""


@dataclass(frozen=True)
class Pool:
    """The servers that answer for one model; the key is in the environment variable `api_key_env`."""

    base_url: tuple[str, ...]
    provider: str = "openai"
    api_version: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    path: str = CHAT
    """What of the server is asked."""


def pool_of(options: ClientOptions) -> Pool:
    return Pool(tuple(options.base_url), options.provider, options.api_version, options.api_key_env)


def address(pool: Pool, base: str, model: str) -> str:
    """Where a model's chat completions are, or what else a pool asks for. Raises UsageError for an address that cannot be one."""
    parts = urlsplit(base)
    try:
        fits = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        fits = None
    if not fits:
        raise UsageError(f"--base-url {base}: is no address of a server; write it as http://localhost:8000/v1")
    if parts.username or parts.password:
        raise UsageError("--base-url: has a name or a password in it; keys come from the environment only (--api-key-env)")
    if parts.query or parts.fragment:
        raise UsageError(f"--base-url {base}: ends with '?' or '#'; give the address up to /v1 (Azure: and --api-version)")
    if pool.path != CHAT:  # servers of other interfaces have them at their root
        return base.rstrip("/").removesuffix(pool.path).removesuffix("/v1") + pool.path
    base = base.rstrip("/").removesuffix(CHAT)
    if pool.provider == "azure":
        base = base.removesuffix("/openai/v1").removesuffix("/openai")
        if pool.api_version:
            return f"{base}/openai/deployments/{quote(model, safe='')}/chat/completions?api-version={quote(pool.api_version, safe='')}"
        return f"{base}/openai/v1/chat/completions"
    return f"{base}/chat/completions"


def authorization(pool: Pool) -> tuple[dict[str, str], str]:
    """The headers that carry the key, and the key ("" without one). Raises UsageError when a service that needs one has none."""
    name = pool.api_key_env
    key = os.environ.get(name, "").strip()
    if not key:
        hosts = [urlsplit(base).hostname or "" for base in pool.base_url]
        needy = [h for h in hosts if h.endswith((".openai.com", ".azure.com")) or (pool.provider == "azure" and not local(h))]
        if needy:
            raise UsageError(
                f"{name} is not set: put the key of {needy[0]} there (export {name}=...), or name a variable with --api-key-env"
            )
        return {}, ""
    if not key.isascii() or not key.isprintable():
        raise UsageError(f"{name} has characters that no key has (a line break, perhaps); set it again")
    return ({"api-key": key} if pool.provider == "azure" else {"Authorization": f"Bearer {key}"}), key


def local(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class Trouble(NamedTuple):
    """Since when a server has not answered, and what it said last."""

    since: float
    code: str
    detail: str


class Endpoint:
    """One server of a pool during a run: its address, who is on the way to it, how much it takes, and how it is."""

    def __init__(self, name: str, pool: Pool, base: str, most: int, named: Named) -> None:
        self.pool, self._pool, self.base = name, pool, base
        self.key_name, self.azure = pool.api_key_env, pool.provider == "azure"
        self.headers, self.key = authorization(pool)
        self.limit, self.pace, self.breaker = Limit(most), Pace(named), Breaker()
        self.in_flight = 0
        self.trouble: Trouble | None = None
        self._answered = False
        self._url = address(pool, base, "")

    def url(self, request: Request) -> str:
        """Where a request goes. Azure has the model in the address."""
        return address(self._pool, self.base, request.model) if self.azure else self._url

    @property
    def patient(self) -> bool:
        """Whether a long silence may pass: the server has answered before, or says that it is busy."""
        return self._answered or (self.trouble is not None and self.trouble.code in ("rate-limited", "overloaded"))

    def silent(self, now: float) -> float:
        """Seconds since the first of the failures after the last answer; 0 while all is well."""
        return now - self.trouble.since if self.trouble else 0.0

    def delay(self, now: float) -> float:
        """Seconds until the next request may be sent; infinite when it has to wait for a reply."""
        if self.in_flight >= int(self.limit.value):
            return inf
        return max(self.pace.delay(now), self.breaker.delay(now))

    def take(self, now: float, tokens: int) -> None:
        self.in_flight += 1
        self.pace.take(now, tokens, self.in_flight >= int(self.limit.value))
        self.breaker.take()

    def heard(self, code: str, sent: float, now: float, headers: Mapping[str, str], detail: str) -> None:
        """A request that was sent at `sent`, and is still counted as in flight, ended with `code`."""
        if code not in RETRIED:
            self._answered, self.trouble = True, None
            self.limit.good(sent, self.in_flight)
            self.breaker.good()
            self.pace.accepted(sent, now, headers)
            return
        self.trouble = Trouble(self.trouble.since if self.trouble else now, code, detail)
        if code == "rate-limited":
            self.breaker.unclear(sent)
            self.pace.limited(sent, now, headers)
        else:
            self.breaker.bad(sent, now)
            self.pace.told(now, headers)
        if code in ("overloaded", "timeout") or (code == "rate-limited" and self.limit.used(self.in_flight)):
            self.limit.bad(sent, now)


def endpoints_of(pools: Mapping[str, Pool], options: ClientOptions) -> dict[str, list[Endpoint]]:
    """The servers of all pools; --rpm and --tpm hold for each pool. Raises UsageError."""
    out = {}
    for name, pool in pools.items():
        named = Named(options.rpm, options.tpm)
        out[name] = [Endpoint(name, pool, base, options.concurrency, named) for base in pool.base_url]
    return out
