"""Recovery of flow runs against a real Prefect server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from changeover import clock
from changeover.errors import Refused, Unreachable
from changeover.observer.prefect_api import FlowRun, PrefectApi
from changeover.observer.recovery import DURABLE_FLOWS, MOST_ATTEMPTS_FAILED, Recovery
from changeover.routing import Change, Mode
from changeover.store import cutovers, messages, operations, plans, routing
from changeover.store.engine import Store
from changeover.store.records import CutoverStatus
from tests.integration.conftest import make_plan
from tests.support.prefect_database import seed
from tests.support.processes import free_port, running, wait_for

pytestmark = pytest.mark.integration


class Prefect:
    """A real server with our deployments, and what tests do to runs behind its back."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.api = PrefectApi(url, timeout=60)
        for flow in DURABLE_FLOWS:
            found = self.post("/flows/", {"name": flow})
            self.post("/deployments/", {"name": "main", "flow_id": found["id"]})

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


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    """A Prefect server of its own, on a free port, in its own home."""
    home = tmp_path_factory.mktemp("prefect")
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


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with the migration `bench`."""
    opened = Store.open(f"sqlite:///{tmp_path / 'store.db'}", create=True)
    plans.register(opened, make_plan(), source="test", now=clock.now())
    yield opened
    opened.close()


@pytest.fixture
def recovery(store: Store, prefect: Prefect) -> Recovery:
    """The recovery of `bench`'s runs; runs of other tests are ended first."""
    for run in prefect.api.runs(DURABLE_FLOWS, ["CRASHED", "FAILED", "RUNNING", "PENDING"]):
        prefect.set(run.id, "CANCELLED")
    return Recovery(store, prefect.api, "bench")


