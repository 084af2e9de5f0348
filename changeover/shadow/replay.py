"""Recorded traffic against both systems: requests in, comparisons out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from tempfile import TemporaryDirectory

from changeover import clock
from changeover.plan.model import Plan
from changeover.routing import System
from changeover.shadow.calls import Caller
from changeover.shadow.judging import Judge
from changeover.shadow.recorded import SAFE, load
from changeover.shadow.tap import Exchange
from changeover.store import plans
from changeover.store.comparisons import Compared
from changeover.store.engine import Store

__all__ = ["load", "run", "scratch_store"]

TIMEOUT_SECONDS = 30.0


async def run(
    plan: Plan, recorded: list[Exchange], *, concurrency: int, on_done: Callable[[], None]
) -> list[Compared]:
    """Send every request to both systems and return the comparisons, in the order recorded.

    Args:
        plan: The plan with both systems and the rules.
        recorded: The requests.
        concurrency: Requests under way at once.
        on_done: Called after each, for a progress bar.
    """
    judge = Judge.of(plan.shadow, plan.comparison, today=datetime.now(UTC).date())
    callers = {
        system: Caller(plan.system(system), timeout=TIMEOUT_SECONDS, concurrency=concurrency)
        for system in System
    }
    gate = asyncio.Semaphore(concurrency)

    async def one(exchange: Exchange) -> Compared:
        async with gate:
            baseline = await callers[System.BASELINE].call(exchange)
            candidate = await callers[System.CANDIDATE].call(exchange)
            is_safe = exchange.method in SAFE
            again = await callers[System.BASELINE].call(exchange) if is_safe else None
        on_done()
        return judge.judged(
            at=exchange.at, request=f"{exchange.method} {exchange.path}",
            request_id=exchange.header("x-request-id"), baseline=baseline, candidate=candidate,
            again=again, keeps=False,
        )

    try:
        return await asyncio.gather(*(one(exchange) for exchange in recorded))
    finally:
        for caller in callers.values():
            await caller.close()


@contextmanager
def scratch_store(plan: Plan) -> Iterator[Store]:
    """Open a store that is gone afterwards: the findings are made as in production."""
    with TemporaryDirectory() as directory:
        store = Store.open(f"sqlite:///{directory}/replay.db", create=True)
        plans.register(store, plan, source="replay", now=clock.now())
        try:
            yield store
        finally:
            store.close()
