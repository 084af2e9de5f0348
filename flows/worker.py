"""The worker of `changeover up`, and of any machine: `python -m flows.worker --pool NAME`.

It needs `PREFECT_API_URL`; on another machine than that of `changeover up`, `CHANGEOVER_STORE_URL`
too. Prefect's process worker, with two differences that a migration of months pays for:

- A health check runs in the worker itself. A process of its own would import Prefect and all flows
  anew every minute, which took more CPU than everything else that idles. Its deployment, schedule
  and runs are Prefect's as before. Every other flow has a process of its own.
- While nothing was started for a minute, it asks for work every three seconds instead of every one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import time
from functools import partial
from typing import Any

import anyio.to_thread
from anyio.abc import TaskStatus
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter, WorkPoolFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.exceptions import Abort
from prefect.flow_engine import run_flow_async
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_WORKER_QUERY_SECONDS,
    temporary_settings,
)
from prefect.states import Crashed
from prefect.utilities.processutils import setup_signal_handlers_worker
from prefect.workers.process import (
    ProcessJobConfiguration,
    ProcessWorker,
    ProcessWorkerResult,
)

from changeover import clock
from changeover.site.prefect_api import SILENT_WORKER
from flows.health_check import health_check

NAME = f"changeover on {socket.gethostname()}"
"""The worker's name: the next one of the same machine goes on with it."""
IDLE_AFTER_SECONDS, IDLE_PAUSE_SECONDS = 60.0, 3.0
# where Prefect says which flow a run is of
_FLOW_LABEL = "prefect.io/flow-name"


class Worker(ProcessWorker):
    """Prefect's process worker that runs health checks itself and costs little while idle."""

    __dispatch_key__: Any = "changeover"  # beside Prefect's own of the same type, not in its place
    _busy_at = _asked_at = 0.0

    async def run(
        self, flow_run: FlowRun, configuration: ProcessJobConfiguration,
        task_status: TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """Run a flow: a health check here, any other in its own process."""
        if configuration.labels.get(_FLOW_LABEL) != health_check.name:
            self._busy_at = time.monotonic()
            return await super().run(flow_run, configuration, task_status)
        if task_status is not None:
            task_status.started(os.getpid())
        # in a thread with its own loop: checks block, and other runs must not wait for them
        await anyio.to_thread.run_sync(partial(_check, flow_run))
        return ProcessWorkerResult(status_code=0, identifier=str(os.getpid()))

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        """Ask for work; less often when there was none for a while."""
        now = time.monotonic()
        is_idle = now - self._busy_at > IDLE_AFTER_SECONDS
        if is_idle and now - self._asked_at < IDLE_PAUSE_SECONDS:
            return []
        self._asked_at = now
        return await super()._get_scheduled_flow_runs()


def _check(flow_run: FlowRun) -> None:
    """Run a health check; its state says what goes wrong with it."""
    check: Any = health_check  # Prefect's own types do not fit each other here
    try:
        asyncio.run(run_flow_async(
            check, flow_run=flow_run, parameters=flow_run.parameters, return_type="state"))
    except Abort:  # cancelled or deleted meanwhile: Prefect knows
        return


async def end_lost_checks(pool: str) -> None:
    """Mark health checks of the pool that a worker before this one left running as crashed.

    Only one check may run at a time: a lost one would keep all others from running for minutes.
    While another worker of the pool gives signs of life, a check that runs may be its own.
    """
    checks = FlowFilter.model_validate({"name": {"any_": [health_check.name]}})
    running = FlowRunFilter.model_validate({"state": {"type": {"any_": ["RUNNING", "PENDING"]}}})
    # migrations with pools of their own may share the server: their checks go on
    ours = WorkPoolFilter.model_validate({"name": {"any_": [pool]}})
    async with get_client() as client:
        if await _has_others(client, pool):
            return
        lost = await client.read_flow_runs(
            flow_filter=checks, flow_run_filter=running, work_pool_filter=ours)
        for run in lost:
            await client.set_flow_run_state(
                run.id, Crashed(message="the worker that ran it has ended"), force=True)


async def _has_others(client: PrefectClient, pool: str) -> bool:
    """Whether a worker of another machine works in a pool."""
    since = clock.now() - SILENT_WORKER
    return any(
        each.name != NAME and each.last_heartbeat_time and each.last_heartbeat_time > since
        for each in await client.read_workers_for_work_pool(pool))


async def _work(pool: str) -> None:
    await end_lost_checks(pool)
    await Worker(work_pool_name=pool, name=NAME).start()


def _unset() -> dict[Any, Any]:
    """Return what the environment leaves to us; flows' processes get it, too."""
    wanted: dict[Any, Any] = {
        # Prefect's own 10 s would be felt at the end of each soak
        PREFECT_WORKER_QUERY_SECONDS: 1,
        # a server that is started again is waited for
        PREFECT_CLIENT_MAX_RETRIES: 12,
    }
    return {each: value for each, value in wanted.items() if each.name not in os.environ}


def main() -> None:
    """Work until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", required=True, help="Name of the work pool.")
    given = parser.parse_args()
    if not PREFECT_API_URL.value():
        parser.error("set PREFECT_API_URL: the address of the API of Prefect's server")
    setup_signal_handlers_worker(os.getpid(), "the worker", print)
    with temporary_settings(_unset()):
        asyncio.run(_work(given.pool))


if __name__ == "__main__":
    main()
