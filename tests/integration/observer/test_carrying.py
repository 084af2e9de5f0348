"""Runs that end in Prefect before their work: noted, told, continued or ended by a person."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.rollbacks import RollbackStatus
from changeover.domain.rollout import Approval, Cutover, CutoverStatus
from changeover.domain.routing import Change, Mode
from changeover.domain.run_ends import Carrier, End, Ended
from changeover.errors import CarriedElsewhere, CutoverActive, Refused
from changeover.observer import continuing
from changeover.observer.recovery import Recovery
from changeover.site import status as status_of
from changeover.site.site import Site
from changeover.store import (
    approvals,
    audit,
    carriers,
    cutovers,
    messages,
    rollbacks,
    routing,
    validations,
)
from changeover.store.engine import Store
from tests.support.prefect_runs import Prefect, later, roll_back

pytestmark = pytest.mark.integration

Act = Callable[[Prefect, str], Any]


def begun(prefect: Prefect, store: Store, state: str = "PAUSED", **details: Any) -> Cutover:
    """A cutover at 10 % whose run has a state."""
    run = prefect.start()
    cutover = cutovers.begin(store, "bench", flow_run_id=run, now=clock.now())
    routing.change(
        store, "bench", Change(mode=Mode.GRADUAL, weight=1_000, is_by_person=True),
        Author("test", "test"), now=clock.now())
    prefect.set(run, state, **details)
    return cutover


def run_of(store: Store, cutover: Cutover) -> str:
    return str(cutovers.get(store, cutover.id).flow_run_id)


def asked(store: Store, cutover: Cutover) -> None:
    """Have the cutover's run ask people."""
    approvals.ask(store, Approval(
        cutover_id=cutover.id, stage="gradual-10", round=1, ordinal=1, epoch=cutover.epoch,
        question="?", asked_at=clock.now(), flow_run_id=cutover.flow_run_id))


def undeploy(prefect: Prefect, _run: str) -> None:
    """Delete the deployment and deploy the flow anew, as `changeover up` does."""
    prefect.call("DELETE", f"/deployments/{prefect.api.deployment_id('cutover/main')}")
    prefect.deploy("cutover")


ENDS: list[Any] = [
    pytest.param(lambda p, run: p.set(run, "CANCELLED"), 0, End.CANCELLED,
                 "was cancelled in Prefect", id="cancelled"),
    pytest.param(lambda p, run: p.set(run, "CANCELLING"), 61, End.CANCELLED,
                 "was cancelled in Prefect", id="cancelled while no worker is there"),
    pytest.param(lambda p, run: p.delete(run), 6, End.UNKNOWN, "Prefect knows its flow run no more",
                 id="deleted"),
    pytest.param(lambda p, run: p.set(run, "COMPLETED"), 0, End.COMPLETED,
                 "set to Completed in Prefect", id="set to Completed in the page"),
    pytest.param(lambda p, run: None, 11, End.SUSPENDED, "although nobody is asked",
                 id="suspended in Prefect"),
    pytest.param(lambda p, run: p.set(run, "SCHEDULED"), 200, End.NOT_STARTED,
                 "no worker gives a sign of life", id="no worker starts it"),
    pytest.param(undeploy, 0, End.NOT_DEPLOYED, "deployment of its flow run was deleted",
                 id="its deployment deleted"),
]


@pytest.mark.parametrize(("act", "seconds", "end", "what"), ENDS)
def test_every_end_of_a_run_is_told_once_with_a_way_on(
    prefect: Prefect, recovery: Recovery, site: Site, store: Store, act: Act, seconds: int,
    end: End, what: str,
) -> None:
    """In the status, as a message and in the audit; users stay, and a restart tells it no more."""
    cutover = begun(prefect, store)
    recovery.sweep(later(0))
    act(prefect, run_of(store, cutover))
    recovery.sweep(later(0))
    recovery.sweep(later(seconds))
    status = status_of.collect(site, now=clock.now())
    (told,) = status["ended_runs"]
    assert (told["subject"], told["end"]) == (f"cutover {cutover.id}", end)
    for part in (what, "gradual 10 %", "`changeover continue`", "`changeover rollback",
                 "`changeover end", "triggers go on watching"):
        assert part in told["text"]
    assert told["text"] in status_of.as_text(status)
    assert json.loads(json.dumps(status)) == status
    Recovery(site, prefect.api).sweep(later(seconds + 1))
    (message,) = messages.newest(store, "bench")
    assert (message.severity, message.body) == ("critical", told["text"])
    assert [each.kind for each in audit.events(store, "bench")].count("run.ended") == 1


