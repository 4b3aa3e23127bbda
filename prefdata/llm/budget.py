"""Money, tokens and calls: each request reserves the most that it can cost before it is sent, and gives back what it did not cost."""

from __future__ import annotations

import asyncio
from collections import deque

from prefdata.errors import BudgetError, UsageError
from prefdata.io.journal import Usage
from prefdata.llm.options import ClientOptions
from prefdata.llm.request import Request

ROUNDING = 1 + 1e-9
"""Sums of prices are off by a few units in the last place; a budget that is exactly enough must be enough."""


class Budget:
    """The books of one run; kept only when something is limited. `spent` starts with what the journal's earlier runs have cost.

    Raises UsageError when there is a budget in USD and no prices.
    """

    def __init__(self, options: ClientOptions, earlier: Usage) -> None:
        if options.budget is not None and (options.price_in is None or options.price_out is None):
            raise UsageError("--budget counts USD and needs prices: add --price-in and --price-out (USD per million tokens)")
        self._prices = options.price_in or 0.0, options.price_out or 0.0
        self._usd = options.budget
        self._tokens = options.budget_tokens
        self._calls = options.budget_calls
        self._limited = (self._usd, self._tokens, self._calls) != (None, None, None)
        self.spent = earlier
        self.reserved = Usage()
        self._open = 0
        self._waiting: deque[tuple[asyncio.Future[None], Usage]] = deque()

    def cost(self, tokens_in: int, tokens_out: int) -> Usage:
        """What one call with these tokens costs."""
        return Usage(1, tokens_in, tokens_out, (tokens_in * self._prices[0] + tokens_out * self._prices[1]) / 1e6)

    def most(self, request: Request) -> Usage:
        """The upper bound of a request's cost: a token is at least one byte of UTF-8, and the body is longer than the prompt."""
        return self.cost(len(request.body), request.max_tokens)

    def reserve(self, most: Usage) -> asyncio.Future[None] | None:
        """Take `most` out of the budget: None when it fits, else a future to wait for, which is done when others have cost less than they
        had reserved. Raises BudgetError when there is nothing left to wait for."""
        if not self._limited:
            return None
        if not self._waiting and self._fits(most):
            self._take(most)
            return None
        if not self._open:
            raise self._spent(most)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, most))
        return future

    def settle(self, most: Usage, cost: Usage) -> None:
        """A request that had reserved `most` has cost `cost` (nothing: `Usage()`)."""
        if not self._limited:
            return
        self._open -= 1
        self.reserved = _minus(self.reserved, most) if self._open else Usage()
        self.spent = self.spent.plus(cost)
        while self._waiting:
            future, next_most = self._waiting[0]
            if not future.done():  # done: cancelled
                if self._fits(next_most):
                    self._take(next_most)
                    future.set_result(None)
                elif not self._open:
                    future.set_exception(self._spent(next_most))
                else:
                    return
            self._waiting.popleft()

    def _take(self, most: Usage) -> None:
        self._open += 1
        self.reserved = self.reserved.plus(most)

    def _fits(self, most: Usage) -> bool:
        return not self._missing(most)

    def _missing(self, most: Usage) -> list[str]:
        """The budgets into which a request does not fit, with their figures."""
        calls, tokens_in, tokens_out, usd = (a + b + c for a, b, c in zip(self.spent, self.reserved, most, strict=True))
        out = []
        if self._usd is not None and usd > self._usd * ROUNDING:
            out.append(f"--budget {self._usd:g}: {self.spent.usd:.6g} USD are spent, the next request may cost {most.usd:.6g}")
        if self._tokens is not None and tokens_in + tokens_out > self._tokens:
            spent, more = self.spent.tokens_in + self.spent.tokens_out, most.tokens_in + most.tokens_out
            out.append(f"--budget-tokens {self._tokens}: {spent:,} tokens are spent, the next request may cost {more:,}")
        if self._calls is not None and calls > self._calls:
            out.append(f"--budget-calls {self._calls}: {self.spent.calls:,} calls are paid")
        return out

    def _spent(self, most: Usage) -> BudgetError:
        return BudgetError("the budget is spent (" + "; ".join(self._missing(most)) + ")")


def _minus(a: Usage, b: Usage) -> Usage:
    return Usage(a.calls - b.calls, a.tokens_in - b.tokens_in, a.tokens_out - b.tokens_out, a.usd - b.usd)
