"""Repairs of real faults: verified, budgeted, escalated, one at a time."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from changeover import clock
from changeover.checks.health.repair import attempt_repair, repair_all, strategy_of
from changeover.checks.health.result import Health
from changeover.domain.audit import Author
from changeover.domain.health import Repair, RepairRequest, RepairStatus, Status
from changeover.domain.routing import Change, Mode
from changeover.plan.health import Issue
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import audit, messages, repairs, routing
from changeover.supervisor.stack import Settings, Stack
from tests.integration.conftest import make_plan
from tests.integration.health.conftest import Place, look
from tests.support.processes import free_port, meanwhile, wait_for

pytestmark = [pytest.mark.integration]
BAD = Health(Status.CRITICAL, "it is full", {}, Issue.DISK_FULL, "machine")
GOOD = Health(Status.HEALTHY, "it has room")


def levers_place(place: Place, notes: Path, **repair: Any) -> Site:
    """A migration whose `disk_full` is repaired by a lever that notes that it was pulled."""
    script = "import sys; open(sys.argv[1], 'a').write('pulled\\n')"
    site, _ = place(
        levers={"tidy": {"command": ["python", "-c", script, str(notes)]}},
        notify=[{"webhook": "http://127.0.0.1:9/"}],
        health={"repairs": {"disk_full": {
            "levers": ["tidy"], "within": "100ms", "backoff": "0s", "attempts": 2, **repair}}})
    return site


def pulled(notes: Path) -> int:
    return len(notes.read_text().splitlines()) if notes.exists() else 0


def kinds(site: Site) -> list[str]:
    return [event.kind for event in audit.events(site.store, "bench")]


def test_a_repair_that_verifies_is_done(place: Place, tmp_path: Path) -> None:
    """The lever was pulled once, the check is good, and both are audited."""
    notes = tmp_path / "notes"
    site = levers_place(place, notes)
    told = attempt_repair(site, "disk", BAD, lambda: GOOD if pulled(notes) else BAD)
    assert told == "repaired disk_full of machine in attempt 1: disk: it has room"
    assert pulled(notes) == 1
    assert kinds(site)[-3:] == ["repair.began", "lever.pulled", "repair.done"]


def test_levers_are_told_what_they_repair(place: Place, tmp_path: Path) -> None:
    """So that one lever can mend any of many nodes."""
    notes = tmp_path / "notes"
    site = levers_place(place, notes)
    script = "import os, sys; open(sys.argv[1], 'w').write(os.environ['CHANGEOVER_REPAIR'])"
    lever = site.plan.levers["tidy"].model_copy(update={
        "command": ["python", "-c", script, str(notes)]})
    site = Site(site.home, site.plan.model_copy(update={"levers": {"tidy": lever}}), site.store)
    attempt_repair(site, "disk", BAD, lambda: GOOD if notes.exists() else BAD)
    assert json.loads(notes.read_text()) == {
        "issue": "disk_full", "check": "disk", "system": "machine", "detail": "it is full"}


def test_a_service_beside_the_systems_is_started_again_without_a_lever(place: Place) -> None:
    """The plan names its process; the supervisor that runs is asked for it."""
    service = {"url": "http://127.0.0.1:9", "process": "ai"}
    site, _ = place(health={
        "services": {"ocr": service},
        "repairs": {"service_down": {"within": "0s", "backoff": "0s"}}})
    me = psutil.Process(os.getpid())
    site.home.save_settings({**site.home.settings(), "supervisor": {
        "pid": me.pid, "created": me.create_time()}})
    down = Health(Status.CRITICAL, "silent", {}, Issue.SERVICE_DOWN, "ocr")
    attempt_repair(site, "service ocr", down, lambda: down)
    assert site.home.pop_restarts() == ["ai"]


def test_a_repair_that_does_not_verify_is_failed_and_escalates_once(
    place: Place, tmp_path: Path
) -> None:
    """Two attempts, then people are called once, and no third attempt is made."""
    notes = tmp_path / "notes"
    site = levers_place(place, notes)
    told = [attempt_repair(site, "disk", BAD, lambda: BAD) for _ in range(4)]
    assert told[0] == "not repaired disk_full of machine in attempt 1: disk: it is full"
    assert told[2] == told[3] == "not repaired because 2 attempts in an hour are used up"
    assert pulled(notes) == 2
    assert [r.status for r in repairs.newest(site.store, "bench")] == ["failed", "failed"]
    assert kinds(site).count("repair.escalated") == 1
    (message,) = messages.newest(site.store, "bench")
    assert (message.severity, message.title) == ("critical", "disk of bench needs a person")


def test_repairs_that_help_for_a_moment_only_escalate_too(place: Place, tmp_path: Path) -> None:
    """A fault that comes back after each success is not repaired for ever in silence."""
    notes = tmp_path / "notes"
    site = levers_place(place, notes)
    for attempt in (1, 2):
        attempt_repair(site, "disk", BAD,
                       lambda n=attempt: GOOD if pulled(notes) >= n else BAD)  # type: ignore[misc]
    assert "repair.escalated" not in kinds(site)
    attempt_repair(site, "disk", BAD, lambda: BAD)
    assert pulled(notes) == 2
    assert kinds(site).count("repair.escalated") == 1


def test_one_bad_look_is_no_issue(place: Place, tmp_path: Path) -> None:
    """What is good when it is looked at again is left alone, and costs no attempt."""
    notes = tmp_path / "notes"
    site = levers_place(place, notes)
    told = attempt_repair(site, "disk", BAD, lambda: GOOD)
    assert told == "not repaired because it is good again: it has room"
    assert pulled(notes) == 0
    assert repairs.newest(site.store, "bench") == []


def test_a_check_that_breaks_after_the_repair_is_no_success(place: Place, tmp_path: Path) -> None:
    """Nobody knows: failed, with what was raised, and the claim is closed."""
    notes = tmp_path / "notes"
    site = levers_place(place, notes)

    def broken() -> Health:
        raise ValueError("no figures")

    told = attempt_repair(site, "disk", BAD, broken)
    assert told.startswith("not repaired disk_full") and "ValueError: no figures" in told
    assert repairs.newest(site.store, "bench")[0].status == RepairStatus.FAILED


def test_a_lever_that_fails_is_named(place: Place, tmp_path: Path) -> None:
    """A repair by a broken lever says so; other repairs go on beside it."""
    site = levers_place(place, tmp_path / "no" / "such" / "folder")
    told = repair_all(site, {"disk": BAD, "other": replace(BAD, issue="node_failure")},
                      {"disk": lambda: BAD, "other": lambda: BAD})
    assert "lever tidy failed (exit code 1" in told["disk"]
    assert "other" not in told  # nobody said how


def test_two_checks_at_once_pull_a_lever_once(place: Place, tmp_path: Path) -> None:
    """Two health checks that overlap: one repairs, the other says that it is being repaired."""
    notes = tmp_path / "notes"
    site = levers_place(place, notes, within="60s", backoff="1m")
    told: list[str] = []

    def attempt() -> None:  # the one that repairs goes on until the others have said their part
        told.append(attempt_repair(
            site, "disk", BAD, lambda: GOOD if len(told) == 2 else BAD))

    threads = [threading.Thread(target=attempt) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert pulled(notes) == 1
    assert len([text for text in told if "is being repaired" in text]) == 2


def test_a_drifted_gateway_is_published_to_again(place: Place) -> None:
    """Without a word in the plan: it serves the routing state afterwards."""
    site, bench = place()
    for weight in (4000, 5000):
        state = routing.change(
            site.store, "bench", Change(mode=Mode.GRADUAL, weight=weight), Author("test", "test"),
            now=clock.now())
    told = repair_all(site, {"gateway": look(site, "gateway")},
                      {"gateway": lambda: look(site, "gateway")})
    assert told["gateway"].startswith("repaired gateway_drift of gateway in attempt 1")
    assert wait_for(bench.gateway.served) == state.order


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A supervisor with one process of its own, and nothing else running."""
    plan = make_plan(shadow={"sample": "10%"})
    home = Home(tmp_path / "supervised")
    home.create()
    settings = Settings(
        tmp_path / "plan.yaml", free_port(), free_port(), f"127.0.0.1:{free_port()}")
    found = Stack(home, plan, settings, lambda _: None)
    found.children["reports"].start()
    found.keeper.save()
    yield found
    found.children["reports"].end()