@pytest.mark.parametrize(("pause", "resume", "said"), [
    pytest.param(("PATCH", "/work_pools/changeover", {"is_paused": True}),
                 ("PATCH", "/work_pools/changeover", {"is_paused": False}),
                 "work pool changeover is paused", id="work pool"),
    pytest.param(("PATCH", "/work_pools/changeover/queues/default", {"is_paused": True}),
                 ("PATCH", "/work_pools/changeover/queues/default", {"is_paused": False}),
                 "work queue default is paused", id="work queue"),
])
def test_pause_of_what_starts_runs_is_named(
    prefect: Prefect, recovery: Recovery, site: Site, store: Store, pause: tuple[str, str, Any],
    resume: tuple[str, str, Any], said: str,
) -> None:
    """With the command that ends it; until then a new run would wait as well."""
    begun(prefect, store, "SCHEDULED")
    recovery.sweep(later(0))
    prefect.call(*pause)
    try:
        recovery.sweep(later(200))
        (carrier,) = carriers.ended(store, "bench")
        assert carrier.said.startswith(said)
        with pytest.raises(Refused, match=said):
            continuing.continue_work(site, carrier, now=clock.now())
    finally:
        prefect.call(*resume)


def test_run_that_waits_for_people_has_not_ended(
    prefect: Prefect, recovery: Recovery, store: Store
) -> None:
    """However long they take."""
    asked(store, begun(prefect, store))
    assert recovery.sweep(later(86_400)) == []


def test_run_that_is_retried_in_prefect_is_carried_on(
    prefect: Prefect, recovery: Recovery, store: Store
) -> None:
    """The note goes, people are told, and a second cancellation is told again."""
    run = run_of(store, begun(prefect, store))
    for state in ("CANCELLED", "RUNNING", "CANCELLED"):
        prefect.set(run, state)
        recovery.sweep(later(0))
        assert bool(carriers.ended(store, "bench")) == (state == "CANCELLED")
    assert [each.severity for each in messages.newest(store, "bench")] == [
        "critical", "info", "critical"]


def ended_cutover(prefect: Prefect, site: Site) -> tuple[Cutover, Carrier, Ended]:
    """A cutover whose waiting run was cancelled."""
    cutover = begun(prefect, site.store)
    asked(site.store, cutover)
    prefect.set(run_of(site.store, cutover), "CANCELLED")
    ((carrier, ended),) = continuing.find_ended(site, now=clock.now())
    return cutover, carrier, ended


def test_continued_cutover_belongs_to_the_new_run_alone(
    prefect: Prefect, recovery: Recovery, site: Site, store: Store
) -> None:
    """The former run, brought back in the page, moves nobody and opens no second cutover."""
    cutover, carrier, _ = ended_cutover(prefect, site)
    former = run_of(store, cutover)
    new = continuing.continue_work(site, carrier, now=clock.now())
    assert run_of(store, cutover) == new != former
    prefect.set(former, "RUNNING")
    more = Change(mode=Mode.GRADUAL, weight=5_000)
    work = cutovers.subject(cutover.id)
    with pytest.raises(CarriedElsewhere, match=new):
        routing.change(
            store, "bench", replace(more, carried_by=(work, former)), Author("former", ""),
            now=clock.now())
    with pytest.raises(CutoverActive):
        cutovers.begin(store, "bench", flow_run_id=former, now=clock.now())
    assert routing.read(store, "bench").weight == 1_000
    routing.change(
        store, "bench", replace(more, carried_by=(work, new)), Author("new", ""), now=clock.now())
    recovery.sweep(later(0))
    assert carriers.ended(store, "bench") == []


def test_cancelled_run_whose_process_lives_on_moves_nobody(
    prefect: Prefect, recovery: Recovery, site: Site, store: Store
) -> None:
    """A state set by force ends no process: the store refuses what it does."""
    cutover, carrier, _ = ended_cutover(prefect, site)
    recovery.sweep(later(0))
    carried_by = (carrier.subject, run_of(store, cutover))
    change = Change(mode=Mode.GRADUAL, weight=5_000, carried_by=carried_by)
    with pytest.raises(CarriedElsewhere, match="cancelled in Prefect"):
        routing.change(store, "bench", change, Author("x", ""), now=clock.now())


def test_continuing_again_and_at_once_gives_one_run(
    prefect: Prefect, recovery: Recovery, site: Site, store: Store
) -> None:
    """After a kill between its steps, or by two people: the same run."""
    cutover, carrier, _ = ended_cutover(prefect, site)

    def go_on(_: int) -> str:
        return continuing.continue_work(site, carrier, now=clock.now())

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(go_on, range(4)))) == 1
    with pytest.raises(Refused, match="is carried by flow run"):
        continuing.find_ended(site, now=clock.now())
    prefect.set(run_of(store, cutover), "CANCELLED")
    ((again, _),) = continuing.find_ended(site, now=clock.now())
    with pytest.raises(Refused, match="somebody was faster"):
        go_on(0)
    second = continuing.continue_work(site, again, now=clock.now())
    assert second == run_of(store, cutover) != again.flow_run_id


