"""Nodes that compare what they copy: nothing is shared but the database, and the sums are one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import psutil
import pytest

from changeover import clock
from changeover.analysis.window import SHADOW
from changeover.checks.health.checks import checks_of
from changeover.domain.audit import Author
from changeover.domain.health import Status
from changeover.domain.routing import Change, Mode
from changeover.plan.model import Plan
from changeover.procedures import traffic
from changeover.store import comparisons, divergences, heartbeats, plans, samples
from tests.integration.node.conftest import Begin, Fleet, Node
from tests.support.processes import wait_for
from tests.support.roles import granted

pytestmark = [pytest.mark.integration, pytest.mark.postgres]

PARTS = {
    "shadow": {"sample": 100, "noise": 0, "max_load": 1, "timeout": "60s",
               "mask": ["$.headers.cookie"]},
    "comparison": {"ignore": ["$.headers.host", "$.headers.x-changeover-shadow"], "headers": []},
}


def copied(fleet: Fleet) -> None:
    """Have every request copied, by every gateway that compares."""
    change = Change(mode=Mode.SHADOW, shadow_sample=10_000, is_by_person=True)
    traffic.move(fleet.site, change, Author("test", "test"))


def compared_at(fleet: Fleet) -> dict[str, int]:
    """Return how many comparisons the seconds of each gateway have."""
    span = range(0, int(clock.now().timestamp()) + 60)
    with fleet.store.read() as session:
        rows = samples.read_rows(session, "bench", SHADOW, 1, span=span)
    found: dict[str, int] = {}
    for row in rows:
        found[row.gateway] = found.get(row.gateway, 0) + row.compared
    return found


def asked_until(node: Node, is_done: Callable[[], bool], what: str) -> None:
    """Ask until something is known: what a late service misses is missed."""

    def try_again() -> bool:
        assert set(node.ask(3)) == {"baseline"}
        return is_done()

    wait_for(try_again, seconds=60, what=what)


def test_two_nodes_compare_what_each_carries(begin: Begin) -> None:
    """Each counts under its own name; examples, coverage and what gates read are of both."""
    fleet = begin(**PARTS)
    one, two = fleet.node("edge-1", "--shadow"), fleet.node("edge-2", "--shadow")
    for node in (one, two):
        node.start()
    for node in (one, two):
        node.wait_ready()
    copied(fleet)
    for node in (one, two):
        asked_until(node, lambda name=node.name: compared_at(fleet).get(name, 0) >= 5,
                    f"comparisons of {node.name}")

    def is_settled() -> bool:
        coverage = comparisons.coverage(fleet.store, "bench")
        known = sum(number for name, number in coverage.items()
                    if name == "compared" or name.startswith("dropped"))
        summed = sum(compared_at(fleet).values())
        return known == coverage["seen"] and summed == coverage["compared"]

    wait_for(is_settled, seconds=60, what="an outcome of each copy")
    assert set(compared_at(fleet)) == {"edge-1", "edge-2"}
    coverage = comparisons.coverage(fleet.store, "bench")
    place = next(each for each in divergences.places(fleet.store, "bench")
                 if each.field == "$.served_by")
    assert (place.diverged, len(place.examples)) == (coverage["compared"], 3)
    soon = clock.now() + timedelta(seconds=1)
    window = samples.window(fleet.store, "bench", "candidate",
                            start=soon - timedelta(hours=1), end=soon)
    assert window.compared == coverage["compared"]

    def services() -> set[str]:
        return {beat.service for beat in heartbeats.of(fleet.store, "bench")}

    wait_for(lambda: {"shadow edge-1", "shadow edge-2"} <= services(), what="both services' beats")


def test_a_service_of_a_node_that_is_killed_is_started_again(begin: Begin) -> None:
    """Users and the other sums notice nothing; the node's agent starts it."""
    fleet = begin(**PARTS)
    edge = fleet.node("edge-1", "--shadow")
    edge.start()
    edge.wait_ready()
    copied(fleet)
    asked_until(edge, lambda: compared_at(fleet).get("edge-1", 0) > 0, "a comparison")
    first = edge.home.process("shadow")
    assert first is not None
    for each in [psutil.Process(first["pid"]), *psutil.Process(first["pid"]).children()]:
        each.kill()

    def is_new() -> bool:
        entry = edge.home.process("shadow")
        return entry is not None and entry["pid"] != first["pid"]

    wait_for(is_new, what="another one")
    before = compared_at(fleet)["edge-1"]
    asked_until(edge, lambda: compared_at(fleet)["edge-1"] > before, "a comparison after it")