def test_the_supervisor_restarts_what_it_was_asked_for(stack: Stack) -> None:
    """A process that hangs is ended and started again, once; other names are ignored."""
    before = stack.children["reports"].process
    assert before is not None
    before.suspend()
    stack.home.ask_restart("reports")
    stack.home.ask_restart("nobody")
    stack.keeper.revive()
    after = stack.children["reports"].process
    assert after is not None and after.pid != before.pid
    assert not before.is_running()
    stack.keeper.revive()
    assert stack.children["reports"].process == after
    assert stack.home.settings()["processes"]["reports"]["pid"] == after.pid


@pytest.mark.parametrize("issue", [
    Issue.SHADOW_GONE, Issue.OBSERVER_GONE, Issue.WORKER_GONE, Issue.CONSOLE_GONE])
def test_a_silent_process_of_ours_is_asked_to_be_restarted(place: Place, issue: Issue) -> None:
    """By the supervisor that runs; without one the repair fails and says why."""
    site, _ = place()
    found = Health(Status.CRITICAL, "silent", {}, issue, issue.removesuffix("_gone"))
    spec = site.plan.health.model_copy(update={"repairs": {
        issue: type(strategy_of(site, found)).model_validate(  # type: ignore[union-attr]
            {"within": "0s", "backoff": "0s"})}})
    site = Site(site.home, site.plan.model_copy(update={"health": spec}), site.store)
    told = attempt_repair(site, "it", found, lambda: found)
    assert "`changeover up` does not run" in told
    me = psutil.Process(os.getpid())
    site.home.save_settings({**site.home.settings(), "supervisor": {
        "pid": me.pid, "created": me.create_time()}})
    attempt_repair(site, "it", found, lambda: found)
    assert site.home.pop_restarts() == [found.system]


