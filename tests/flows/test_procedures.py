"""The SOPs around the stages: what refuses, what asks people, what is told to them."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.procedures import again_step, of_cutover, of_rollback
from changeover.domain.rollout import CutoverStatus
from changeover.domain.routing import Change, Mode
from changeover.domain.suites import SuiteVerdict
from changeover.errors import ApprovalRefused
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import (
    approvals,
    audit,
    cutovers,
    flags,
    messages,
    rollbacks,
    routing,
    steps,
    verdicts,
)
from reports import reading
from tasks.validate import run_verification
from tests.integration.conftest import make_plan
from tests.support.processes import ROOT, free_port, wait_for
from tests.support.ready_store import ready_store
from tests.support.sop_site import ENDED, PrefectServer, SopSite, sop_site

pytestmark = [pytest.mark.integration]

HEALTHY = [{"kind": "http", "of": "baseline", "path": "/health"}]
IMPOSSIBLE = [{"kind": "http", "of": "baseline", "path": "/health", "contains": "no such text"}]
LEVERS = {name: {"of": "candidate", "post": f"/lever/{name}"} for name in ("off", "on", "stop")}
FULL = [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]},
        {"phase": "full", "soak": "0s"}]

Begin = Callable[..., SopSite]


@pytest.fixture
def begin(server: PrefectServer, tmp_path: Path) -> Iterator[Begin]:
    """Return a function that starts a site for a plan."""
    with ExitStack() as stack:
        def start(*, is_measured: bool = True, **plan: Any) -> SopSite:
            plan = {"levers": LEVERS, "phases": FULL, **plan}
            return stack.enter_context(sop_site(
                server, make_plan(health_timeout="60s", **plan), tmp_path, is_measured=is_measured))
        yield start


def moved(site: SopSite, weight: int = 5_000, segments: tuple[str, ...] = ()) -> None:
    """Move a part of the users by hand."""
    state = routing.change(
        site.store, "bench",
        Change(mode=Mode.GRADUAL, weight=weight, segments=segments, is_by_person=True),
        Author("test", "test"), now=clock.now())
    site.bench.gateway.publish(site.plan, state)


def test_cutover_that_may_not_begin_names_every_reason_and_moves_nobody(begin: Begin) -> None:
    """Suite, room, rehearsal and reachability, all in one refusal; the state is untouched."""
    site = begin(
        is_measured=False, suites={"pre_cutover": IMPOSSIBLE},
        cutover={"preconditions": {
            "suite": "pre_cutover", "disk": "900TB", "rehearsed_within": "1d",
            "reaches_approvers": True}},
        notify=[{"webhook": f"http://127.0.0.1:{free_port()}/"}])
    before = routing.read(site.store, "bench")
    run = site.carry_out("cutover")
    assert run.state_name == "NotBegun"
    outcome = cutovers.latest(site.store, "bench").outcome
    for reason in ("suite pre_cutover: 1 of 1 checks failed", "free, less than 900",
                   "the rollback was never rehearsed", "a webhook was not reached"):
        assert reason in outcome
    assert routing.read(site.store, "bench") == before
    assert "stage.entered" not in {event.kind for event in audit.events(site.store, "bench")}
    site.api.schedule(run.id, at=clock.now(), name="Again", message="retried in the page")
    assert site.carry_on("cutover", run.id).state_name == "NotBegun"
    assert routing.read(site.store, "bench") == before
    assert [m.title for m in messages.newest(site.store, "bench")].count(
        "cutover 1 of bench was not begun") == 1


def test_run_that_finds_the_store_locked_comes_back(begin: Begin) -> None:
    """Passing trouble ends the process, not the cutover: the run is due again in seconds."""
    site = begin(is_measured=False)
    run_id = site.start("cutover")
    with closing(sqlite3.connect(site.home.root / "store.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        run = site.attempt("cutover", run_id)
        assert (run.state_type, run.state_name) == ("SCHEDULED", "Retrying")
    assert site.carry_on("cutover", run_id).state_name == "Promoted"


def test_phase_alone_asks_nothing_about_stages_that_it_passed(begin: Begin) -> None:
    """Waking in its second stage, the run finds the first one promoted and leaves it so."""
    site = begin(is_measured=False, phases=[{"phase": "gradual", "stages": [
        {"percent": 10, "soak": "0s"}, {"percent": 50, "soak": "6s"}]}, FULL[-1]])
    run = site.carry_out("gradual")
    assert run.state_name == "Promoted"
    assert approvals.all_of(site.store, cutovers.latest(site.store, "bench").id) == []
    assert (site.home.root / "rollback" / "cutover-1" / "rollback.sh").exists()


def test_rehearsal_touches_nothing_that_is_real(begin: Begin) -> None:
    """Everything is done on a copy: the real state is as before, and what was done is told."""
    site = begin(suites={"post_rollback": HEALTHY},
                 rollback={"restore": ["stop"], "verify": "post_rollback"})
    before = routing.read(site.store, "bench")
    run = site.carry_out("rollback", reason="rehearsal", rehearsal=True)
    assert run.state_name == "Rehearsed"
    assert routing.read(site.store, "bench") == before
    assert site.bench.ran("candidate")["levers"] == []
    rehearsed = steps.latest_rehearsal(site.store, "bench")
    for part in ("rollback.sh brought everyone back", "suite post_rollback: "):
        assert any(part in line for line in rehearsed.data["lines"])


def test_criterion_that_is_not_met_is_for_people_to_decide(begin: Begin) -> None:
    """Observed once more when they say hold, promoted when they accept, and the report tells."""
    site = begin(is_measured=False, suites={"post_cutover": IMPOSSIBLE},
                 cutover={"validate": "post_cutover", "observe": {"duration": "0s"}})
    run = site.carry_out("cutover", decisions=["hold", "promote"])
    assert run.state_name == "Promoted"
    found = reading.procedure_of(site.store, cutovers.latest(site.store, "bench"))
    assert [c.text for c in found.criteria if not c.is_met] == ["suite post_cutover passed"]
    assert [s.name for s in found.steps].count("suite post_cutover") == 2


def test_person_who_does_not_accept_brings_everyone_and_the_baseline_back(begin: Begin) -> None:
    """The disabled baseline is enabled before users are sent to it."""
    site = begin(suites={"post_cutover": IMPOSSIBLE}, flags={"new": False},
                 rollback={"safe_flags": {"new": False}},
                 cutover={"final": {"flags": {"new": True}}, "validate": "post_cutover",
                          "disable_baseline": {"levers": ["off"], "undo": ["on"]}})
    run = site.carry_out("cutover", decisions=["promote", "rollback"])
    assert run.state_name == "RolledBack"
    assert site.bench.ran("candidate")["levers"] == ["off", "on"]
    assert cutovers.latest(site.store, "bench").status is CutoverStatus.ROLLED_BACK
    assert routing.read(site.store, "bench").mode is Mode.EMERGENCY_ROLLBACK
    assert flags.values(site.store, "bench") == {"new": False}


def test_rollback_goes_on_after_a_failed_step_and_calls_a_person(begin: Begin) -> None:
    """Restore fails: step 1 stands, the later steps run, and people are told what is theirs."""
    site = begin(levers={"stop": {"command": ["false"]}}, rollback={"restore": ["stop"]},
                 notify=[{"webhook": f"http://127.0.0.1:{free_port()}/"}])
    moved(site)
    run = site.carry_out("rollback", reason="wrong totals")
    assert run.state_name == "NeedsPerson"
    record = rollbacks.latest(site.store, "bench")
    done = steps.all_of(site.store, "bench", of_rollback(record.id))
    assert {step.number: step.status for step in done} == {
        1: "done", 2: "done", 3: "failed", 4: "done", 5: "done"}
    assert any("lever stop failed" in each for each in record.analysis["a_person_must"])
    assert routing.read(site.store, "bench").mode is Mode.EMERGENCY_ROLLBACK
    assert {m.severity for m in messages.newest(site.store, "bench")} == {"critical"}


def test_stage_that_lost_users_soaks_again_with_all_of_them_when_promoted(begin: Begin) -> None:
    """A partial rollback while people are asked: their promotion gives the share back first."""
    site = begin(is_measured=False, phases=[{"phase": "gradual", "stages": [
        {"percent": 10, "soak": "0s"},
        {"percent": 50, "soak": "0s", "approval": {"approvers": 1}}]}, FULL[-1]])
    seen = []

    def reduce_first() -> str:
        site.carry_out("rollback", reason="slow", scope="stage")
        seen.append(routing.read(site.store, "bench").weight)
        return "promote"

    def look() -> str:
        seen.append(routing.read(site.store, "bench").weight)
        return "promote"

    run = site.carry_out("cutover", decisions=[reduce_first, look])
    assert run.state_name == "Promoted", run
    assert seen == [1_000, 5_000]
    stages = cutovers.stages(site.store, cutovers.latest(site.store, "bench").id)
    assert [stage.round for stage in stages] == [1, 2, 1]


def test_phase_alone_that_is_killed_before_users_come_again_moves_them_first(begin: Begin) -> None:
    """Its next soak is of all of them: it is judged after they came, not before."""
    site = begin(is_measured=False, phases=[{"phase": "gradual", "stages": [
        {"percent": 10, "soak": "0s"},
        {"percent": 50, "soak": "0s", "approval": {"approvers": 1}}]}, FULL[-1]])

    def reduce_first() -> str:
        site.carry_out("rollback", reason="slow", scope="stage")
        return "promote"

    run_id = site.start("gradual")
    (site.home.root / f"fired-{run_id}").write_text("only before give back share\n")
    run = site.carry_on("gradual", run_id, kills=True, decisions=[reduce_first])
    assert run.state_name == "Promoted", run
    assert site.killed[-1] == "before give back share gradual-50 1"
    ended = cutovers.latest(site.store, "bench")
    came = steps.one(site.store, "bench", of_cutover(ended.id), again_step("gradual-50", 1))
    judged = [each.at for each in verdicts.all_of(site.store, ended.id, "gradual-50")
              if each.round == 2]
    assert came is not None and judged and min(judged) >= came.ended_at


def test_stage_back_is_one_stage_back_however_often_it_is_tried(begin: Begin) -> None:
    """Killed after each step, also between the change and its record: 50 % become 25 %, not 10."""
    site = begin(is_measured=False, phases=[{"phase": "gradual", "stages": [
        {"percent": share, "soak": 0} for share in (10, 25, 50)]}])
    moved(site)
    run_id = site.start("rollback", reason="slow", scope="stage")
    fired = site.home.root / "fired-by-hand"
    fired.touch()
    while (run := site.attempt("rollback", run_id, fired)).state_type not in ENDED:
        site.api.schedule(run_id, at=clock.now(), name="Recovering", message="after a kill")
    assert run.state_name == "Reduced"
    assert any("change" in point for point in fired.read_text().splitlines())
    assert routing.read(site.store, "bench").weight == 2_500


def approve(site: SopSite, who: str) -> subprocess.Popen[str]:
    """Begin `changeover approve` for a site."""
    return subprocess.Popen(
        [sys.executable, "-m", "changeover.cli", "approve", "promote", "--approver", who,
         "--home", str(site.home.root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_retirement_is_agreed_to_on_the_terminal(begin: Begin) -> None:
    """`changeover approve` finds the run that waits, though the cutover has ended long ago.

    Who comes second is told that somebody was faster.
    """
    site = begin(phases=[*FULL, {"phase": "deprecation", "after": "1s", "levers": ["off"],
                                 "approval": {"approvers": 1}}])
    site.home.save_settings({"migration": "bench", "api_url": site.server.url})
    assert site.carry_out("cutover").state_name == "Promoted"
    run_id = site.start("deprecation")
    while (run := site.attempt("deprecation", run_id)).state_type != "PAUSED":
        assert run.state_type not in ENDED
    with approve(site, "bob") as command:
        wait_for(lambda: site.api.run(run_id).state_type != "PAUSED", what="the answer")
        with approve(site, "eve") as second:
            _, told = second.communicate(timeout=120)
        assert second.returncode == ApprovalRefused.exit_code
        assert "this was answered already; the flow is resuming" in told
        assert site.carry_on("deprecation", run_id).state_name == "Retired"
        told, _ = command.communicate(timeout=120)
    assert (command.returncode, told.strip()) == (0, "bob decided promote on stage retire")
    assert site.bench.ran("candidate")["levers"] == ["off"]
    assert site.home.gateway_files.retired.exists()  # `rollback.sh` knows


def test_suite_that_breaks_is_one_that_failed(server: PrefectServer, tmp_path: Path) -> None:
    """Verification, end and messages follow all the same."""
    home = Home(tmp_path)
    store = ready_store(home.store_url)
    plan = make_plan(suites={"post_rollback": HEALTHY}, rollback={"verify": "post_rollback"})
    plan.suites.clear()
    with temporary_settings({PREFECT_API_URL: server.url}), closing(store):
        found = asyncio.run(run_verification(Site(home, plan, store), 1))
    assert found is not None
    assert found.verdict is SuiteVerdict.FAIL


def test_retirement_without_a_promotion_is_refused(begin: Begin) -> None:
    """The run says why; the levers stay where they are."""
    site = begin(is_measured=False, phases=[*FULL, {
        "phase": "deprecation", "after": "1s", "levers": ["off"]}])
    assert site.carry_out("deprecation").state_name == "Refused"
    assert site.bench.ran("candidate")["levers"] == []


def test_preparing_prefect_names_what_could_not_be_made(
    server: PrefectServer, tmp_path: Path
) -> None:
    """The last line is what `changeover up` shows: which part failed, and why."""
    home = Home(tmp_path)
    home.create()
    ready_store(home.store_url).close()
    done = subprocess.run(
        [sys.executable, "-m", "blocks.prepare", "--home", str(home.root), "--migration", "nobody",
         "--pool", "changeover", "--own-server"],
        cwd=ROOT, env={**os.environ, "PREFECT_API_URL": server.url}, capture_output=True,
        text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("the blocks could not be made: ")
    assert "nobody" in done.stdout.splitlines()[-1]
