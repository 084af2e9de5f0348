"""The document migration from end to end: promoted, rolled back, warned, relieved and repaired.

One stack serves all of it, in the environment `testing`, whose red line of memory is 2048 MB. Users
are moved by the cutover or by hand; each fault is a real one of the node engine or the AI services.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest

from changeover import clock
from changeover.domain.health import RepairStatus
from changeover.domain.routing import Mode
from changeover.errors import EXIT_OK
from changeover.plan.model import Plan
from changeover.store import audit, flags, health_results, repairs, rollbacks, samples, steps
from changeover.supervisor.demo import Demo
from tests.support.migration import Migration
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration
TAKES_MINUTES = 7
EXAMPLE, ENVIRONMENT = "documents", "testing"
SWITCHED = ("enable_ai_nodes", "enable_umi_ocr", "enable_llm_processing")
RED_LINE = 2048 * 10**6
REPAIRS = {
    "memory": "memory_pressure", "node": "node_failure", "locked": "database_lock",
    "down": "service_down", "stopped": "service_down", "ocr_down": "service_down",
    "llm_down": "service_down"}
"""Which issue each fault is, by the fault."""


def adapt(plan: Plan) -> Plan:
    """Copy requests however busy the machine is: CI's is above the plan's 80 % all the time."""
    assert plan.shadow is not None
    return plan.model_copy(update={"shadow": plan.shadow.model_copy(update={"max_load": 1.0})})


def url(running: Migration, system: str) -> str:
    return running.staged.plan.system(system).url.rstrip("/")


def engine(running: Migration, path: str = "/admin/status") -> dict[str, Any]:
    """Return what the node engine says of itself."""
    found: dict[str, Any] = httpx.get(url(running, "candidate") + path, timeout=30).json()
    return found


def lever(running: Migration, path: str) -> None:
    httpx.post(f"{url(running, 'candidate')}/admin/{path}", json={}, timeout=30).raise_for_status()


def values(running: Migration) -> dict[str, Any]:
    return flags.values(running.store, running.migration, running.site.environment)


def kinds(running: Migration) -> list[str]:
    return [event.kind for event in audit.events(running.store, running.migration)]


def pulled(running: Migration) -> list[str]:
    events = audit.events(running.store, running.migration)
    return [event.data["lever"] for event in events if event.kind == "lever.pulled"]


@contextmanager
def users_at(running: Migration, percent: int) -> Iterator[None]:
    """Have the engine work, with so many of the users."""
    if engine(running)["is_running"] is False:
        lever(running, "engine/start")
        lever(running, "normal")
    running.move(percent)
    yield


def test_the_whole_plan_is_promoted_and_errors_roll_it_back(running: Migration) -> None:
    """Five stages with their flags; then 2 % errors, and the four steps of the document's SOP."""
    begin_anew(running)
    shown: list[str] = []
    demo = Demo(running.site, shown.append, approves=True, fault=None, faults=running.staged.faults)
    assert demo.run() == EXIT_OK, shown[-5:]
    assert_promoted(running)
    running.begin("errors")
    running.wait_fired("errors")
    running.wait_rolled_back(seconds=120)
    running.end_fault("errors")
    assert_as_before(running)
    assert_analysed(running)


def begin_anew(running: Migration) -> None:
    """Have everybody at the baseline, and nothing of an earlier test."""
    if running.mode() is Mode.EMERGENCY_ROLLBACK:
        running.changeover("recover", "--reason", "the next case")
    elif running.mode() is not Mode.BASELINE_ONLY:
        running.changeover("disable", "--reason", "the next case")
    assert not any(values(running)[name] for name in SWITCHED)


