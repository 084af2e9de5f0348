"""A gateway node on another machine: it shares nothing but the database."""

from __future__ import annotations

from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import ProgrammingError

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.gateway_nodes import NodeState
from changeover.domain.routing import Change, Mode
from changeover.domain.slices import SlowBound
from changeover.errors import Replaced
from changeover.plan.model import Plan
from changeover.site import rights
from changeover.site.bucket_sums import opened
from changeover.store import gateway_nodes, plans, publications, routing, slices
from changeover.store.gateway_nodes import Identity
from tests.integration.conftest import make_plan
from tests.integration.node.conftest import Begin, Fleet, Node
from tests.store.conftest import admin
from tests.support.processes import LONGEST_PAUSE, wait_for

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


def test_a_node_that_a_copy_of_its_home_replaced_ends_with_a_code_of_its_own(
    fleet: Fleet,
) -> None:
    """Whoever starts nodes again can tell it: started, it would end the other, and so on."""
    edge, = fleet.start("edge-1")
    copied = str(edge.home.secrets()["node"])
    gateway_nodes.join(fleet.store, Identity("bench", "edge-1", copied, ""))
    assert edge.process is not None
    assert edge.process.wait(LONGEST_PAUSE) == Replaced.exit_code
    assert "another machine's node is called edge-1 now" in edge.log


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


def restrict(fleet: Fleet) -> None:
    """Have nodes use a role with the printed rights."""
    role = f"node_{fleet.store.engine.url.database}"
    with admin(fleet.url) as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD '…'"))
        for statement in rights.grants("node", role):
            connection.execute(text(statement))
    fleet.url = make_url(fleet.url).set(
        username=role, password="…").render_as_string(hide_password=False)


def test_the_printed_rights_are_enough_for_a_node(fleet: Fleet) -> None:
    """It serves, confirms, measures, is killed and begins again; nothing else is its to read."""
    restrict(fleet)
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


def change_rights(fleet: Fleet, statement: str) -> None:
    """Give the nodes' role a right, or take it away."""
    with admin(fleet.url) as connection:
        connection.execute(text(statement.format(f"node_{fleet.store.engine.url.database}")))


def pilots(fleet: Fleet, folder: Path, *names: str) -> Plan:
    """Return the plan with a segment of users whose names stand in a file."""
    (folder / "pilots.txt").write_text("".join(f"{name}\n" for name in names))
    listed = make_plan(folder=folder, routing={
        "listen": fleet.plan.routing.listen,
        "segments": {"pilots": {"header": "x-user-id", "file": "pilots.txt"}}})
    return fleet.plan.model_copy(update={"routing": listed.routing})


def test_a_list_of_users_is_a_nodes_to_read(fleet: Fleet, tmp_path: Path) -> None:
    """With the printed rights; without them it goes on with the plan of before, and says so."""
    main, listed = fleet.url, pilots(fleet, tmp_path, "ann")
    plans.register(fleet.store, listed, source="test", now=clock.now())
    restrict(fleet)
    edge, = fleet.start("edge-1")
    fleet.url = main
    change = Change(mode=Mode.GRADUAL, weight=0, segments=("pilots",), is_by_person=True)
    # by the store alone: the main machine's Envoy has no such list
    routing.change(fleet.store, "bench", change, Author("test", "test"), now=clock.now())
    wait_for(lambda: served_by(edge, "ann") == "candidate", what="ann has moved")
    assert edge.ask(5) == {"baseline": 5}
    change_rights(fleet, "REVOKE SELECT ON user_list FROM {}")
    amended = pilots(fleet, tmp_path, "ann", "bo")
    plans.register(fleet.store, amended, source="test", now=clock.now())
    wait_for(lambda: (row := edge.row()) and "permission denied" in row.problem,
             what="it says that it cannot read the plan")
    assert served_by(edge, "ann") == "candidate" and edge.ready().status_code == 200
    change_rights(fleet, "GRANT SELECT ON user_list TO {}")
    wait_for(lambda: edge.log.count("listens on") == 2, what="it has the plan")
    wait_for(lambda: (row := edge.row()) and "permission denied" not in row.problem,
             what="it says so no more")


def served_by(edge: Node, user: str) -> str:
    answer = httpx.get(edge.url, headers={"x-user-id": user}, timeout=LONGEST_PAUSE)
    return str(answer.json()["served_by"])


LATENCY = {"slo": [{"metric": "latency_p95", "ratio_to_baseline": 1.5}]}
STAGED = [{"phase": "gradual", "gates": ["slo"], "stages": [{"percent": 50, "soak": "1h"}]}]


def timed(fleet: Fleet, bound: SlowBound, weight: int) -> int:
    """Return how many of edge-1's requests are timed by a bound, under a split."""
    found = slices.between(fleet.store, "bench", weight=weight, start=0, end=1 << 40)
    return sum(int(opened(each).counts("", bound.of).requests.sum())
               for each in found if each.gateway == "edge-1")


def test_a_node_that_joined_before_it_was_known_what_is_slow_learns_it(begin: Begin) -> None:
    """With the printed rights, and after users were moved: latency gates see its users."""
    fleet = begin(gates=LATENCY, phases=STAGED)
    restrict(fleet)
    edge, = fleet.start("edge-1")
    edge.wait_measured(sum(edge.ask(5).values()))
    wait_for(lambda: slices.between(fleet.store, "bench", weight=0, start=0, end=1 << 40),
             what="sums by bucket while nothing is known")
    # what the main machine's observer freezes
    bound = SlowBound("latency_p95 ratio_to_baseline 1.5", 50_000, 75_000)
    fleet.move(Mode.GRADUAL, 5000)
    slices.freeze(fleet.store, "bench", [bound], now=clock.now())

    def is_timed() -> bool:
        edge.ask(10)
        return timed(fleet, bound, 5000) > 0

    wait_for(is_timed, seconds=30, what="timed requests")
    assert "outcome_sum" not in edge.log
