"""Gateways that run on with the listener of an earlier plan: no cutover begins with them."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from changeover import clock
from changeover.checks.health.checks import checks_of
from changeover.domain.gateway_nodes import OUTDATED
from changeover.domain.health import Status
from changeover.domain.routing import Mode
from changeover.errors import Refused
from changeover.node.own_plan import of_node
from changeover.plan import user_files, user_lists
from changeover.plan.model import Plan
from changeover.procedures import preconditions
from changeover.procedures.steps import CutoverRun
from changeover.store import cutovers, plans, publications
from tests.integration.node.conftest import Fleet, Node
from tests.support.processes import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.postgres]


def register_with_list(fleet: Fleet, folder: Path, *users: str) -> Plan:
    """Register the plan with another list of users, as `up` does between two cutovers."""
    (folder / "pilots.txt").write_text("".join(f"{user}\n" for user in users))
    document = fleet.plan.model_dump(mode="json", by_alias=True, exclude_none=True)
    document["routing"]["segments"] = {"pilots": {"header": "x-user-id", "file": "pilots.txt"}}
    document, lists, _ = user_files.with_lists(document, folder)
    plan = Plan.model_validate(document, context=user_lists.as_context(lists))
    plans.register(fleet.store, plan, source="test", now=clock.now())
    fleet.bench.plan = plan
    fleet.bench.gateway.prepare(plan, fleet.state())
    return plan


def start_again(node: Node) -> None:
    """Start a node again that has ended; nobody waits until its sign of life is in the store."""
    node.start()
    node.wait_ready()


def end(node: Node) -> None:
    assert node.process is not None
    node.process.terminate()
    assert node.process.wait(60) == 0


def problem(node: Node) -> str:
    """Return what a node says is not as it should be."""
    row = node.row()
    return "it is not in the store" if row is None else row.problem


def test_no_cutover_begins_with_a_gateway_of_an_earlier_plan(
    fleet: Fleet, tmp_path: Path
) -> None:
    """Neither the main one nor a node; each is named with what helps, and it does help."""
    edge, = fleet.start("edge-1")
    assert problem(edge) == ""
    register_with_list(fleet, tmp_path, "ann")
    wait_for(lambda: problem(edge) == OUTDATED, what="the node says so")
    cutover = cutovers.begin(
        fleet.store, "bench", flow_run_id="one", now=clock.now())
    with pytest.raises(Refused) as refused:
        preconditions.check(CutoverRun(fleet.site, cutover, "one"), None)
    told = str(refused.value)
    assert "the gateway runs with the listener of an earlier plan: end `changeover up`" in told
    assert "gateway node edge-1 runs with the listener of an earlier plan: end `chang" in told
    health = checks_of(fleet.site)
    assert health["gateway"]().status is Status.WARNING
    assert OUTDATED in health["gateway nodes"]().detail
    # it serves what is decided, and people read what it cannot do
    fleet.move(Mode.GRADUAL, 5000)
    newest = publications.latest(fleet.store, "bench")
    assert newest is not None and f"edge-1 serves version 2 (epoch 0): {OUTDATED}" in newest.nodes
    end(edge)
    start_again(edge)
    wait_for(lambda: problem(edge) == "", what="it has the plan's listener")


def test_a_node_starts_with_the_plan_that_came_while_it_was_down(
    fleet: Fleet, tmp_path: Path
) -> None:
    """Its files are of before, and the store answers: Envoy does not start with them first."""
    edge, = fleet.start("edge-1")
    end(edge)
    plan = register_with_list(fleet, tmp_path, "ann")
    start_again(edge)
    assert not edge.gateway.is_outdated(of_node(plan, f"127.0.0.1:{edge.port}"))
    # an Envoy that died is started with what is there now
    register_with_list(fleet, tmp_path, "bob")
    wait_for(lambda: problem(edge) == OUTDATED, what="the node says so")
    psutil.Process(edge.envoy_pid).kill()
    wait_for(lambda: problem(edge) == "", what="it has the plan's listener")