def assert_promoted(running: Migration) -> None:
    """Flags followed the comparison, one AI task at once, the old system stands by, users well."""
    assert running.mode() is Mode.CANDIDATE_ONLY
    assert all(values(running)[name] for name in SWITCHED)
    assert [event.data["flags"] for event in audit.events(running.store, running.migration)
            if event.kind == "flags.set" and event.actor.startswith("cutover-")] == [
        {"enable_ai_nodes": True}, {"enable_umi_ocr": True, "enable_llm_processing": True}]
    config = httpx.get(url(running, "baseline") + "/admin/config", timeout=30).json()
    assert config["stand_by"] is True
    status = engine(running)
    assert status["ai_peak"] <= 1
    assert all(status["flags"][name] for name in SWITCHED)
    assert list((running.home.root / "work" / "workflow_cache").glob("*.json"))
    users = running.users()
    failed = sum(count for name, count in users.items() if name.startswith("failed_"))
    assert failed <= users["answered"] / 200, users


def assert_as_before(running: Migration) -> None:
    """Safe flags, empty folders, stopped services, the restored configuration."""
    assert not any(values(running)[name] for name in SWITCHED)
    for folder in ("node_engine", "ai_processing", "workflow_cache"):
        place = running.home.root / "work" / folder
        assert [path.name for path in place.iterdir()] == [".changeover-quarantine"]
    assert engine(running)["is_running"] is False
    assert engine(running, "/admin/queue") == {"length": 0}
    config = httpx.get(url(running, "baseline") + "/admin/config", timeout=30).json()
    assert config == {"stand_by": False, "keep_reader": True}


def assert_analysed(running: Migration) -> None:
    """Every step is done, and the record has reason, severity, figures, log, recommendation."""
    newest = max(rollbacks.all_of(running.store, running.migration), key=lambda each: each.id)
    done = {step.name: step.status for step in steps.all_of(
        running.store, running.migration, f"rollback-{newest.id}")}
    assert [*done] == ["safe flags and routes", "clean up", "undo hooks", "restore", "analysis",
                       "verify"]
    assert {*done.values()} == {"done"}
    found = newest.analysis
    assert {"before", "after", "triggers", "machine", "nodes", "error_log", "users_saw",
            "recommendation", "reason", "severity"} <= found.keys()
    assert any(each["trigger"] == "errors" for each in found["triggers"])
    assert found["machine"]["memory_total"] > found["machine"]["memory_used"]


def test_a_killed_engine_is_rolled_back_and_started_again(running: Migration) -> None:
    """Within seconds, for whichever reason comes first; the supervisor starts it again."""
    with users_at(running, 50):
        running.begin("crash")
        running.wait_rolled_back(seconds=120)
    wait_for(lambda: httpx.get(url(running, "candidate") + "/health", timeout=5).is_success,
             seconds=60, what="the engine is back")


@pytest.mark.parametrize("kind", ["hang", "notfound", "empty"])
def test_guardrails_see_what_the_plan_has_no_trigger_for(running: Migration, kind: str) -> None:
    """It answers nobody, everybody with 404, or with nothing: everyone is brought back."""
    try:
        with users_at(running, 50):
            running.begin(kind)
            running.wait_rolled_back(seconds=120)
    finally:
        running.end_fault(kind)
    newest = rollbacks.latest(running.store, running.migration)
    assert newest is not None and newest.reason.startswith("trigger ")


def test_answers_that_come_later_are_shown_and_nothing_is_done(running: Migration) -> None:
    """The document has no threshold for it: the figures say so, users stay where they are."""
    def measured() -> float:
        window = samples.window(
            running.store, running.migration, "candidate",
            start=clock.now() - timedelta(seconds=10), end=clock.now())
        return window.measure("latency_p50").value or 0.0

    try:
        with users_at(running, 50):
            running.begin("latency")
            wait_for(lambda: measured() >= 0.4, seconds=60, what="answers come later")
        assert running.mode() is Mode.GRADUAL
    finally:
        running.end_fault("latency")


def test_answers_that_differ_are_a_hold_and_an_alert(running: Migration) -> None:
    """More than 5 % differ, and similarity is below 0.95: said, and nobody is moved."""
    with users_at(running, 25):
        # by hand no stage has begun that would copy requests
        running.changeover("shadow", "10%", "--reason", "the next case")
        running.begin("wrong")
        wait_for(lambda: {"differs", "unlike"} <= {*running.fired()}, seconds=180,
                 what=f"both fire; fired: {running.fired()}")
        running.end_fault("wrong")
        assert running.mode() is Mode.GRADUAL


