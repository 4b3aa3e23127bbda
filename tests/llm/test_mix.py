"""A server of which 30 % of the answers go wrong at random, in all ways: every plan ends, and the books are right."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from prefdata.errors import BudgetError
from prefdata.llm.request import REFUSALS
from tests.llm.asking import ask, plans, run
from tests.llm.server import Exchange, Server
from tests.llm.test_faults import FAILED, STORED

SLOW = {"hang", "slow drip", "10 MB of chunks", "10 MB", "gzip bomb", "429 with a date", "503 with Retry-After", "429 with Retry-After"}
SLOW |= {"trailers without end", "a chunk extension without end"}
FAULTS = {name: case for name, case in (STORED | FAILED).items() if name not in SLOW and " then " not in name and "times" not in name}
PLANS = 5000


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefdata.llm.retries.BASE", 0.05)


class Mixed:
    """Draws what happens. What may have been billed is billed, as a server does that has done the work."""

    def __init__(self) -> None:
        self.draw = random.Random(1)
        self.seen: Counter[str] = Counter()

    def __call__(self, x: Exchange) -> None:
        name = "ok" if self.draw.random() > 0.3 else self.draw.choice(sorted(FAULTS))
        if self.draw.random() < 0.002:
            name = "hang"
        self.seen[name] += 1
        case = (STORED | FAILED)[name]
        before = x.server.billed_calls
        if name.startswith("429"):
            x.json(429, {}, "Retry-After: 0.01\r\n" if self.draw.random() < 0.5 else "")
            return
        case.behaviour(x)
        if case.billed and x.server.billed_calls == before:
            x.bill()


def test_every_plan_is_accounted_for(tmp_path: Path) -> None:
    mixed = Mixed()
    with Server(mixed) as server:
        stats, journal = run(server, tmp_path, plans(PLANS), concurrency=64, retries=4, timeout=0.5, deadline=30)
    with journal:
        assert len(FAULTS) >= 50 and len(mixed.seen) > 50
        assert stats.plans == PLANS
        assert len(journal) + stats.failed.total() == PLANS
        assert stats.failed.total() < 25  # five faults in a row, mostly; few stay for good
        assert stats.calls == server.requests
        codes = journal.codes()
        assert set(codes) == {"ok", *REFUSALS}
        assert codes["ok"] > 0.85 * PLANS
        why = Counter(journal.why(ask(f"question {i}").key) for i in range(PLANS))
        assert sum(why.values()) - why["not-asked"] == stats.failed.total()
        assert journal.spent().calls >= server.billed_calls
        spent = journal.spent()
        assert spent.tokens_in + spent.tokens_out >= server.billed_tokens


@pytest.mark.parametrize("budget", [{"budget_calls": 700}, {"budget_tokens": 60_000}])
def test_the_budget_holds(budget: dict[str, int], tmp_path: Path) -> None:
    """Three runs of one journal, each until the budget is spent: the server never bills more."""
    with Server(Mixed()) as server:
        for share in (0.3, 0.6, 1.0):
            limits = {name: int(most * share) for name, most in budget.items()}
            with pytest.raises(BudgetError):
                run(server, tmp_path, plans(PLANS), concurrency=64, retries=4, timeout=0.5, deadline=30, **limits)
            assert server.billed_calls <= limits.get("budget_calls", PLANS)
            assert server.billed_tokens <= limits.get("budget_tokens", 10**9)
        assert server.billed_calls > 0.9 * budget.get("budget_calls", 0)
