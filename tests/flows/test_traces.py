"""A real rollback on a real site: one trace whoever is killed, and every decision in Prefect."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from changeover.domain.decisions import event_id, name_of
from changeover.plan.decisions import KINDS, NOT_TOLD
from changeover.store import audit, rollbacks
from tests.support.collector import Collector, attributes, collector
from tests.support.processes import LONGEST_PAUSE, wait_for
from tests.support.site import Site, site

pytestmark = pytest.mark.integration
PHASES = """\
gates: {}
phases:
  - {phase: beta, percent: 50, soak: 1s, approval: {approvers: 1}}
  - {phase: full, soak: 1s}
rollback: {restore: [note]}
levers: {note: {command: [sleep, "3"]}}
"""
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STEPS = ("1 safe flags and routes", "2 clean up", "3 restore", "4 analysis", "5 verify",
         "close rollback")


def fault(site_: Site, kind: str) -> None:
    """Have the candidate misbehave."""
    url = site_.home.settings()["plan"]
    text = Path(url).read_text()
    address = text.partition("name: new")[2].partition("url: ")[2].split()[0]
    httpx.post(f"{address}/fault?kind={kind}", timeout=LONGEST_PAUSE).raise_for_status()


def kill_while_restoring(site_: Site) -> None:
    """Kill the flow's process between the steps of its rollback."""
    def restoring() -> list[psutil.Process]:
        found = []
        for process in site_.flow_processes():
            with contextlib.suppress(psutil.Error):
                children = process.children(recursive=True)
                if any("sleep" in " ".join(child.cmdline()) for child in children):
                    found.append(process)
        return found

    (process,) = wait_for(restoring, seconds=120, what="the lever is pulled")  # type: ignore[misc]
    process.kill()


@dataclass
class Story:
    """What was sent and told of one rollback on a site that runs."""

    server: Collector
    site: Site
    epoch: int


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A candidate that fails, a rollback by the observer, and its flow killed in between."""
    with collector() as server, pytest.MonkeyPatch.context() as patched:
        for name, value in server.environment.items():
            patched.setenv(name, value)
        with site(tmp_path_factory.mktemp("site"), PHASES, is_fresh=True) as running:
            run_id = running.start()
            running.wait_waiting(run_id, "beta-50")
            console = running.home.settings()["console_url"]
            httpx.get(f"{console}/health", headers={"traceparent": PARENT}, timeout=LONGEST_PAUSE)
            fault(running, "503")
            wait_for(lambda: server.named("rollback"), seconds=60, what="the rollback")
            kill_while_restoring(running)
            running.wait_ended(run_id, seconds=200)
            wait_for(lambda: server.named("close rollback"), seconds=60)
            (rollback,) = rollbacks.all_of(running.store, "site")
            yield Story(server, running, rollback.epoch)


def test_a_rollback_is_one_trace_over_processes_and_kills(story: Story) -> None:
    """Observer, gateway and flow; one root, and each step of the SOP within its trace."""
    server = story.server
    (root,) = server.named("rollback")
    assert attributes(root)["changeover.epoch"] == str(story.epoch)
    # the flow finds it done, and makes sure
    moved, *_again = server.named("move everyone to the baseline")
    assert moved.parent_span_id == root.span_id
    assert moved.span_id in {span.parent_span_id for span in server.named("publish")}
    for name in STEPS:
        assert {span.trace_id for span in server.named(name)} == {root.trace_id}, name
    assert server.services(root.trace_id) >= {"changeover-observer", "changeover-flow"}


def test_a_stage_is_a_trace_of_its_own_linked_with_its_cutover(story: Story) -> None:
    """No backend keeps a trace of weeks open."""
    server = story.server
    (stage,), (whole,) = server.named("stage beta-50"), server.named("cutover")
    (root,) = server.named("rollback")
    assert whole.span_id in {link.span_id for link in stage.links}
    assert {span.trace_id for span in server.named("move traffic")} == {stage.trace_id}
    assert len({stage.trace_id, whole.trace_id, root.trace_id}) == 3


def test_a_request_to_the_console_goes_on_with_its_callers_trace(story: Story) -> None:
    """By its `traceparent`; the route stands as declared."""
    own = bytes.fromhex(PARENT.split("-")[1])
    # the supervisor asks, too, and has no trace
    (asked,) = [each for each in story.server.named("GET /health") if each.trace_id == own]
    assert attributes(asked)["http.response.status_code"] == "200"
    assert story.server.services(asked.trace_id) == {"changeover-console"}


def test_prefect_has_every_decision_once_with_the_facts_of_the_page(story: Story) -> None:
    """docs/events.md is what a real cutover says, and nothing is missing from the feed."""
    told = []
    for event in audit.events(story.site.store, "site"):
        assert event.kind in KINDS or event.kind in NOT_TOLD, event.kind
        if event.kind in KINDS:
            told.append(event)
            assert set(event.data) <= set(KINDS[event.kind].facts.split()), event
    wanted = [(str(event_id(event)), name_of(event)) for event in told]

    def feed() -> list[tuple[str, str]]:
        answer = httpx.post(f"{story.site.api.url}/events/filter", timeout=LONGEST_PAUSE, json={
            "limit": 50, "filter": {
                "event": {"prefix": ["changeover."]}, "order": "ASC",
                "resource": {"id": ["changeover.migration.site"]}}})
        return [(each["id"], each["event"]) for each in answer.raise_for_status().json()["events"]]

    assert 15 < len(wanted) < 50
    wait_for(lambda: len(feed()) >= len(wanted), what="all of them are in the feed")
    assert sorted(feed()) == sorted(wanted)


def test_the_command_says_that_automations_are_off(story: Story) -> None:
    """It shows them all the same: they may be meant for another server."""
    said = story.site.changeover("automations", "--roll-back-on", "acme.alert")
    assert "note: automations are off in this Prefect server" in said
    assert "type: run-deployment" in said
