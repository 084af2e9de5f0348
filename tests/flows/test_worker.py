"""The worker of `changeover up`: what it does with health checks that a worker before it lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.worker import end_lost_checks
from tests.support.prefect_runs import Prefect, prefect_alone

pytestmark = pytest.mark.integration
OURS, OTHERS = "changeover", "another-migration"


def begin_check(prefect: Prefect, pool: str) -> str:
    """Start a health check of a worker of a pool; return the run's id."""
    flow = prefect.post("/flows/", {"name": "health-check"})
    deployment = prefect.post("/deployments/", {
        "name": pool, "flow_id": flow["id"], "work_pool_name": pool})
    run = prefect.post(f"/deployments/{deployment['id']}/create_flow_run", {})
    prefect.set(run["id"], "RUNNING")
    return str(run["id"])


def test_worker_ends_the_lost_checks_of_its_own_pool_only(tmp_path: Path) -> None:
    """Two migrations may share a Prefect server: the other one's check goes on."""
    with prefect_alone(tmp_path) as prefect:
        prefect.call("POST", "/work_pools/", {"name": OTHERS, "type": "process"})
        lost, running = begin_check(prefect, OURS), begin_check(prefect, OTHERS)
        with temporary_settings({PREFECT_API_URL: prefect.url}):
            asyncio.run(end_lost_checks(OURS))
        states = [prefect.run(run).state_type for run in (lost, running)]
    assert states == ["CRASHED", "RUNNING"]
