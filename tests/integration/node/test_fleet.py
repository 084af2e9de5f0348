"""Several nodes: one that stands still or is cut off does not hold up the others."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import psutil
import pytest

from changeover import clock
from changeover.domain.rollbacks import Cause
from changeover.domain.routing import Mode
from changeover.observer.part_return import PATIENCE_SECONDS
from changeover.plan.model import Plan
from changeover.procedures.partial_rollback import take_part_back
from changeover.site import node_status
from changeover.store import plans, publications
from tests.integration.node.conftest import Begin, Fleet, Node, link_of
from tests.support.processes import meanwhile, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.postgres]


def newest(fleet: Fleet) -> str:
    """Return what the newest publication says of the nodes."""
    found = publications.latest(fleet.store, "bench")
    assert found is not None
    return found.nodes or found.error


@contextmanager
def stopped(node: Node) -> Iterator[None]:
    """Have a node's program stand still: no sign of life, Envoy goes on."""
    assert node.process is not None
    os.kill(node.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(node.process.pid, signal.SIGCONT)


def test_a_node_that_stands_still_is_named_and_holds_up_nobody(fleet: Fleet) -> None:
    """The others serve the new state as soon as ever; it follows within 2 s of its return."""
    one, two, three = fleet.start("edge-1", "edge-2", "edge-3")
    fleet.move(Mode.GRADUAL, 1000)
    assert newest(fleet) == "3 of 3 nodes confirmed"
    with stopped(three):
        began = clock.now()
        state = fleet.move(Mode.GRADUAL, 2000)
        for node in (one, two):
            row = node.row()
            assert row is not None and row.order == state.order and row.confirmed_at is not None
            # the time in which a machine whose two cores are busy serves what it reads
            assert (row.confirmed_at - began).total_seconds() < 2
        assert newest(fleet).startswith(
            "2 of 3 nodes confirmed, edge-3 not heard of since "), newest(fleet)
        assert newest(fleet).endswith(" UTC")
        *_, line = node_status.lines(node_status.collect(fleet.store, state))
        assert line.startswith(f"gateway node edge-3 (127.0.0.1:{three.port}): ready, serves ")
        assert "which is not the newest, not heard of since" in line
        # known as silent by now: nobody waits
        moment = time.monotonic()
        state = fleet.move(Mode.EMERGENCY_ROLLBACK)
        assert time.monotonic() - moment < 1.5
    back = time.monotonic()
    wait_for(lambda: (row := three.row()) and row.order == state.order, what="it follows")
    assert time.monotonic() - back < 4  # 2 s on a quiet machine
    assert three.ask(20) == {"baseline": 20}


def test_nodes_stay_ready_while_they_publish(fleet: Fleet) -> None:
    """All of them publish in the same moment: a load balancer would have nobody left."""
    edge, = fleet.start("edge-1")
    seen: list[int] = []

    def ask(done: threading.Event) -> None:
        while not done.wait(0.005):
            seen.append(edge.ready().status_code)

    with meanwhile(ask):
        for number in count(1):
            fleet.move(Mode.GRADUAL, number * 1000 % 9000)
            # a busy machine is asked less often
            if number >= 8 and len(seen) >= 8:
                break
    assert set(seen) == {200}


def test_a_part_goes_back_alone_while_a_live_node_lags(fleet: Fleet) -> None:
    """In less than the observer waits for it: everyone would go back after that."""
    edge, = fleet.start("edge-1")
    fleet.move(Mode.GRADUAL, 5000)
    psutil.Process(edge.envoy_pid).suspend()
    began = time.monotonic()
    try:
        done = take_part_back(fleet.site, "segment:beta", Cause("test", "a bad cohort"), "once")
        took = time.monotonic() - began
    finally:
        psutil.Process(edge.envoy_pid).resume()
    assert not done.is_confirmed and "edge-1 still serves" in newest(fleet)
    assert (done.state.mode, done.state.kept) == (Mode.GRADUAL, ("beta",))
    assert took < PATIENCE_SECONDS, took
    wait_for(lambda: (row := edge.row()) and row.order == done.state.order, what="it follows")


def test_a_node_that_is_cut_off_goes_on_says_so_and_is_right_again(fleet: Fleet) -> None:
    """It serves its last routes; what it measured meanwhile is in the store afterwards, once."""
    link, fleet.url = link_of(fleet.url)
    edge, = fleet.start("edge-1")
    fleet.move(Mode.GRADUAL, 5000)
    sent = sum(edge.ask(20).values())
    edge.wait_measured(sent)
    link.is_cut = True
    wait_for(lambda: "cut off from the store" in edge.ready().text, what="it says so at /ready")
    assert edge.ready().status_code == 200
    served = edge.ask(40)
    assert set(served) == {"baseline", "candidate"}
    sent += 40
    state = fleet.move(Mode.EMERGENCY_ROLLBACK)
    assert "0 of 1 nodes confirmed, edge-1 not heard of since" in newest(fleet)
    assert edge.measured() == sent - 40
    link.is_cut = False
    back = time.monotonic()
    wait_for(lambda: (row := edge.row()) and row.order == state.order, what="it follows")
    took = time.monotonic() - back
    edge.wait_measured(sent)
    assert edge.measured() == sent
    assert edge.ask(10) == {"baseline": 10}
    assert took < 6, took  # 2 s on a quiet machine
    assert "cut off" not in edge.ready().text


def test_a_node_ends_in_order_while_the_store_hangs(fleet: Fleet) -> None:
    """Users are asked to go, and it ends: nobody waits for a database that may not come."""
    link, fleet.url = link_of(fleet.url)
    edge, = fleet.start("edge-1")
    edge.wait_measured(sum(edge.ask(5).values()))
    process, envoy = edge.process, edge.envoy_pid
    assert process is not None
    # at once: its connections stand open, and no answer comes
    link.is_cut = True
    process.terminate()
    assert process.wait(60) == 0
    assert edge.log.rstrip().endswith("gone")
    assert not psutil.pid_exists(envoy)


def test_being_cut_off_is_said_in_the_log_once(fleet: Fleet) -> None:
    """Not ten times a second."""
    link, fleet.url = link_of(fleet.url)
    edge, = fleet.start("edge-1")
    link.is_cut = True
    wait_for(lambda: "cut off" in edge.ready().text, what="cut off")
    wait_for(lambda: "cut off from the store" in edge.log, what="the log says that, too")
    link.is_cut = False
    wait_for(lambda: "cut off" not in edge.ready().text, what="back")
    wait_for(lambda: "the store answers again" in edge.log, what="the log says so")
    assert edge.log.count("cut off from the store") == 1


def test_an_amended_plan_reaches_a_node_while_it_serves(begin: Begin) -> None:
    """What is counted by the new plan is counted from then on; Envoy runs on."""
    fleet = begin()
    edge, = fleet.start("edge-1")
    sent, envoy = sum(edge.ask(20).values()), edge.envoy_pid
    changed = Plan.model_validate({
        **fleet.plan.model_dump(mode="json", by_alias=True, exclude_none=True),
        "patience": {"settle": "7s"}})
    plans.register(fleet.store, changed, source="test", now=clock.now())
    wait_for(lambda: edge.log.count("listens on") == 2, what="the next session")
    state = fleet.move(Mode.GRADUAL, 5000)
    row = edge.row()
    assert row is not None and row.order == state.order
    sent += sum(edge.ask(20).values())
    edge.wait_measured(sent)
    assert (edge.measured(), edge.envoy_pid) == (sent, envoy)


def test_a_name_belongs_to_one_home_at_a_time(fleet: Fleet) -> None:
    """The second is refused, the first serves on; a node that has gone leaves its name."""
    first, = fleet.start("edge-1")
    second = fleet.node("edge-2")
    second.command = [part if part != "edge-2" else "edge-1" for part in second.command]
    second.start()
    assert second.process is not None
    assert second.process.wait(60) == 4
    assert "not started because a gateway node edge-1 of bench is at work elsewhere" in second.log
    assert first.ready().status_code == 200
    assert first.process is not None
    first.process.terminate()
    assert first.process.wait(60) == 0
    second.start()
    second.wait_ready()


def test_a_later_minute_that_came_late_is_in_the_sums(fleet: Fleet) -> None:
    """A window reads minutes where there are any: a node's late seconds are among them."""
    from changeover.analysis.window import Sample
    from changeover.store import late_sums, minutes, samples

    at = int(clock.now().timestamp()) // 60 * 60 - 600
    own = [Sample("candidate", at + second, requests=2) for second in range(60)]
    samples.write(fleet.store, "bench", own)
    minutes.rollup(fleet.store, "bench", now=clock.from_timestamp(at + 200))
    late = [Sample("candidate", at + second, gateway="edge-1", requests=3) for second in range(30)]
    samples.write(fleet.store, "bench", late)

    def requests() -> int:
        return samples.window(
            fleet.store, "bench", "candidate", start=clock.from_timestamp(at),
            end=clock.from_timestamp(at + 60)).requests

    assert requests() == 120
    span = range(at, at + 60)
    assert late_sums.sum_up(fleet.store, "bench", "edge-1", span) == 1
    assert requests() == 210
    assert late_sums.sum_up(fleet.store, "bench", "edge-1", span) == 1
    assert requests() == 210
