"""The peer of `benchmarks.overhead`: a flow run with seven empty tasks."""

from __future__ import annotations

from prefect import flow, task
from prefect.cache_policies import NO_CACHE


@task(cache_policy=NO_CACHE)
def nothing(number: int) -> int:
    """Do nothing."""
    return number


@flow(name="empty")
async def empty() -> None:
    """Run seven empty tasks."""
    for number in range(7):
        nothing(number)
