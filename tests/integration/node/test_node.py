"""A gateway node on another machine: it shares nothing but the database."""

from __future__ import annotations

import re

import httpx
import psutil
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import ProgrammingError

from changeover.domain.gateway_nodes import NodeState
from changeover.domain.routing import Mode
from changeover.store import publications
from tests.integration.node.conftest import Fleet
from tests.store.conftest import admin
from tests.support.processes import LONGEST_PAUSE, ROOT, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.postgres]


def test_a_node_serves_what_the_store_says_and_says_so(fleet: Fleet) -> None:
    """A new state is served by it when `move` returns, and confirmed by its name."""
    edge, = fleet.start("edge-1")
    assert edge.ask(20) == {"baseline": 20}
    state = fleet.move(Mode.GRADUAL, 5000)
    row = edge.row()
    assert row is not None and row.order == state.order and row.state is NodeState.READY
    assert set(edge.ask(40)) == {"baseline", "candidate"}
    newest = publications.latest(fleet.store, "bench")
    assert newest is not None and newest.is_confirmed
    assert newest.nodes == "1 of 1 nodes confirmed"
    assert fleet.move(Mode.EMERGENCY_ROLLBACK).epoch == 1
    assert edge.ask(20) == {"baseline": 20}


def test_what_a_node_measures_is_in_the_store_once_also_after_kills(fleet: Fleet) -> None:
    """By its name, beside the main gateway's own."""
    edge, = fleet.start("edge-1")
    fleet.move(Mode.GRADUAL, 5000)
    sent = sum(edge.ask(60).values())
    edge.wait_measured(sent)
    envoy = edge.envoy_pid
    for _ in range(2):
        sent += sum(edge.ask(30).values())
        edge.kill()
        # Envoy serves on while nobody measures
        sent += sum(edge.ask(30).values())
        edge.start()
        edge.wait_ready()
        assert edge.envoy_pid == envoy
        sent += sum(edge.ask(10).values())
        edge.wait_measured(sent)
    assert edge.measured() == sent


def test_a_node_that_is_asked_to_end_drains_and_says_that_it_has_gone(fleet: Fleet) -> None:
    """Not ready at once, serving still; what was measured is in the store."""
    edge, = fleet.start("edge-1")
    sent = sum(edge.ask(10).values())
    process = edge.process
    assert process is not None
    envoy = psutil.Process(edge.envoy_pid)
    process.terminate()
    wait_for(lambda: edge.ready().status_code == 503, what="not ready")
    sent += sum(edge.ask(5).values())
    assert process.wait(LONGEST_PAUSE) == 0
    assert not envoy.is_running()
    row = edge.row()
    assert row is not None and row.state is NodeState.GONE
    assert edge.measured() == sent
    # nobody waits for it, nobody names it
    fleet.move(Mode.GRADUAL, 5000)
    newest = publications.latest(fleet.store, "bench")
    assert newest is not None and newest.nodes == ""


def test_a_node_is_ready_only_with_the_newest_version(fleet: Fleet) -> None:
    """Before its first routes a load balancer is told to wait."""
    fleet.move(Mode.GRADUAL, 2500)
    edge = fleet.node("edge-1")
    edge.start()
    seen = []

    def is_ready() -> bool:
        try:
            answer = edge.ready()
        except httpx.HTTPError:
            return False
        seen.append((answer.status_code, answer.json()["version"]))
        return answer.status_code == 200

    wait_for(is_ready, seconds=30, what="ready")
    assert seen[-1] == (200, fleet.state().version)
    assert all(version is None or status == 200 for status, version in seen[:-1])


def test_the_rights_that_the_docs_give_a_node_are_enough(fleet: Fleet) -> None:
    """It serves, confirms, measures, is killed and begins again; nothing else is its to read."""
    page = (ROOT / "docs" / "fleet.md").read_text()
    found = re.search(r"```sql\n(.*?)```", page, re.S)
    assert found is not None
    role = f"node_{fleet.store.engine.url.database}"
    with admin(fleet.url) as connection:
        for statement in found[1].replace("changeover_node", role).split(";"):
            if statement.strip():
                connection.execute(text(statement))
    fleet.url = make_url(fleet.url).set(
        username=role, password="…").render_as_string(hide_password=False)
    edge, = fleet.start("edge-1")
    fleet.move(Mode.GRADUAL, 5000)
    sent = sum(edge.ask(30).values())
    fleet.bench.fault("503")
    sent += sum(edge.ask(10).values())  # the baseline answers; users' first errors are noted
    edge.wait_measured(sent)
    edge.kill()
    edge.start()
    edge.wait_ready()
    sent += sum(edge.ask(10).values())
    edge.wait_measured(sent)
    assert edge.measured() == sent
    assert "permission denied" not in edge.log
    with admin(fleet.url) as connection, pytest.raises(
            ProgrammingError, match="permission denied"):
        connection.execute(text("SELECT * FROM approver_token"))
