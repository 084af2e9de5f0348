"""Whole cutovers with a real Prefect server, worker, Envoy, observer and users' requests."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import psutil
import pytest

from changeover import clock
from changeover.domain.procedures import of_rollback
from changeover.domain.report_files import Report
from changeover.domain.rollout import Cutover, CutoverStatus
from changeover.domain.routing import Mode
from changeover.errors import EXIT_INTERRUPTED
from changeover.plan.load import load_plan
from changeover.store import (
    approvals,
    audit,
    cutovers,
    report_files,
    rollbacks,
    routing,
    steps,
    verdicts,
)
from tests.support.approve import approve_in_browser
from tests.support.processes import LONGEST_PAUSE, wait_for
from tests.support.site import Site, site

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("site")]


@pytest.fixture(scope="module")
def running_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One `changeover up` for all tests here, as at a user's first start."""
    with site(tmp_path_factory.mktemp("site"), is_fresh=True) as found:
        yield found


@pytest.fixture
def at_baseline(running_site: Site) -> Site:
    """The site with everyone at the baseline and no cutover under way."""
    state = routing.read(running_site.store, "site")
    _fault(running_site, "none")
    if state.mode not in (Mode.BASELINE_ONLY, Mode.EMERGENCY_ROLLBACK):
        running_site.changeover("rollback", "--reason", "next test")
    found = cutovers.latest(running_site.store, "site")
    if found is not None and found.flow_run_id:
        running_site.wait_ended(found.flow_run_id)
    wait_for(lambda: all(r.ended_at for r in rollbacks.all_of(running_site.store, "site")),
             seconds=60)
    if routing.read(running_site.store, "site").mode is Mode.EMERGENCY_ROLLBACK:
        running_site.changeover("recover", "--reason", "next test")
    return running_site


def _fault(found: Site, kind: str) -> None:
    """Have the candidate misbehave."""
    url = load_plan(found.plan_path).systems.candidate.url
    httpx.post(f"{url}/fault?kind={kind}", timeout=LONGEST_PAUSE).raise_for_status()


@pytest.mark.browser
def test_cutover_is_approved_in_the_page_and_promoted(at_baseline: Site, tmp_path: Path) -> None:
    """From 0 to 100 %: approvals by form and command line, no failed request, a report."""
    found, failed = at_baseline, at_baseline.failed()
    run = found.start()
    found.wait_waiting(run, "beta-5")
    seen = approve_in_browser(
        found.home.settings()["ui_url"], run, decision="promote", approver="alice",
        comment="looks <b>fine</b>", shots=tmp_path,
    )
    assert "failed requests of candidate" in seen and "guardrails" in seen
    ended = _agreed_by_two(found, run)
    assert ended.status is CutoverStatus.PROMOTED
    assert routing.read(found.store, "site").mode is Mode.CANDIDATE_ONLY
    _entered_once(found, ended.id, ["shadow", "beta-5", "gradual-50", "full"])
    assert audit.verify(found.store, "site") == []
    assert found.failed() == failed
    alike = [v for v in verdicts.all_of(found.store, ended.id) if v.gate == "alike"][-1]
    assert alike.verdict == "pass"
    assert alike.evidence[0]["samples"] >= 5
    assert alike.evidence[0]["coverage"]["compared"] >= 5
    _report_tells(found, ended.id, ["alice", "bob", "looks &lt;b&gt;fine"])
    _same_plan_gives_the_stored_verdicts(found, ended.id)


def _same_plan_gives_the_stored_verdicts(found: Site, cutover_id: int) -> None:
    """A backtest with the plan that ran finds every verdict again, to the last bit."""
    text = found.changeover(
        "backtest", "--plan", str(found.plan_path), "--since", "1d", "--output", "json")
    document = json.loads(text)
    again = {gate["verdict_id"]: gate for each in document["evaluations"]
             if each["cutover_id"] == cutover_id for gate in each["gates"]}
    known = {each.id: each for each in verdicts.all_of(found.store, cutover_id)}
    assert again.keys() == known.keys()
    for number, gate in again.items():
        assert gate["now"] == gate["then"] == known[number].verdict
        for check, evidence in zip(gate["checks"], known[number].evidence, strict=False):
            assert check["change"] == "same"
            told = check["evidence"]
            assert {name: evidence[name] for name in told} == told


def _agreed_by_two(found: Site, run: str) -> Cutover:
    """Agree twice to the last stage, and return the cutover at its end."""
    found.wait_waiting(run, "full")
    found.changeover_alone("approve", "promote", "--approver", "alice")
    wait_for(lambda: approvals.open_for(found.store, "site"), seconds=60)
    found.wait_waiting(run, "full")
    found.changeover("approve", "promote", "--approver", "bob")
    return found.wait_ended(run)


def _entered_once(found: Site, cutover_id: int, expected: list[str]) -> None:
    entered = [e.data["stage"] for e in audit.events(found.store, "site")
               if e.kind == "stage.entered" and e.data["cutover"] == cutover_id]
    assert entered == expected


def _report_tells(found: Site, cutover_id: int, words: list[str]) -> None:
    def written() -> Report | None:
        newest = report_files.latest(found.store, "site", "cutover")
        return newest if newest and newest.cutover_id == cutover_id else None

    report = wait_for(written, seconds=60, what="the report")
    page = httpx.get(f"{found.home.settings()['reports_url']}/{Path(report.html_path).name}",
                     timeout=LONGEST_PAUSE)
    assert page.is_success
    for word in words:
        assert word in page.text


