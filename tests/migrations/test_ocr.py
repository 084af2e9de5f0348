"""Text recognition moves from a paid service to an open engine: once to its end, and each fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from changeover.domain.procedures import StepStatus, of_cutover
from changeover.domain.rollout import StageStatus
from changeover.domain.routing import Mode
from changeover.store import audit, cutovers, firings, rollbacks, steps, verdicts
from changeover.supervisor.demo import Demo
from tests.support.migration import Migration
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration
TAKES_MINUTES = 8
EXAMPLE = "ocr"


def back_at_the_start(running: Migration) -> None:
    """Bring everyone back to the paid service, whatever was before."""
    if running.mode() in (Mode.GRADUAL, Mode.CANDIDATE_ONLY):
        running.changeover("rollback", "--reason", "the next case")
        running.wait_rolled_back()
    if running.mode() is Mode.EMERGENCY_ROLLBACK:
        running.changeover("recover", "--reason", "the next case")


def fires(running: Migration, kind: str, *triggers: str, seconds: float) -> str:
    """Begin a fault with most users on the candidate; return what one of the triggers did first."""
    def fired() -> list[str]:
        return [str(each.action) for each in firings.all_of(running.store, running.migration)
                if each.trigger in triggers]

    before = len(fired())
    running.move(85)
    running.wait_over(*triggers)
    running.begin(kind)
    wait_for(lambda: len(fired()) > before, seconds=seconds,
             what=f"one of {triggers} fires after {kind}; fired before: {running.fired()}")
    return fired()[before]


def explained(running: Migration, user: str, *arguments: str) -> dict[str, Any]:
    """Return what each flag is for a user."""
    told = json.loads(running.changeover("explain", user, "--output", "json", *arguments))
    found = told[0] if isinstance(told, list) else told
    return {name: each["value"] for name, each in found["flags"].items()}


def test_the_open_engine_takes_over_and_the_paid_service_is_switched_off(
    running: Migration
) -> None:
    """Seven stages from 0 to 100 %, final flags, 24 hours of observation; then all the way back."""
    back_at_the_start(running)
    shown: list[str] = []
    demo = Demo(running.site, shown.append, approves=True, fault=None,
                faults=running.staged.faults)
    assert demo.run() == 0, shown[-20:]
    cutover = cutovers.latest(running.store, running.migration)
    assert cutover is not None
    found = cutovers.stages(running.store, cutover.id)
    assert [each.key for each in found] == [
        "shadow", "beta-5", "gradual-15", "gradual-35", "gradual-60", "gradual-85", "full"]
    assert {each.status for each in found} == {StageStatus.PROMOTED}
    _is_configured(running, cutover.id)
    _is_compared(running, cutover.id)
    assert explained(running, "user-0001")["disable_google_cloud"] is True
    assert _paid_service(running)["paused"] is True
    # the way back after the end: the paid service is there again before anybody comes to it
    running.changeover("rollback", "--reason", "a drill after the cutover")
    running.wait_rolled_back()
    assert _paid_service(running)["paused"] is False
    assert explained(running, "user-0001")["disable_google_cloud"] is False
    newest = rollbacks.latest(running.store, running.migration)
    assert newest is not None and newest.status == "completed"


def _paid_service(running: Migration) -> dict[str, Any]:
    answer = httpx.get(f"{running.staged.plan.systems.baseline.url}/health", timeout=30)
    told: dict[str, Any] = answer.json()
    return told


def _is_configured(running: Migration, cutover_id: int) -> None:
    """Check what the cutover did around its stages."""
    done = {step.name: step for step in steps.all_of(
        running.store, running.migration, of_cutover(cutover_id))}
    for name in ("backup", "rollback.sh", "final configuration", "observation"):
        assert done[name].status is StepStatus.DONE, name
    assert "disable_google_cloud" in done["final configuration"].detail
    assert list(Path(done["backup"].data["path"]).rglob("*readings*"))
    criteria = done["success criteria"].data["criteria"]
    assert all(each["is_met"] for each in criteria), criteria
    assert (running.home.root / "rollback" / f"cutover-{cutover_id}" / "rollback.sh").exists()


def _is_compared(running: Migration, cutover_id: int) -> None:
    """Check that time, confidence, success and volume of both systems were measured."""
    measured = {
        evidence["metric"] for verdict in verdicts.all_of(running.store, cutover_id)
        if verdict.gate == "comparison"
        for evidence in verdict.evidence if evidence.get("value") is not None}
    assert {"outcome_duration_mean", "outcome_error_rate", "outcome.character_error_rate",
            "outcome_rate"} <= measured


@pytest.mark.parametrize(("kind", "triggers"), [
    ("errors", ["critical_errors"]), ("unreadable", ["critical_success"]), ("hang", ["down"]),
    # which of the two sees it first is a matter of a second
    ("offline", ["guardrail down", "guardrail errors", "down"]), ("slow", ["critical_time"]),
    ("memory", ["memory"]),
], ids=lambda each: each if isinstance(each, str) else "")
def test_a_critical_alert_brings_everyone_back(
    running: Migration, kind: str, triggers: list[str]
) -> None:
    """Each of the critical thresholds, the engine's death and its memory."""
    try:
        assert fires(running, kind, *triggers, seconds=90) == "rollback"
    finally:
        running.end_fault(kind)
    running.wait_rolled_back()
    served = httpx.get(
        f"http://{running.staged.plan.routing.listen}/pages/plain-0000/text",
        headers={"x-user-id": "somebody"}, timeout=90)
    assert served.headers["x-served-by"] == "baseline"