def test_the_last_sign_of_life_of_what_is_ended_is_no_repair(place: Place) -> None:
    """Only what another process says counts, however late the supervisor starts it."""
    site, _ = place()
    me, asked = psutil.Process(os.getpid()), threading.Event()
    settings = {**site.home.settings(), "processes": {"console": {"pid": 1, "created": 0}},
                "supervisor": {"pid": me.pid, "created": me.create_time()}}
    site.home.save_settings(settings)
    told: list[str] = []

    def supervise(done: threading.Event) -> None:
        wait_for(site.home.pop_restarts, what="the request")
        asked.set()
        done.wait(1.5)  # for so long only what is being ended can be heard
        told.append("started")
        site.home.save_settings({**settings, "processes": {"console": {"pid": 2}}})

    silent = Health(Status.UNHEALTHY, "silent", {}, Issue.CONSOLE_GONE, "console")
    with meanwhile(supervise):
        answer = attempt_repair(
            site, "console", silent, lambda: GOOD if asked.is_set() else silent)
        assert told == ["started"]
    assert answer.startswith("repaired console_gone")


@pytest.mark.parametrize(("restart", "is_ours"), [(True, True), (False, False)])
def test_a_system_is_restarted_only_when_the_plan_restarts_it(
    place: Place, restart: bool, is_ours: bool
) -> None:
    """Nobody's system is started again that its owner did not give to us."""
    site, _ = place()
    systems = site.plan.systems
    candidate = type(systems.candidate).model_validate({
        **systems.candidate.model_dump(mode="json"),
        "process": {"command": ["true"], "restart": restart}})
    site = Site(site.home, site.plan.model_copy(
        update={"systems": systems.model_copy(update={"candidate": candidate})}), site.store)
    found = Health(Status.CRITICAL, "down", {}, Issue.SERVICE_DOWN, "candidate")
    assert (strategy_of(site, found) is not None) is is_ours


def test_a_claim_of_a_killed_health_check_ends(place: Place, tmp_path: Path) -> None:
    """Its lease covers everything that the attempt may take, and then another one may begin."""
    notes = tmp_path / "notes"
    site = levers_place(place, notes)
    claimed = repairs.claim(site.store, "bench", RepairRequest(
        issue="disk_full", system="machine", attempts=2, backoff=timedelta(0),
        lease=timedelta(seconds=1)), now=clock.now() - timedelta(seconds=2))
    assert isinstance(claimed, Repair)
    told = attempt_repair(site, "disk", BAD, lambda: GOOD if pulled(notes) else BAD)
    assert told.startswith("repaired disk_full of machine in attempt 2")
    wait_for(lambda: pulled(notes) == 1, what="the lever")
