"""Recorded traffic against both systems: requests in, comparisons out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from tempfile import TemporaryDirectory

from changeover import clock
from changeover.domain.comparisons import Compared
from changeover.domain.rewriting import routes_for
from changeover.domain.routing import System
from changeover.plan.model import Plan
from changeover.shadow.calls import SAFE, Caller
from changeover.shadow.judging import Answers, Asked, Judge, is_too_large
from changeover.shadow.recorded import load
from changeover.shadow.tap import Exchange
from changeover.store import plans
from changeover.store.engine import Store

__all__ = ["load", "run", "scratch_store"]

TIMEOUT_SECONDS = 30.0
MOST_BODY_BYTES = 16 << 20
"""Of an answer's body: more than users' copies may have, since nobody waits for a replay."""
TOO_LARGE = "skipped: both answers too large to compare"


async def run(
    plan: Plan, recorded: list[Exchange], *, concurrency: int, on_done: Callable[[], None]
) -> tuple[list[Compared], Counter[str]]:
    """Send every request to both systems; return the comparisons in order, and what was left out.

    Args:
        plan: The plan with both systems and the rules.
        recorded: The requests.
        concurrency: Requests under way at once.
        on_done: Called after each, for a progress bar.
    """
    judge = Judge.of(plan.shadow, plan.comparison, today=datetime.now(UTC).date(),
                     routes=plan.routes)
    callers = {}
    for system in System:
        callers[system] = Caller(
            plan.system(system), timeout=TIMEOUT_SECONDS, concurrency=concurrency,
            most_body=MOST_BODY_BYTES, routes=routes_for(plan, system))
    gate = asyncio.Semaphore(concurrency)

    async def one(exchange: Exchange) -> Compared | None:
        async with gate:
            found = await _compare(exchange, callers, judge)
        on_done()
        return found

    try:
        found = await asyncio.gather(*(one(exchange) for exchange in recorded))
    finally:
        for caller in callers.values():
            await caller.close()
    compared = [each for each in found if each is not None]
    return compared, +Counter({TOO_LARGE: len(found) - len(compared)})


async def _compare(
    exchange: Exchange, callers: dict[System, Caller], judge: Judge
) -> Compared | None:
    """Ask both systems, and the baseline again; None when both bodies are too large to be read."""
    baseline = await callers[System.BASELINE].call(exchange)
    candidate = await callers[System.CANDIDATE].call(exchange)
    if all(is_too_large(answer, MOST_BODY_BYTES) for answer in (baseline, candidate)):
        return None
    # Sent twice to one system, an order would be there twice.
    again = await callers[System.BASELINE].call(exchange) if exchange.method in SAFE else None
    asked = Asked(exchange.at, exchange.line, exchange.request_id)
    return judge.judge(asked, Answers(baseline, candidate, again), saves_answers=False)


def has_baseline(one: Compared) -> bool:
    """Whether the baseline answered: without it nothing can be said about the candidate."""
    example = one.found.get("answer")
    return example is None or example.baseline is None


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
