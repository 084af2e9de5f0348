"""Recovery of flow runs against a real Prefect server."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from changeover import clock
from changeover.domain.rollout import CutoverStatus
from changeover.errors import Refused, Unreachable
from changeover.observer.recovery import MOST_ATTEMPTS_FAILED, Recovery
from changeover.site.prefect_api import PrefectApi
from changeover.site.prefect_rows import FlowRun
from changeover.site.site import Site
from changeover.store import cutovers, heartbeats, messages, rollbacks
from changeover.store.engine import Store
from tests.support.prefect_runs import Prefect, after, later, roll_back
from tests.support.processes import free_port, wait_for

pytestmark = pytest.mark.integration


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
    heartbeats.beat(store, f"flow:{run}", pid=gone.pid, detail=created, now=clock.now())
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
    heartbeats.beat(store, f"flow:{run}", pid=os.getpid(), detail=created, now=clock.now())
    assert recovery.sweep(later(3600)) == []
    assert prefect.run(run).state_type == "RUNNING"


def test_process_id_that_another_process_has_now_is_no_sign_of_life(
    prefect: Prefect, recovery: Recovery, store: Store
) -> None:
    """The time of creation tells a reused process id."""
    run = prefect.start(state="RUNNING")
    heartbeats.beat(store, f"flow:{run}", pid=os.getpid(), detail="1.00", now=clock.now())
    assert len(recovery.sweep(later(6))) == 1


def test_run_without_any_sign_of_life_is_scheduled_again_after_a_minute(
    prefect: Prefect, recovery: Recovery
) -> None:
    """A process killed before it could say anything."""
    run = prefect.start(state="RUNNING")
    assert recovery.sweep(after(prefect, run, 59)) == []
    (done,) = recovery.sweep(after(prefect, run, 61))
    assert done.endswith("because it gave no sign of life")


def test_the_observer_hurries_while_a_rollback_waits_for_its_run(
    recovery: Recovery, store: Store
) -> None:
    """Otherwise it asks Prefect less often."""
    assert not recovery.has_work()
    roll_back(store)
    assert recovery.has_work()


def test_rollback_is_handed_over_once(
    prefect: Prefect, recovery: Recovery, store: Store
) -> None:
    """A kill between creating the run and noting it creates no second run."""
    rollback_id = roll_back(store)
    recovery.sweep(later(0))
    (first,) = rollbacks.all_of(store, "bench")
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
    assert done == "nobody carries on cutover 1: its flow run failed and is not tried again"
    assert prefect.run(run).state_type == "FAILED"
    assert recovery.sweep(later(7)) == []
    (told,) = messages.newest(store, "bench")
    assert (told.severity, told.title) == ("critical", "nobody carries on cutover 1 of bench")


def test_answering_a_run_that_does_not_wait_is_refused(prefect: Prefect) -> None:
    """The reason is Prefect's own."""
    with pytest.raises(Refused):
        prefect.api.resume(prefect.start(state="RUNNING"), {"decision": "promote"})


def test_what_is_not_there_is_none(prefect: Prefect) -> None:
    """Unknown runs and deployments are no errors."""
    assert prefect.api.run(str(uuid4())) is None
    assert prefect.api.deployment_id("nothing/main") is None
    assert prefect.api.start("nothing/main", parameters={}) is None


def test_rollback_row_waits_while_prefect_is_away(site: Site, store: Store) -> None:
    """Nothing is marked as handed over that was not."""
    roll_back(store)
    away = PrefectApi(f"http://127.0.0.1:{free_port()}/api", timeout=1)
    with pytest.raises(Unreachable):
        Recovery(site, away).sweep(later(0))
    assert len(rollbacks.not_handed_over(store, "bench")) == 1