def test_second_cutover_and_late_approval_change_nothing(at_baseline: Site) -> None:
    """Two at once: the second says why, the first goes on. A person rolls back while another is
    asked: the late approval is refused and says so."""
    found = at_baseline
    run = found.start("beta")
    found.wait_waiting(run, "beta-5")
    second = found.start()
    wait_for(lambda: found.api.run(second).state_type == "FAILED", seconds=60)
    assert found.api.run(second).state_name == "Refused"
    assert found.cutover(second) is None
    assert found.stage(run) == ("beta-5", "waiting")
    found.changeover("rollback", "--reason", "wrong totals")
    text = found.changeover("approve", "promote", "--approver", "late", code=4)
    assert "changes nothing because a rollback came first" in text
    ended = found.wait_ended(run)
    assert ended.status is CutoverStatus.ROLLED_BACK
    assert routing.read(found.store, "site").mode is Mode.EMERGENCY_ROLLBACK
    wait_for(lambda: found.api.run(run).state_type == "FAILED", seconds=60)
    assert rollbacks.latest(found.store, "site").status == "completed"


def test_failed_gate_rolls_back_by_itself(at_baseline: Site) -> None:
    """A candidate that fails half of its requests is left behind by the gate; users see none."""
    found, failed = at_baseline, at_baseline.failed()
    _fault(found, "half")
    run = found.start("gradual")
    # nobody has agreed to leave the stage before it since the last rollback
    wait_for(lambda: approvals.open_for(found.store, "site"), seconds=60, what="people are asked")
    found.changeover("approve", "promote", "--approver", "alice")
    ended = found.wait_ended(run)
    assert ended.status is CutoverStatus.ROLLED_BACK
    assert "error_rate of candidate" in ended.outcome
    begun = rollbacks.latest(found.store, "site")
    done = steps.all_of(found.store, "site", of_rollback(begun.id))
    assert [(step.number, step.status) for step in done] == [(n, "done") for n in range(1, 6)]
    assert found.failed("GET") <= failed


def test_second_up_is_refused(at_baseline: Site) -> None:
    """One `up` for one home directory; the first goes on as if nothing had been."""
    before = at_baseline.home.settings()
    text = at_baseline.changeover_alone("up", "--plan", str(at_baseline.plan_path), code=4)
    assert "runs already" in text
    assert at_baseline.home.settings() == before


def test_status_and_history_tell_people_and_programs(at_baseline: Site) -> None:
    """Text for people, JSON for programs, the chain verified."""
    assert "site: baseline_only" in at_baseline.changeover("status")
    assert '"mode": "baseline_only"' in at_baseline.changeover("status", "--output", "json")
    assert "intact" in at_baseline.changeover("history", "--verify")


def _left_running(found: Site) -> str:
    """Return a health check that is running and that no process carries out."""
    url = found.api.url
    deployment = httpx.get(f"{url}/deployments/name/health-check/main", timeout=60).json()
    far = {"scheduled_time": (clock.now() + timedelta(days=1)).isoformat()}  # the worker leaves it
    made = httpx.post(f"{url}/deployments/{deployment['id']}/create_flow_run", timeout=60, json={
        "state": {"type": "SCHEDULED", "state_details": far}}).raise_for_status().json()
    httpx.post(f"{url}/flow_runs/{made['id']}/set_state", timeout=60, json={
        "state": {"type": "RUNNING"}, "force": True}).raise_for_status()
    return str(made["id"])


def test_health_checks_go_on_after_the_worker_that_makes_them_was_killed(at_baseline: Site) -> None:
    """A check that it left running has crashed, and keeps no later one from being made."""
    found = at_baseline
    worker = found.pid("worker")
    wait_for(lambda: found.examine()["infrastructure_pid"] == str(worker), seconds=60,
             what="a health check in the worker itself")
    lost = _left_running(found)
    os.kill(worker, signal.SIGKILL)

    def state() -> str:
        run = httpx.get(f"{found.api.url}/flow_runs/{lost}", timeout=60).json()
        return str(run["state_type"])

    wait_for(lambda: state() == "CRASHED", seconds=60, what="the end of the lost check")
    assert found.pid("worker") != worker
    assert found.examine()["state_type"] == "COMPLETED"


def test_a_second_up_goes_on_where_the_first_was_stopped(at_baseline: Site) -> None:
    """Ctrl-C ends everything; the next `up` serves the same routes, and the approval counts."""
    found = at_baseline
    run = found.start("beta")
    found.wait_waiting(run, "beta-5")
    processes = [psutil.Process(entry["pid"])
                 for entry in found.home.settings()["processes"].values()]
    assert len(processes) == 9
    found.supervisor.send_signal(signal.SIGINT)
    assert found.supervisor.wait(300) == EXIT_INTERRUPTED
    _, left = psutil.wait_procs(processes, timeout=LONGEST_PAUSE)
    assert left == []
    assert found.flow_processes() == []
    found.begin_again()
    assert found.stage(run) == ("beta-5", "waiting")
    wait_for(found.gateway_serves, what="the same routes")
    found.changeover("approve", "promote", "--approver", "alice")
    assert found.wait_ended(run).status is CutoverStatus.PROMOTED
    state = routing.read(found.store, "site")
    assert (state.mode, state.weight) == (Mode.GRADUAL, 500)
    assert audit.verify(found.store, "site") == []
