"""The steps after the traffic: each is told, none holds up the next, and traffic is counted."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from changeover import clock
from changeover.analysis.window import Sample
from changeover.domain.procedures import Step, StepStatus, of_cutover
from changeover.domain.rollbacks import RollbackStatus
from changeover.domain.routing import Mode
from changeover.domain.suites import SuiteVerdict
from changeover.errors import PublishFailed
from changeover.gateway.publish import Gateway
from changeover.procedures import baseline, verification
from changeover.procedures.partial_rollback import move_back
from changeover.procedures.rollback_analysis import analyse
from changeover.procedures.rollback_steps import clean_up, close, restore
from changeover.procedures.steps import RollbackRun
from changeover.procedures.suites import SuiteResult
from changeover.procedures.verification import verify
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import rollbacks, routing, samples, steps
from tasks import traffic
from tests.integration.rollback.conftest import Open, Scene
from tests.support.processes import LONGEST_PAUSE, meanwhile, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traffic may be measured long after it was sent."""
    monkeypatch.setattr(verification, "VERIFY_SECONDS", 120.0)
    monkeypatch.setattr(verification, "MEASURED_WITHIN", 120.0)


def write(scene: Scene, seconds: range, *, candidate: int) -> None:
    """Store what was counted in each of these seconds."""
    samples.write(scene.place.store, "bench", [
        Sample(system=system, at=at, requests=requests) for at in seconds
        for system, requests in (("baseline", 10), ("candidate", candidate))])


def counted(scene: Scene, *, candidate: int) -> None:
    """Store what was counted up to now, and what will be until this test has ended."""
    now = int(time.time())
    write(scene, range(now - 5, now + 120), candidate=candidate)


def measured(scene: Scene, *, candidate: int) -> AbstractContextManager[None]:
    """Store what was counted a second and a half late, as the observer does: every second once."""
    def store(done: threading.Event) -> None:
        next_one = int(time.time() - 1.4)
        while not done.wait(0.2):
            end = int(time.time() - 0.4)
            write(scene, range(next_one, end), candidate=candidate)
            next_one = end

    return meanwhile(store)


def outcomes(run: RollbackRun) -> dict[int, tuple[str, str]]:
    return {step.number: (step.status, step.detail)
            for step in steps.all_of(run.site.store, "bench", run.subject)}


def rolled_back(scene: Scene) -> RollbackRun:
    """Move half of the users and roll back; return the rollback."""
    scene.move(Mode.GRADUAL, 5_000)
    return RollbackRun(scene.place, scene.roll_back().rollback.id)


def test_step_that_breaks_is_told_and_does_not_end_the_way_back(
    scene: Open, tmp_path: Path
) -> None:
    """Whatever a step raises, the ones after it are carried out, and the end names it."""
    site = scene(rollback={"roots": [str(tmp_path)], "cleanup": [f"{tmp_path}/none/*"]})
    site.place.home.save_settings({"processes": {"candidate": {"pid": 1}}})  # no `created`
    run = rolled_back(site)
    assert clean_up(run) == "it broke: KeyError: 'created'"
    assert restore(run) == "no lever to pull"
    assert close(run, {}) is RollbackStatus.NEEDS_PERSON
    (found,) = rollbacks.all_of(site.place.store, "bench")
    assert found.analysis["a_person_must"] == ["clean up: it broke: KeyError: 'created'"]


def test_analysis_tells_what_it_can(scene: Open, tmp_path: Path) -> None:
    """A disk that cannot be read hides neither the reason nor the figures."""
    site = scene()
    run = rolled_back(site)
    run.site = Site(Home(tmp_path / "gone"), site.place.plan, site.place.store)
    with measured(site, candidate=0):
        found = analyse(run)
    assert found["reason"] == "it burns"
    assert found["after"]["baseline"]["requests"] > 0
    assert "machine" not in found
    status, detail = outcomes(run)[4]
    assert status == "failed"
    assert detail.startswith("machine: it broke: FileNotFoundError")


def test_verification_waits_until_traffic_was_counted(scene: Open) -> None:
    """Samples come late: none at the candidate means nothing before some were counted."""
    site = scene()
    run = rolled_back(site)
    with measured(site, candidate=0):
        detail = verify(run, None)
    assert outcomes(run)[5][0] == "done", detail
    assert "30 requests counted there in the last 3 s, none at the candidate" in detail


