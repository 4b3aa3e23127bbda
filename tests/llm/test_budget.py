"""The budget: reserved before sending, settled after, never exceeded, and what is over is used."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefdata.errors import BudgetError, UsageError
from prefdata.io.journal import Usage
from prefdata.llm.budget import Budget
from prefdata.llm.options import ClientOptions
from tests.llm.asking import ask, plans, run
from tests.llm.server import Exchange, Server


def test_cost() -> None:
    """2 USD per million prompt tokens, 10 per million answer tokens: 1,000 and 100 tokens cost 0.002 + 0.001."""
    budget = Budget(ClientOptions(price_in=2, price_out=10), Usage())
    assert budget.cost(1000, 100) == pytest.approx(Usage(1, 1000, 100, 0.003))
    request = ask("ä" * 100)
    assert budget.most(request)[:3] == (1, len(request.body), 16)
    assert len(request.body) > 200  # bytes, not characters


def test_prices_are_needed() -> None:
    for missing in ({}, {"price_in": 1.0}, {"price_out": 1.0}):
        with pytest.raises(UsageError, match="--price-in and --price-out"):
            Budget(ClientOptions(budget=1, **missing), Usage())


def test_reserve_waits_for_others() -> None:
    async def main() -> None:
        budget = Budget(ClientOptions(budget_tokens=100), Usage(1, 20, 10))  # 70 left
        assert budget.reserve(Usage(1, 30, 30)) is None
        waiting = budget.reserve(Usage(1, 10, 10))  # 10 left: does not fit now
        later = budget.reserve(Usage(1, 1, 1))  # would fit, but its turn comes after
        assert waiting and later and not waiting.done() and not later.done()
        budget.settle(Usage(1, 30, 30), Usage(1, 30, 10))  # gives 20 back: 30 left
        await asyncio.sleep(0)
        assert waiting.done() and later.done()
        budget.settle(Usage(1, 10, 10), Usage(1, 10, 10))
        budget.settle(Usage(1, 1, 1), Usage())
        assert budget.spent == Usage(3, 60, 30) and budget.reserved == Usage()
        with pytest.raises(BudgetError, match=r"--budget-tokens 100: 90 tokens are spent, the next request may cost 11"):
            budget.reserve(Usage(1, 10, 1))

    asyncio.run(main())


def test_who_waits_is_told_when_nothing_is_left() -> None:
    async def main() -> None:
        budget = Budget(ClientOptions(budget_calls=1), Usage())
        assert budget.reserve(Usage(1, 1, 1)) is None
        waiting = [budget.reserve(Usage(1, 1, 1)) for _ in range(3)]
        budget.settle(Usage(1, 1, 1), Usage(1, 1, 1))
        for future in waiting:
            assert future is not None
            with pytest.raises(BudgetError, match="--budget-calls 1: 1 calls are paid"):
                await future

    asyncio.run(main())


def test_exactly_enough_is_enough() -> None:
    """Ten times 0.1 USD is a budget of 1 USD, though 0.1 * 10 added up in floating point is more or less."""
    budget = Budget(ClientOptions(budget=1, price_in=100_000, price_out=0), Usage())
    for _ in range(10):
        assert budget.reserve(budget.cost(1, 0)) is None
    with pytest.raises(BudgetError):
        for _ in range(10):
            budget.settle(budget.cost(1, 0), budget.cost(1, 0))
        budget.reserve(budget.cost(1, 0))


tokens = st.integers(0, 50)


@given(st.integers(1, 300), st.lists(st.tuples(tokens, tokens, st.floats(0, 1), st.booleans()), max_size=60))
def test_never_exceeded(limit: int, requests: list[tuple[int, int, float, bool]]) -> None:
    """Whatever is reserved and settled in whatever order: spent and reserved together stay within the budget."""

    async def main() -> None:
        budget = Budget(ClientOptions(budget_tokens=limit), Usage())
        flying: list[tuple[Usage, Usage]] = []
        waiting: list[tuple[asyncio.Future[None], Usage, Usage]] = []

        def check() -> None:
            spent, reserved = budget.spent, budget.reserved
            assert spent.tokens_in + spent.tokens_out + reserved.tokens_in + reserved.tokens_out <= limit
            assert reserved.calls == len(flying) + sum(f.done() and not f.exception() for f, _, _ in waiting)

        for tokens_in, tokens_out, share, back in requests:
            most, cost = Usage(1, tokens_in, tokens_out), Usage(1, tokens_in, int(tokens_out * share))
            try:
                future = budget.reserve(most)
            except BudgetError:
                assert not flying
                break
            if future is None:
                flying.append((most, cost))
            else:
                waiting.append((future, most, cost))
            check()
            if back and flying:
                budget.settle(*flying.pop(0))
                check()
                flying += [(m, c) for f, m, c in waiting if f.done() and not f.exception()]
                waiting = [w for w in waiting if not w[0].done()]
        while flying:
            budget.settle(*flying.pop(0))
            flying += [(m, c) for f, m, c in waiting if f.done() and not f.exception()]
            waiting = [w for w in waiting if not w[0].done()]
            check()
        assert not waiting, "who waits for ever is never told"

    asyncio.run(main())


def test_a_budget_of_tokens(tmp_path: Path) -> None:
    """Each request may cost 150 to 200 tokens and costs 12: the run stops when the next might not fit."""
    with Server() as server:
        with pytest.raises(BudgetError) as caught:
            run(server, tmp_path, plans(1000), budget_tokens=2000)
        most = len(ask("question 500").body) + 16
        assert 2000 - most - 12 < server.billed_tokens <= 2000
        assert caught.value.exit_code == 4
        assert f"{server.requests} replies are in" in str(caught.value) and str(caught.value).endswith(
            "the same command goes on from there"
        )
        run(server, tmp_path, plans(1000), budget_tokens=20_000)[1].close()
        assert server.requests == len(server.asked) == 1000


def test_a_budget_of_calls(tmp_path: Path) -> None:
    """Calls of earlier runs count. Refused ones (429, 5xx) cost nothing."""

    def behave(x: Exchange) -> None:
        if x.server.requests % 3 == 0:
            x.json(500, {})
        else:
            x.answer()

    with Server(behave) as server:
        for budget in (10, 25):
            with pytest.raises(BudgetError, match=f"--budget-calls {budget}: {budget} calls are paid"):
                run(server, tmp_path, plans(100), budget_calls=budget, retries=10, concurrency=4)
            assert server.billed_calls == budget


def test_a_budget_of_money(tmp_path: Path) -> None:
    """1 USD per million prompt tokens, 2 per million answer tokens: an answer costs 14e-6 USD, a thousand 0.014."""
    with Server() as server, pytest.raises(BudgetError, match=r"--budget 0.014: 0.01\d+ USD are spent, the next request may cost 0.0001"):
        run(server, tmp_path, plans(5000), budget=0.014, price_in=1, price_out=2)
    assert 0.0138 < server.billed_calls * 14e-6 <= 0.014


def test_without_usage_the_reserve_is_spent(tmp_path: Path) -> None:
    """A server that does not say what it bills may bill all."""
    with Server(lambda x: x.answer(usage=...)) as server, pytest.raises(BudgetError):
        run(server, tmp_path, plans(100), budget_tokens=2000)
    assert server.requests == 2000 // (len(ask("question 1").body) + 16)


def test_lost_answers_are_paid(tmp_path: Path) -> None:
    """The server works and bills, the answer gets lost: ten such calls are all that a budget of ten calls allows."""

    def behave(x: Exchange) -> None:
        x.bill()
        x.reset()

    with Server(behave) as server, pytest.raises(BudgetError):
        run(server, tmp_path, plans(100), budget_calls=10, retries=50, concurrency=3)
    assert server.billed_calls == 10