@pytest.mark.parametrize("kind", list(REPAIRS))
def test_each_fault_is_repaired(running: Migration, kind: str) -> None:
    """The health check finds it, the plan's strategy mends it, and the check is good again."""
    with users_at(running, 25):
        before = len(done_repairs(running, REPAIRS[kind]))
        running.begin(kind)
        wait_for(lambda: is_broken(running, kind), seconds=60, what=f"{kind} has begun")
        if kind == "memory":
            running.wait_fired("red_line")
        ask_health(running)
        wait_for(lambda: len(done_repairs(running, REPAIRS[kind])) > before, seconds=240,
                 what=f"{kind} is repaired")
        assert not is_broken(running, kind)
        assert running.mode() is Mode.GRADUAL
        running.end_fault(kind)
    used = running.staged.plan.health.repairs[REPAIRS[kind]].levers  # type: ignore[index]
    assert {*used} <= {*pulled(running)}


def done_repairs(running: Migration, issue: str) -> list[Any]:
    found = repairs.newest(running.store, running.migration)
    return [each for each in found if each.issue == issue and each.status == RepairStatus.DONE]


def ask_health(running: Migration) -> None:
    """Have the health check made now; it comes every minute anyway."""
    assert running.api.start("health-check/main", parameters={})


def is_broken(running: Migration, kind: str) -> bool:
    """Whether the fault is there, asked of whom it is in."""
    if kind == "memory":
        return int(engine(running)["held_bytes"]) > RED_LINE
    if kind == "node":
        figures = engine(running, "/nodes/pdf")
        # it dies with its next task
        return not figures["is_alive"] and figures["queue_length"] > 0
    if kind == "locked":
        return int(engine(running)["unwritten"]) > 0
    try:
        ai = running.staged.faults.addresses["ai"]
        service = "llm" if kind == "llm_down" else "ocr"
        return not httpx.get(f"{ai}/{service}/health", timeout=3).is_success
    except httpx.HTTPError:
        return True


@pytest.mark.parametrize(("kind", "level", "levers"), [
    ("gui_slow", "slow", {"withhold_ai", "delay_later_tasks"}),
    ("gui_frozen", "frozen", {"pause_ai_nodes", "collect_garbage"}),
])
def test_a_slow_page_is_relieved_and_work_goes_on_after(
    running: Migration, kind: str, level: str, levers: set[str]
) -> None:
    """Its thread answers late: no AI work, users at the baseline; good for 5 s: as before."""
    with users_at(running, 25):
        before = kinds(running).count(f"back_pressure.{level}"), \
            kinds(running).count("back_pressure.normal")
        running.begin(kind)
        wait_for(lambda: kinds(running).count(f"back_pressure.{level}") > before[0], seconds=60,
                 what=f"back-pressure is {level}")
        wait_for(lambda: levers <= {*pulled(running)}, seconds=30, what="the levers are pulled")
        running.end_fault(kind)
        wait_for(lambda: kinds(running).count("back_pressure.normal") > before[1], seconds=120,
                 what="normal work")
        wait_for(lambda: engine(running)["ai_limit"] == 1, seconds=30, what="AI works again")
        assert engine(running)["is_delayed"] is False


def test_health_covers_memory_nodes_database_pair_and_files(running: Migration) -> None:
    """Five checks of the document, each with its numbers, in the newest health check."""
    ask_health(running)
    names = {"memory", "node pdf", "node ocr", "node llm", "database records", "services ai",
             "folder node_engine", "memory of engine", "limits"}
    found = wait_for(
        lambda: {each.check: each for each in health_results.latest(
            running.store, running.migration)} or None, seconds=120, what="a health check")
    assert names <= found.keys()
    assert {"latency", "success rate", "queue", "memory", "idle"} <= found["node pdf"].data.keys()
    assert {"percent", "total", "used", "available"} <= found["memory"].data.keys()
