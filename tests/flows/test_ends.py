"""Runs that people cancel or delete in Prefect while they wait: told, continued, ended."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from changeover import clock
from changeover.domain.rollout import CutoverStatus
from changeover.domain.routing import Mode
from changeover.store import approvals, audit, carriers, cutovers, messages, routing
from tests.integration.conftest import make_plan
from tests.support import commands
from tests.support.processes import running, wait_for
from tests.support.sop_site import ENDED, PrefectServer, SopSite, sop_site

pytestmark = [pytest.mark.integration]

ASKING = [
    {"phase": "gradual", "stages": [{"percent": 10, "soak": 0, "approval": {"approvers": 1}}]},
    {"phase": "full", "soak": "0s"},
    {"phase": "deprecation", "after": "1s", "levers": [], "approval": {"approvers": 1}},
]

Begin = Callable[..., SopSite]


@pytest.fixture
def begin(server: PrefectServer, tmp_path: Path) -> Iterator[Begin]:
    """Return a function that starts a site whose first stage asks people."""
    with ExitStack() as stack:
        def start(**more: Any) -> SopSite:
            plan = make_plan(health_timeout="60s", phases=ASKING)
            site = stack.enter_context(sop_site(server, plan, tmp_path, **more))
            site.home.save_settings({"migration": "bench", "api_url": server.url})
            return site
        yield start


def waiting(site: SopSite, flow: str = "cutover") -> str:
    """Carry a new run to where it asks people, and return its id."""
    run_id = site.start(flow)
    while (run := site.attempt(flow, run_id)).state_type != "PAUSED":
        assert run.state_type not in ENDED
    return run_id


def changeover(site: SopSite, *arguments: str, code: int = 0) -> str:
    """Run a command and return what it says."""
    return commands.changeover(site.home.root, *arguments, code=code)


def cancel(site: SopSite, run_id: str) -> None:
    """Cancel a waiting run as the page's button does."""
    answer = httpx.post(f"{site.server.url}/flow_runs/{run_id}/set_state", timeout=60, json={
        "state": {"type": "CANCELLING", "name": "Cancelling"}}).raise_for_status().json()
    run = site.api.run(run_id)
    if run is None or run.state_type != "CANCELLED":
        assert answer["status"] in ("ACCEPT", "REJECT")
        site.api.cancel(run_id, message="by ann")


@contextmanager
def observed(site: SopSite) -> Iterator[None]:
    """Have the observer watch the site's runs."""
    command = [sys.executable, "-m", "changeover.observer", "--home", str(site.home.root),
               "--migration", "bench", "--api-url", site.server.url]
    with running(command, site.home.logs / "observer.log"):
        yield


def ended_runs(site: SopSite) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        changeover(site, "status", "--output", "json"))["ended_runs"]
    return found


def test_cancelled_cutover_is_refused_by_name_and_continued_by_running_it_again(
    begin: Begin
) -> None:
    """The new run, killed at every point, goes on at the question; nobody moves twice."""
    site = begin(is_measured=False)
    former = waiting(site)
    cancel(site, former)
    for command in (["approve", "promote", "--approver", "alice"], ["advance"], ["enable"],
                    ["disable", "--reason", "enough"]):
        told = changeover(site, *command, code=4)
        for part in ("cancelled in Prefect", "gradual 10 %", "`changeover continue`",
                     "`changeover end"):
            assert part in told
    other = site.carry_out("gradual")
    assert other.state_name == "Refused"
    assert site.carry_out("cutover", kills=True).state_name == "Promoted"
    (cutover,) = cutovers.all_of(site.store, "bench")
    kinds = [event.kind for event in audit.events(site.store, "bench")]
    assert (kinds.count("cutover.continued"), kinds.count("cutover.started")) == (1, 1)
    assert kinds.count("stage.entered") == 2
    assert len(approvals.all_of(site.store, cutover.id)) == 1
    site.api.schedule(former, at=clock.now(), name="Retry", message="in the page")
    assert site.attempt("cutover", former).state_name == "Refused"
    assert routing.read(site.store, "bench").mode is Mode.CANDIDATE_ONLY


def test_person_is_told_and_continues_or_ends_what_was_cancelled_or_deleted(begin: Begin) -> None:
    """With the observer: status, message, `changeover continue`, and `changeover end` at last."""
    site = begin(is_measured=False)
    run = waiting(site)
    with observed(site):
        cancel(site, run)
        (told,) = wait_for(lambda: ended_runs(site), what="the cancellation is noted")
        assert told["end"] == "cancelled"
        text = changeover(site, "status")
        assert "NOBODY CARRIES ON cutover 1: Since" in text
        assert "waits for approval" not in text
        assert "continues cutover 1" in changeover(site, "continue")
        assert ended_runs(site) == []
        assert "no run has ended before its work was done" in changeover(site, "continue", code=4)
        second = str(cutovers.get(site.store, 1).flow_run_id)
        while site.attempt("cutover", second).state_type != "PAUSED":
            continue
        httpx.delete(f"{site.server.url}/flow_runs/{second}", timeout=60).raise_for_status()
        (told,) = wait_for(lambda: ended_runs(site), what="the deletion is noted")
        assert told["end"] == "unknown"
        assert "Prefect knows its flow run no more" in changeover(
            site, "approve", "promote", "--approver", "alice", code=4)
        changeover(site, "end", "--reason", "we go on by hand")
        assert cutovers.get(site.store, 1).status is CutoverStatus.STOPPED
        assert routing.read(site.store, "bench").weight == 1_000
        changeover(site, "advance", "--percent", "25")
        changeover(site, "rollback", "--reason", "enough")
    titles = [message.title for message in messages.newest(site.store, "bench")]
    assert titles.count("nobody carries on cutover 1 of bench") == 2


def test_cancelled_retirement_is_refused_by_name_and_continued(begin: Begin) -> None:
    """The question stays open for the next run; its answer retires the baseline."""
    site = begin()
    assert site.carry_out("cutover").state_name == "Promoted"
    cancel(site, waiting(site, "deprecation"))
    told = changeover(site, "approve", "promote", "--approver", "alice", code=4)
    assert "nobody carries on retirement 1" in told
    changeover(site, "continue")
    (carrier,) = carriers.of(site.store, "bench")
    ended = site.carry_on("deprecation", carrier.flow_run_id)
    assert ended.state_name == "Retired"
    assert carriers.of(site.store, "bench") == []