def later(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def after(prefect: Prefect, run_id: str, seconds: float) -> datetime:
    """The time so long after the run took its state, however slow the machine is."""
    return prefect.run(run_id).state_at + timedelta(seconds=seconds)


def roll_back(store: Store) -> int:
    """Roll back as the observer does; return the rollback's id."""
    state = routing.change(store, "bench", Change(mode=Mode.EMERGENCY_ROLLBACK), actor="test",
                           reason="it burns", now=clock.now())
    active = cutovers.active(store, "bench")
    return operations.begin_rollback(
        store, "bench", epoch=state.epoch, reason="it burns", severity="critical", scope="all",
        actor="test", cutover_id=active.id if active else None, now=clock.now(),
    ).id


def test_crashed_run_is_scheduled_again_after_it_settled(
    prefect: Prefect, recovery: Recovery
) -> None:
    """Not at once, because the worker writes Crashed a second time."""
    run = prefect.start(state="CRASHED")
    assert recovery.sweep(after(prefect, run, 4)) == []
    assert prefect.run(run).state_type == "CRASHED"
    (done,) = recovery.sweep(after(prefect, run, 6))
    assert done.endswith("was scheduled again because it crashed")
    assert (prefect.run(run).state_type, prefect.run(run).state_name) == ("SCHEDULED", "Recovering")


def test_run_that_is_suspended_in_that_moment_stays_so(
    prefect: Prefect, recovery: Recovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was seen as lost, and asks people before anything is done about it."""
    run, due = prefect.start(state="CRASHED"), later(3600)
    look = prefect.api.runs

    def seen(*what: Any) -> list[FlowRun]:
        found = look(*what)
        if any(each.id == run for each in found):
            prefect.set(run, "PAUSED")
        return found

    monkeypatch.setattr(prefect.api, "runs", seen)
    assert recovery.sweep(due) == []
    assert prefect.run(run).state_type == "PAUSED"


def promoted(prefect: Prefect, store: Store, state: str) -> str:
    """Return a run in a state whose cutover was promoted before."""
    run = prefect.start(state=state)
    cutover = cutovers.begin(store, "bench", flow_run_id=run, now=clock.now())
    cutovers.finish(store, cutover.id, CutoverStatus.PROMOTED, outcome="done", now=clock.now())
    return run


def test_failed_run_of_a_finished_cutover_is_left_alone(
    prefect: Prefect, recovery: Recovery, store: Store
) -> None:
    """What the store knows to be done is not done again."""
    promoted(prefect, store, "FAILED")
    assert recovery.sweep(later(6)) == []


def test_crashed_run_of_a_finished_cutover_is_scheduled_again(
    prefect: Prefect, recovery: Recovery, store: Store
) -> None:
    """It may have been killed before people were told and the report was written."""
    run = promoted(prefect, store, "CRASHED")
    assert len(recovery.sweep(after(prefect, run, 6))) == 1


def test_run_whose_process_vanished_is_scheduled_again(
    prefect: Prefect, recovery: Recovery, store: Store
) -> None:
    """A stopped worker leaves its runs Running for ever; the process id tells."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    created = f"{psutil.Process(gone.pid).create_time():.2f}"
    gone.wait()
    run = prefect.start(state="RUNNING")
    operations.beat(store, f"flow:{run}", pid=gone.pid, detail=created, now=clock.now())
    assert recovery.sweep(after(prefect, run, 4)) == []
    (done,) = recovery.sweep(after(prefect, run, 6))
    assert done.endswith("because its process vanished")
    assert prefect.run(run).state_name == "Recovering"


def test_run_whose_process_lives_is_left_alone(
    prefect: Prefect, recovery: Recovery, store: Store
) -> None:
    """However long it runs."""
    run = prefect.start(state="RUNNING")
    created = f"{psutil.Process().create_time():.2f}"
    operations.beat(store, f"flow:{run}", pid=os.getpid(), detail=created, now=clock.now())
    assert recovery.sweep(later(3600)) == []
    assert prefect.run(run).state_type == "RUNNING"


def test_process_id_that_another_process_has_now_is_no_sign_of_life(
    prefect: Prefect, recovery: Recovery, store: Store
) -> None:
    """The time of creation tells a reused process id."""
    run = prefect.start(state="RUNNING")
    operations.beat(store, f"flow:{run}", pid=os.getpid(), detail="1.00", now=clock.now())
    assert len(recovery.sweep(later(6))) == 1


def test_run_without_any_sign_of_life_is_scheduled_again_after_a_minute(
    prefect: Prefect, recovery: Recovery
) -> None:
    """A process killed before it could say anything."""
    run = prefect.start(state="RUNNING")
    assert recovery.sweep(after(prefect, run, 59)) == []
    (done,) = recovery.sweep(after(prefect, run, 61))
    assert done.endswith("because it gave no sign of life")


def test_rollback_is_handed_over_once(
    prefect: Prefect, recovery: Recovery, store: Store
) -> None:
    """A kill between creating the run and noting it creates no second run."""
    rollback_id = roll_back(store)
    recovery.sweep(later(0))
    (first,) = operations.rollbacks(store, "bench")
    assert first.is_handed_over
    again = prefect.api.start(
        "rollback/main", parameters={}, key=f"rollback-bench-{first.epoch}"
    )
    assert again == first.flow_run_id
    assert recovery.sweep(later(0)) == []
    path = f"{prefect.url}/flow_runs/{again}"
    run = wait_for(lambda: httpx.get(path).raise_for_status().json(), what="the run")
    assert run["parameters"]["rollback_id"] == rollback_id
    assert run["parameters"]["reason"] == "it burns"


@pytest.mark.parametrize("state", ["SCHEDULED", "PAUSED"], ids=["soaking", "waiting for people"])
def test_sleeping_cutover_is_woken_after_a_rollback(
    prefect: Prefect, recovery: Recovery, store: Store, state: str
) -> None:
    """A soak of days, or a question to people, ends when a rollback came first."""
    due = later(3600)
    run = prefect.start(state=state, scheduled_time=due.isoformat()) if state == "SCHEDULED" \
        else prefect.start(state=state)
    cutovers.begin(store, "bench", flow_run_id=run, now=clock.now())
    assert recovery.sweep(later(0)) == []
    roll_back(store)
    done = recovery.sweep(later(0))
    assert any(sentence.endswith("was woken because a rollback came first") for sentence in done)
    woken = prefect.run(run)
    assert woken.state_type == "SCHEDULED"
    assert woken.scheduled_for is not None
    assert woken.scheduled_for < later(1)
    assert recovery.sweep(later(0)) == []


def test_run_that_fails_again_and_again_is_left_at_last(
    prefect: Prefect, recovery: Recovery, store: Store
) -> None:
    """Recovery is bounded, and says once why it stopped."""
    run = prefect.start()
    cutovers.begin(store, "bench", flow_run_id=run, now=clock.now())
    for _ in range(MOST_ATTEMPTS_FAILED):
        prefect.set(run, "FAILED")
        (done,) = recovery.sweep(later(6))
        assert "was scheduled again" in done
    prefect.set(run, "FAILED")
    (done,) = recovery.sweep(later(6))
    assert done.endswith(f"because {MOST_ATTEMPTS_FAILED} attempts did not help")
    assert prefect.run(run).state_type == "FAILED"
    recovery.sweep(later(7))
    (told,) = messages.newest(store, "bench")
    assert (told.severity, told.title) == ("critical", done)


def test_answering_a_run_that_does_not_wait_is_refused(prefect: Prefect) -> None:
    """The reason is Prefect's own."""
    with pytest.raises(Refused):
        prefect.api.resume(prefect.start(state="RUNNING"), {"decision": "promote"})


def test_what_is_not_there_is_none(prefect: Prefect) -> None:
    """Unknown runs and deployments are no errors."""
    assert prefect.api.run(str(uuid4())) is None
    assert prefect.api.deployment_id("nothing/main") is None
    assert prefect.api.start("nothing/main", parameters={}) is None


def test_rollback_row_waits_while_prefect_is_away(store: Store) -> None:
    """Nothing is marked as handed over that was not."""
    roll_back(store)
    away = PrefectApi(f"http://127.0.0.1:{free_port()}/api", timeout=1)
    with pytest.raises(Unreachable):
        Recovery(store, away, "bench").sweep(later(0))
    assert len(operations.not_handed_over(store, "bench")) == 1