def test_a_node_takes_no_copies_unless_it_is_asked_to(begin: Begin) -> None:
    """Copies come from the machine of `changeover up` alone, as before."""
    fleet = begin(**PARTS)
    edge, = fleet.start("edge-1")
    copied(fleet)
    assert edge.ask(20) == {"baseline": 20}
    assert edge.home.process("shadow") is None
    assert not comparisons.coverage(fleet.store, "bench")


def test_a_service_of_a_node_that_is_silent_is_told(begin: Begin) -> None:
    """What the main machine compares is well; people see where nothing is compared."""
    fleet = begin(**PARTS)
    fleet.start("edge-1")
    now = clock.now()
    own = heartbeats.service_of("bench", "shadow")
    heartbeats.beat(fleet.store, own, pid=1, now=now)
    heartbeats.beat(fleet.store, f"{own} edge-1", pid=1, now=now - timedelta(minutes=5))
    heartbeats.beat(fleet.store, f"{own} edge-9", pid=1, now=now - timedelta(hours=5))
    found = checks_of(fleet.site)["shadow"]()
    assert found.status is Status.WARNING
    assert found.detail == (
        "the shadow is alive; silent or ended, so that nothing is compared there: shadow edge-1")


def services_of(node: Node) -> list[int]:
    """Return the shadow services that run with a node's home, without the forks of each."""
    found = {each.pid: each for each in psutil.process_iter(["cmdline"])
             if {"changeover.shadow", str(node.home.root)} <= set(each.info["cmdline"] or ())}
    return [pid for pid, each in found.items() if each.ppid() not in found]


def test_a_node_that_may_not_save_comparisons_takes_no_copies(begin: Begin) -> None:
    """The role `node` may not write them: the node, its row and the health check say so."""
    fleet = begin(**PARTS)
    fleet.url = fleet.stack.enter_context(granted(fleet.url))["node"]
    edge = fleet.node("edge-1", "--shadow")
    edge.start()
    edge.wait_ready()
    copied(fleet)

    def is_told() -> bool:
        assert edge.ask(1) == {"baseline": 1}
        row = edge.row()
        return row is not None and row.compares_nothing

    wait_for(is_told, seconds=60, what="its problem")
    row = edge.row()
    assert row is not None
    assert "may not write comparison, divergence" in row.problem
    assert "changeover store grants --role shadow" in row.problem
    assert not comparisons.coverage(fleet.store, "bench")
    heartbeats.beat(fleet.store, heartbeats.service_of("bench", "shadow"), pid=1, now=clock.now())
    found = checks_of(fleet.site)["shadow"]()
    assert found.status is Status.WARNING
    assert found.detail.endswith("nothing is compared there: shadow edge-1")
    assert "nothing is compared here" in checks_of(fleet.site)["gateway nodes"]().detail


def test_a_service_that_a_plan_brought_is_taken_over_and_ends_with_the_node(begin: Begin) -> None:
    """There is one at a time, also after a kill of the agent that had just started it."""
    fleet = begin(comparison=PARTS["comparison"])
    edge = fleet.node("edge-1", "--shadow")
    edge.start()
    edge.wait_ready()
    assert edge.home.process("shadow") is None
    amended = Plan.model_validate({
        **fleet.plan.model_dump(mode="json", by_alias=True, exclude_none=True), **PARTS})
    plans.register(fleet.store, amended, source="test", now=clock.now())
    wait_for(lambda: edge.home.process("shadow") is not None, what="it is noted")
    entry = edge.home.process("shadow")
    assert entry is not None
    own = "shadow edge-1"
    wait_for(lambda: own in {beat.service for beat in heartbeats.of(fleet.store, "bench")},
             what="its sign of life")
    edge.kill()
    settings = edge.home.settings()
    # as if it had been killed before that was noted
    edge.home.save_settings({**settings, "processes": {
        name: each for name, each in settings["processes"].items() if name != "shadow"}})
    edge.start()
    wait_for(lambda: edge.home.process("shadow") is not None, what="it is taken over")
    again = edge.home.process("shadow")
    assert again is not None
    assert (again["pid"], services_of(edge)) == (entry["pid"], [entry["pid"]])
    edge.wait_ready()
    assert edge.process is not None
    edge.process.terminate()
    edge.process.wait(60)
    assert not services_of(edge)
    assert own not in {beat.service for beat in heartbeats.of(fleet.store, "bench")}
