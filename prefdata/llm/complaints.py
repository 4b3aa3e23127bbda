"""The errors that end a run, in words: what happened, where, and what to do. No message holds a key (`clean` takes it out)."""

from __future__ import annotations

from urllib.parse import urlsplit

from prefdata.errors import PrefdataError, ProviderError, UsageError
from prefdata.llm.endpoints import Endpoint
from prefdata.llm.outcome import said
from prefdata.llm.transport import Response


def complaint(code: str, endpoint: Endpoint, model: str, response: Response) -> PrefdataError:
    """The error for one of `outcome.FATAL`."""
    where, name, words = endpoint.base, endpoint.key_name, f"{response.status}: {said(response.body)}".rstrip(": ")
    if code == "redirected":
        target = urlsplit(response.headers.get("location", ""))
        to = f"{target.scheme}://{target.hostname}" if target.hostname else "another address"
        return UsageError(
            f"{where} sends requests to {to} ({response.status}); redirects are refused, as they carry data and key elsewhere; "
            "give the final address with --base-url"
        )
    if code == "wrong-key" and not endpoint.headers:
        return UsageError(f"{where} wants a key ({words}): set {name}, or name another variable with --api-key-env")
    if code == "wrong-key":
        return UsageError(
            f"{where} does not accept the key in {name} for {model} ({words}): set another, or name its variable with --api-key-env"
        )
    if code == "not-found":
        azure = ", the name of a deployment" if endpoint.azure else ""
        return UsageError(
            f"{where} does not know what was asked for ({words}): check --model {model}{azure}, and --base-url, which mostly ends with /v1"
        )
    return ProviderError(f"{where} has no quota or money left for the key in {name} ({words}): top up, raise the limit, or use another key")


def all_refused(n: int, endpoint: Endpoint, body: bytes) -> ProviderError:
    """The first requests of a run were all refused: the rest would be, too."""
    return ProviderError(
        f"{endpoint.base} refused the first {n} requests: {said(body)}. Nothing of this is kept; the server may not know one of the "
        "parameters (log-probs, response format, max_tokens), or the model"
    )


def no_answer(endpoint: Endpoint, seconds: float) -> ProviderError:
    """Nothing has come from a pool for long."""
    why = f" ({endpoint.trouble.code}: {endpoint.trouble.detail})" if endpoint.trouble else ""
    hint = "raise --timeout" if endpoint.trouble and endpoint.trouble.code == "timeout" else "check that the server runs, and --base-url"
    return ProviderError(f"{endpoint.base} has not answered for {seconds:.0f} s{why}; {hint}")


def long_wait(endpoint: Endpoint, seconds: float, deadline: float) -> ProviderError:
    """The server asks for more patience than the user has."""
    return ProviderError(f"{endpoint.base} asks to wait {seconds:.0f} s, longer than --deadline {deadline:g}; try later, or raise it")
