"""What a run would send: plans rehearsed without a server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from prefdata.io.journal import Journal
from prefdata.llm.options import ClientOptions
from prefdata.llm.plan import Plan, rehearse
from prefdata.llm.request import Request
from prefdata.llm.stored import finder


@dataclass
class Estimate:
    """Calls, tokens and money of what the journal does not have. Prompts are estimated at four bytes a token (for English text within
    about 20 %); answers take one token at least, and `max_tokens` at most. Second tries of unusable answers are not among it."""

    plans: int = 0
    calls: int = 0
    stored: int = 0
    """Requests that have their reply in the journal."""
    tokens_in: int = 0
    most_tokens_out: int = 0
    price_in: float | None = None
    price_out: float | None = None

    @property
    def usd(self) -> tuple[float, float] | None:
        """The least and the most that it costs, None without prices."""
        if self.price_in is None or self.price_out is None:
            return None
        prompts = self.tokens_in * self.price_in
        return (prompts + self.calls * self.price_out) / 1e6, (prompts + self.most_tokens_out * self.price_out) / 1e6

    @property
    def exit_code(self) -> int:
        return 0

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "usd": self.usd, "estimated": True, "exit_code": self.exit_code}

    def lines(self) -> list[str]:
        """The estimate in words."""
        if not self.calls:
            return [f"dry run: nothing to ask{f', the journal has all {self.stored:,} replies' if self.stored else ''}"]
        money = f"{self.usd[0]:,.4f} to {self.usd[1]:,.4f} USD" if self.usd else "no prices are known: add --price-in and --price-out"
        out = [
            f"dry run: {self.calls:,} calls, nothing was sent",
            f"  prompts: about {self.tokens_in:,} tokens (an estimate: four bytes a token)",
            f"  answers: {self.calls:,} to {self.most_tokens_out:,} tokens",
            f"  money: {money}",
            "  second tries of answers that cannot be read come on top (--resample 0: none)",
        ]
        return [*out, f"  {self.stored:,} more requests have their reply in the journal"] if self.stored else out


def estimate(plans: Iterable[Plan[object]], options: ClientOptions, journal: Journal | None) -> Estimate:
    """Rehearse plans; `journal` has the replies that need not be asked for."""
    found = Estimate(price_in=options.price_in, price_out=options.price_out)
    for plan in plans:
        found.plans += 1
        requests = rehearse(plan, None if journal is None else finder(journal))
        stored = journal.find([r.key for r in requests]) if journal is not None else [None] * len(requests)
        for r, reply in zip(requests, stored, strict=True):
            if reply is not None:
                found.stored += 1
                continue
            found.calls += 1
            found.tokens_in += prompt_tokens(r)
            found.most_tokens_out += r.max_tokens
    return found


def prompt_tokens(r: Request) -> int:
    """The tokens of a prompt at four bytes each, and four for the frame of every message."""
    contents = (m.get("content") for m in orjson.loads(r.body)["messages"])
    return sum(4 + len(c.encode()) // 4 for c in contents if isinstance(c, str))