@pytest.mark.parametrize(("kind", "trigger"), [
    ("some_errors", "errors"), ("some_unreadable", "success"), ("late", "slow"),
    ("unsure", "unsure"), ("garbled", "garbled"),
])
def test_a_threshold_that_is_passed_asks_people(
    running: Migration, kind: str, trigger: str
) -> None:
    """Nobody is moved by it; the next gate asks, and the alert is told.

    At this speed twelve hours are some fifteen pages: two errors among them are critical.
    """
    try:
        assert fires(running, kind, trigger, seconds=60) == "hold"
    finally:
        running.end_fault(kind)
    events = audit.events(running.store, running.migration)
    moved = [str(each.data.get("reason")) for each in events if each.kind == "rollback.started"]
    assert not [reason for reason in moved if reason.startswith(f"trigger {trigger}:")]


def test_an_engine_that_is_killed_is_there_again_and_pages_are_read_meanwhile(
    running: Migration
) -> None:
    """Pages that are asked for with GET are read by the paid service until it is."""
    running.move(85)
    running.begin("crash")
    page = f"http://{running.staged.plan.routing.listen}/pages/plain-0000/text"
    for number in range(5):
        answer = httpx.get(page, headers={"x-user-id": f"somebody-{number}"}, timeout=90)
        assert answer.is_success, answer.text
    engine = f"{running.staged.plan.systems.candidate.url}/health"
    wait_for(lambda: httpx.get(engine, timeout=5).is_success, seconds=60, what="the engine is back")


def test_the_paid_service_may_die_and_users_of_the_open_engine_notice_nothing(
    running: Migration
) -> None:
    """Who was moved is served; who was not sees the failure of the service that they are on."""
    running.move(85)
    running.begin("cloud_down")
    try:
        listen = f"http://{running.staged.plan.routing.listen}"
        keys = [f"somebody-{number}" for number in range(12)]
        moved = [key for key in keys if "gets the candidate" in running.changeover("explain", key)]
        assert moved
        for key in moved:
            answer = httpx.get(f"{listen}/pages/plain-0000/text", headers={"x-user-id": key},
                               timeout=90)
            assert answer.headers["x-served-by"] == "candidate"
            assert answer.is_success
    finally:
        running.end_fault("cloud_down")


def test_maintenance_answers_with_its_reason_and_ends(running: Migration) -> None:
    """All recognition stops, every user is told why, and the flag says so."""
    page = f"http://{running.staged.plan.routing.listen}/pages/plain-0000/text"
    running.changeover("maintenance", "on", "--reason", "Critical issue detected")
    try:
        wait_for(lambda: httpx.get(page, timeout=90).status_code == 503, what="maintenance")
        assert "Critical issue detected" in httpx.get(page, timeout=90).text
        assert explained(running, "user-0001")["maintenance_mode"] is True
    finally:
        running.changeover("maintenance", "off", "--reason", "mended")
    wait_for(lambda: httpx.get(page, timeout=90).is_success, what="the end of maintenance")
    assert explained(running, "user-0001")["maintenance_mode"] is False


def test_flags_tell_the_applications_what_the_migration_does(running: Migration) -> None:
    """All nine of the guide: the share, the engine of each user, and who tests."""
    running.move(15)
    flags = explained(running, "somebody")
    assert flags["rollout_percentage"] == 15
    assert flags["gradual_rollout_enabled"] is True
    assert flags["use_opensource_ocr"] == flags["changeover.system"].startswith("candidate")
    assert flags["force_opensource_for_testing"] is False
    assert explained(running, "somebody", "--attribute", "account=staging")[
        "force_opensource_for_testing"] is True
    for name in ("enable_performance_monitoring", "enable_accuracy_comparison",
                 "collect_ocr_metrics"):
        assert flags[name] is True
