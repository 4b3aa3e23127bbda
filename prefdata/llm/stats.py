"""What a run has done so far."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Stats:
    """Counts of one run. Tokens and USD are those of this run, earlier runs are in the journal; `usd` is 0 where no price is known."""

    total: int | None = None
    """Plans that there are, where that is known."""
    plans: int = 0
    """Plans that are through: answered, or without an answer for good."""
    calls: int = 0
    """Requests sent, retries included."""
    replies: int = 0
    """Replies stored, refusals included."""
    reused: int = 0
    """Replies taken from the journal."""
    retries: int = 0
    rate_limited: int = 0
    """429s."""
    failed: Counter[str] = field(default_factory=Counter)
    """Requests without a reply for good, by the code of their last failure."""
    refused: Counter[str] = field(default_factory=Counter)
    """Replies that are refusals, by code."""
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0
    estimated: int = 0
    """Replies without usable usage: the most that they can cost is counted."""
    charged: int = 0
    """Tries without a reply that may have been billed: the most that they can cost is counted."""
    served: Counter[str] = field(default_factory=Counter)
    """Replies by the model that the server named."""
    in_flight: int = 0
    limit: int = 0
    """Most requests in flight, of all servers, as it stands."""