def test_verification_sees_traffic_that_still_goes_to_the_candidate(
    scene: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that says one thing and does another is found by what it counts."""
    monkeypatch.setattr(verification, "VERIFY_SECONDS", 0.5)
    site = scene()
    run = rolled_back(site)
    counted(site, candidate=50)
    detail = verify(run, None)
    assert outcomes(run)[5][0] == "failed"
    assert "the gateway sent 150 requests to the candidate from" in detail


def test_verification_without_an_observer_is_no_verification(
    scene: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing counted is not the same as nothing sent."""
    monkeypatch.setattr(verification, "VERIFY_SECONDS", 0.5)
    site = scene()
    run = rolled_back(site)
    assert "is the observer running?" in verify(run, None)
    assert outcomes(run)[5][0] == "failed"


def test_rollback_whose_verification_fails_is_escalated(scene: Open) -> None:
    """A suite that fails afterwards keeps everyone at the baseline and asks for a person."""
    site = scene()
    run = rolled_back(site)
    counted(site, candidate=0)
    verify(run, SuiteResult("post_rollback", SuiteVerdict.FAIL, "1 of 1 checks failed"))
    assert close(run, {}) is RollbackStatus.NEEDS_PERSON
    (found,) = rollbacks.all_of(site.place.store, "bench")
    (todo,) = found.analysis["a_person_must"]
    assert todo.startswith("verify: suite post_rollback: 1 of 1 checks failed")
    assert routing.read(site.place.store, "bench").mode is Mode.EMERGENCY_ROLLBACK


def test_proxy_of_the_environment_is_not_asked_about_the_baseline(
    scene: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A baseline on this network is well whatever HTTP_PROXY says."""
    site = scene()
    run = rolled_back(site)
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    counted(site, candidate=0)
    verify(run, None)
    assert outcomes(run)[5][0] == "done"


def test_restore_starts_a_baseline_that_went_away_after_step_1(scene: Open) -> None:
    """A lever that was under way when the rollback came took it away from under everyone."""
    site = scene(
        levers={"off": {"of": "baseline", "post": "/fault?kind=503"},
                "on": {"of": "baseline", "post": "/fault?kind=none"}},
        cutover={"disable_baseline": {"levers": ["off"], "undo": ["on"], "undo_within": "120s"}})
    cutover, now = site.begin(), clock.now()
    steps.save(site.place.store, Step(
        "bench", of_cutover(cutover.id), baseline.DISABLED, StepStatus.BEGUN, "", now, now))
    run = RollbackRun(site.place, site.roll_back().rollback.id)
    site.bench.fault("503", "baseline")
    restore(run)
    assert baseline.is_well(site.place.plan)


def test_rollback_of_one_segment_leaves_the_others_where_they_are(scene: Open) -> None:
    """Only the segment's users go back; no epoch is raised, no emergency declared."""
    site = scene()
    site.move(Mode.GRADUAL, 9_999, ("beta",))
    told = move_back(site.place, "segment:beta", "beta users complain", "run-1")
    assert told.startswith("segment:beta is back at the baseline: ")
    state = routing.read(site.place.store, "bench")
    assert (state.mode, state.weight, state.segments, state.epoch) == (Mode.GRADUAL, 9_999, (), 0)
    assert state.kept == ("beta",)
    assert served(site, "ann", "beta") == "baseline"
    assert served(site, "ann", "") == "candidate"


def served(scene: Scene, key: str, cohort: str) -> str:
    """Return who answers a user."""
    headers = {"x-user-id": key, "x-cohort": cohort}
    answer = httpx.get(scene.bench.url, headers=headers, timeout=LONGEST_PAUSE)
    return str(answer.json()["served_by"])


def test_part_that_the_gateway_did_not_confirm_is_moved_back_again(
    scene: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An Envoy that stands still for a moment is passing trouble, not the end of it."""
    monkeypatch.setattr(traffic, "root_run_id", lambda: "run-1")
    site = scene(phases=[{"phase": "gradual", "stages": [
        {"percent": share, "soak": 0} for share in (10, 50)]}])
    site.move(Mode.GRADUAL, 5_000)
    hasty = Gateway(site.place.gateway.files, patience=0.3)
    place = Site(site.place.home, site.place.plan, site.place.store, hasty)
    envoy = site.bench.processes["envoy"]
    envoy.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(PublishFailed):
            traffic.move_part_back.fn(place, "slow", "stage")
    finally:
        envoy.send_signal(signal.SIGCONT)
    assert wait_for(lambda: traffic.move_part_back.fn(place, "slow", "stage"))
    state = routing.read(site.place.store, "bench")
    assert state.weight == 1_000
    assert site.bench.gateway.served() == state.order
