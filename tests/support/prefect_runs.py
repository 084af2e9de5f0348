"""A real Prefect server without a worker, whose runs tests put into the states they want."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.rollbacks import Rollback, RollbackSeverity
from changeover.domain.routing import Change, Mode
from changeover.observer.recovery import DURABLE_FLOWS
from changeover.site.prefect_api import PrefectApi
from changeover.site.prefect_rows import FlowRun
from changeover.store import cutovers, rollbacks, routing
from changeover.store.engine import Store
from tests.support.prefect_database import seed
from tests.support.processes import free_port, running, wait_for


class Prefect:
    """A real server with our deployments, and what tests do to runs behind its back."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.api = PrefectApi(url, timeout=60)
        self.call("POST", "/work_pools/", {"name": "changeover", "type": "process"})
        for flow in (*DURABLE_FLOWS, "validation"):
            self.deploy(flow)

    def deploy(self, flow: str, name: str = "main", *, tags: Sequence[str] = ()) -> str:
        """Deploy a flow and return the deployment's id."""
        found = self.post("/flows/", {"name": flow})
        made = self.post("/deployments/", {
            "name": name, "flow_id": found["id"], "work_pool_name": "changeover",
            # the real one, where a test made it before, wants parameters
            "enforce_parameter_schema": False, "tags": list(tags)})
        self.api.forget_deployments()
        return str(made["id"])

    def undeploy(self, deployment: str) -> None:
        """Delete a deployment `FLOW/NAME`, if there is one."""
        found = self.api.deployment_id(deployment)
        if found is None:
            return
        self.call("DELETE", f"/deployments/{found}")
        self.api.forget_deployments()

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        """Ask the server until it takes it."""
        wait_for(lambda: httpx.request(
            method, self.url + path, json=body, timeout=20).raise_for_status(), what=path)

    def delete(self, run_id: str) -> None:
        """Delete a run, as the page's button does."""
        self.call("DELETE", f"/flow_runs/{run_id}")

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Post until the server takes it: its database is busy while it starts (503)."""
        return wait_for(
            lambda: httpx.post(self.url + path, json=body, timeout=20).raise_for_status().json(),
            what=path,
        )

    def start(self, flow: str = "cutover", state: str = "SCHEDULED", **details: Any) -> str:
        """Start a run and force it into a state."""
        run_id = self.api.start(f"{flow}/main", parameters={}, key=str(uuid4()))
        assert run_id is not None
        if state != "SCHEDULED" or details:
            self.set(run_id, state, **details)
        return run_id

    def set(self, run_id: str, state: str, **details: Any) -> None:
        body = {"state": {"type": state, "state_details": details}, "force": True}
        self.post(f"/flow_runs/{run_id}/set_state", body)

    def run(self, run_id: str) -> FlowRun:
        found = self.api.run(run_id)
        assert found is not None
        return found


@contextmanager
def prefect_alone(home: Path) -> Iterator[Prefect]:
    """Run a server of its own, on a free port, in its own home."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    seed(home)
    command = [str(Path(sys.executable).with_name("prefect")), "server", "start",
               "--port", str(port)]
    env = {"PREFECT_HOME": str(home), "PREFECT_API_URL": url,
           "PREFECT_SERVER_ANALYTICS_ENABLED": "0",
           "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "0"}  # it would rename what was recovered
    with running(command, home / "server.log", **env):
        wait_for(PrefectApi(url).is_alive, seconds=90, what="Prefect server")
        yield Prefect(url)


def later(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def after(prefect: Prefect, run_id: str, seconds: float) -> datetime:
    """The time so long after the run took its state, however slow the machine is."""
    return prefect.run(run_id).state_at + timedelta(seconds=seconds)


def roll_back(store: Store) -> int:
    """Roll back as the observer does; return the rollback's id."""
    state = routing.change(
        store, "bench", Change(mode=Mode.EMERGENCY_ROLLBACK), Author("test", "it burns"),
        now=clock.now())
    active = cutovers.active(store, "bench")
    return rollbacks.begin(store, Rollback(
        "bench", epoch=state.epoch, reason="it burns", severity=RollbackSeverity.CRITICAL,
        scope="all", actor="test", cutover_id=active.id if active else None,
        started_at=clock.now())).id