def test_former_run_that_still_waits_is_cancelled(
    prefect: Prefect, recovery: Recovery, site: Site, store: Store
) -> None:
    """Else somebody would answer in its page, in vain."""
    cutover = begun(prefect, store)
    former = run_of(store, cutover)
    recovery.sweep(later(11))
    (carrier,) = carriers.ended(store, "bench")
    continuing.continue_work(site, carrier, now=clock.now())
    assert prefect.run(former).state_type == "CANCELLED"


def test_ended_cutover_leaves_users_and_the_way_to_the_next(
    prefect: Prefect, recovery: Recovery, site: Site, store: Store
) -> None:
    """`changeover end`: nobody moves, its question is void, another cutover may begin."""
    cutover, carrier, ended = ended_cutover(prefect, site)
    before = routing.read(store, "bench")
    continuing.end_work(store, carrier, ended, Author("ann", "enough"), now=clock.now())
    closed = cutovers.get(store, cutover.id)
    assert closed.status is CutoverStatus.STOPPED
    assert closed.outcome.startswith("ann ended it where it was: enough")
    assert routing.read(store, "bench") == before
    assert approvals.open_for(store, "bench") is None
    assert carriers.of(store, "bench") == []
    assert recovery.sweep(later(60)) == []
    cutovers.begin(store, "bench", flow_run_id=prefect.start(), now=clock.now())


def test_cancelled_rollback_is_told_and_continued_before_its_lease_is_over(
    prefect: Prefect, recovery: Recovery, site: Site, store: Store
) -> None:
    """Everyone is at the baseline; the steps that are left are not forgotten."""
    rollback_id = roll_back(store)
    recovery.sweep(later(0))
    former = str(rollbacks.all_of(store, "bench")[0].flow_run_id)
    rollbacks.acquire_lease(store, rollback_id, flow_run_id=former, lease=timedelta(hours=1),
                     now=clock.now())
    prefect.set(former, "CANCELLED")
    recovery.sweep(later(0))
    (carrier,) = carriers.ended(store, "bench")
    assert carrier.subject == f"rollback {rollback_id}"
    new = continuing.continue_work(site, carrier, now=clock.now())
    found = httpx.get(f"{prefect.url}/flow_runs/{new}", timeout=20).raise_for_status().json()
    assert found["parameters"]["rollback_id"] == rollback_id
    rollbacks.acquire_lease(store, rollback_id, flow_run_id=new, lease=timedelta(1),
                            now=clock.now())
    with pytest.raises(CarriedElsewhere):
        rollbacks.acquire_lease(store, rollback_id, flow_run_id=former, lease=timedelta(1),
                         now=clock.now())
    rollbacks.finish(store, rollback_id, status=RollbackStatus.COMPLETED, analysis={},
                               now=clock.now())
    assert carriers.of(store, "bench") == []


def test_rollback_that_is_not_deployed_is_told(
    prefect: Prefect, recovery: Recovery, store: Store
) -> None:
    """Once; it is started as soon as it is deployed again."""
    prefect.call("DELETE", f"/deployments/{prefect.api.deployment_id('rollback/main')}")
    prefect.api.forget_deployments()
    roll_back(store)
    try:
        recovery.sweep(later(0))
        recovery.sweep(later(1))
        (told,) = messages.newest(store, "bench")
        assert told.title == "rollback/main was not started because it is not deployed"
        assert "`changeover up`" in told.body
    finally:
        prefect.deploy("rollback")
    recovery.sweep(later(2))
    assert rollbacks.all_of(store, "bench")[0].is_handed_over


def test_cancelled_suite_ends_as_an_error(
    prefect: Prefect, recovery: Recovery, store: Store
) -> None:
    """A suite that nobody carries out does not go on running for ever."""
    run = prefect.start("validation", "CANCELLED")
    suite = validations.begin(store, "bench", "staging", key=f"{run}-staging", now=clock.now())
    carriers.assign(store, Carrier(
        "bench", f"suite {suite.id}", "validation", run, since=clock.now()))
    recovery.sweep(later(0))
    recovery.sweep(later(1))
    found = validations.latest(store, "bench", "staging")
    assert found is not None
    assert found.verdict == "error"
    (told,) = messages.newest(store, "bench")
    assert "Run `validation/main` again" in told.body
    assert carriers.of(store, "bench") == []


def test_health_checks_that_nobody_makes_are_told(
    prefect: Prefect, recovery: Recovery, store: Store
) -> None:
    """A paused schedule stops them silently."""
    flow = prefect.post("/flows/", {"name": "health-check"})
    prefect.post("/deployments/", {
        "name": "main", "flow_id": flow["id"],
        "schedules": [{"schedule": {"interval": 60}, "active": True}]})
    watch = recovery.carrier_watch
    path = f"/deployments/{prefect.api.deployment_id('health-check/main')}"
    for is_paused in (False, True, True, False):
        prefect.call("PATCH", path, {"paused": is_paused})
        watch.poll_schedules(later(0))
        recovery.sweep(later(0))
        assert bool(carriers.ended(store, "bench")) == is_paused
    assert [each.severity for each in messages.newest(store, "bench")] == ["critical", "info"]
