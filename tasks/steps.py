"""How our tasks are declared, and how a flow run leaves and comes back later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NoReturn, ParamSpec, TypeVar
from uuid import UUID

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import Pause
from prefect.states import Scheduled

from changeover import clock
from changeover.errors import AheadOfLeader, StoreError, Unreachable
from tasks.flow_runs import root_run_id
from tasks.timing import timed

RETRY_AFTER = timedelta(seconds=5)
STAY_AWAKE = timedelta(seconds=5)
"""A shorter wait is waited here: to leave and to be started again takes about as long."""
PASSING_TROUBLE = (StoreError, Unreachable, AheadOfLeader)
"""What passes by itself: something is away, or a leader was rolled back since it was asked for."""

_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


def _is_passing(task_: Any, run: Any, state: Any) -> bool:
    """Whether trying again can help: another process is away or holds the database."""
    # what failed stands in the state itself; `state.result()` is a coroutine for async tasks
    return isinstance(getattr(state.data, "result", state.data), PASSING_TROUBLE)


def step(
    *, name: str, task_run_name: str | None = None
) -> Callable[[Callable[_Args, _Result]], Task[_Args, _Result]]:
    """Declare a task: never cached (the store knows what is done), retried on passing trouble.

    Args:
        name: What the step is called in Prefect's page.
        task_run_name: The same with the task's parameters in it, as `promote: {stage}`.
    """
    def declared(function: Callable[_Args, _Result]) -> Task[_Args, _Result]:
        return _task(name, task_run_name)(timed(function, name))

    return declared


def _task(
    name: str, task_run_name: str | None
) -> Callable[[Callable[_Args, _Result]], Task[_Args, _Result]]:
    return task(
        name=name,
        task_run_name=task_run_name,
        # Prefect's cache knows nothing of rollbacks: only the store says what is still true
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=3,
        retry_delay_seconds=1,
        retry_condition_fn=_is_passing,
    )


async def come_back(at: datetime, *, name: str, message: str) -> None:
    """End this process and have the worker start the flow run again at `at`.

    The root run's own state becomes Scheduled, so nothing is held while it waits, and a kill of
    anything changes nothing. Short waits are waited here.

    Args:
        at: When to go on.
        name: Name of the state in the Prefect UI, for instance `Soaking`.
        message: One sentence for people.

    Raises:
        Pause: Always, unless the wait is short; Prefect ends the process on it.
    """
    wait = at - clock.now()
    if wait <= STAY_AWAKE:
        await asyncio.sleep(max(0.0, wait.total_seconds()))
        return
    await _leave(at, name=name, message=message)


async def _leave(at: datetime, *, name: str, message: str) -> NoReturn:
    """Have the worker start the flow run again at `at`, and end this process."""
    due: State[None] = Scheduled(scheduled_time=at, name=name, message=message)
    async with get_client() as client:
        # by force: no rule of Prefect's may make another state of it
        result = await client.set_flow_run_state(UUID(root_run_id()), due, force=True)
    raise Pause(state=result.state)


async def try_again_later(trouble: Exception) -> NoReturn:
    """Leave and come back in some seconds because something needed is away.

    Args:
        trouble: What happened; shown in the UI as the state's message.

    Raises:
        Pause: Always; Prefect ends the process on it.
    """
    await _leave(
        clock.now() + RETRY_AFTER, name="Retrying", message=f"not continued because {trouble}"
    )
