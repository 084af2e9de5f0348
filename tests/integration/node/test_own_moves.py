"""A node that is cut off from the store: it judges its own traffic, and tells what it did."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from contextlib import AbstractContextManager
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import text

from changeover import clock
from changeover.domain.routing import Mode
from changeover.store import audit, firings, rollbacks
from tests.integration.node.conftest import Begin, Fleet, Link, Node, link_of
from tests.integration.observer.conftest import NO_FAST_PATH
from tests.store.conftest import admin
from tests.support.processes import LONGEST_PAUSE, free_port, meanwhile, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.postgres]

SLOW = {"name": "slow", "metric": "latency_p95", "above": "200ms", "for": "1s", "over": "2s",
        "min_samples": 3, "action": "rollback"}


def cut_off(fleet: Fleet) -> tuple[Node, Link]:
    """Return a node that serves 50 % and cannot reach the store any more, and its way there."""
    link, fleet.url = link_of(fleet.url)
    edge, = fleet.start("edge-1")
    fleet.move(Mode.GRADUAL, 5000)
    cut(edge, link)
    return edge, link


def cut(edge: Node, link: Link) -> None:
    link.is_cut = True
    wait_for(lambda: "cut off from the store" in edge.ready().text, what="it is cut off")


def wait_back(edge: Node) -> None:
    """Wait until the node's users are at the baseline by its own decision."""
    wait_for(lambda: edge.gateway.journal() is not None, what="its users are sent back")
    wait_for(lambda: edge.ask(10) == {"baseline": 10}, what="its Envoy sends them back")


def wait_settled(fleet: Fleet, edge: Node) -> None:
    """Wait until all is told, and the node serves what the store says."""
    wait_for(lambda: edge.gateway.journal() is None, what="what it did is recorded")
    wait_for(lambda: (row := edge.row()) and row.order == fleet.state().order
             and not row.unrecorded, what="it follows the store again")


def kinds(fleet: Fleet) -> Counter[str]:
    return Counter(event.kind for event in audit.events(fleet.store, "bench"))


def requests_of(node: Node, seen: list[int]) -> AbstractContextManager[None]:
    """Keep sending requests of new users meanwhile, and note how each was answered."""

    def send(done: threading.Event) -> None:
        number = 0
        with httpx.Client(trust_env=False, timeout=LONGEST_PAUSE) as client:
            while not done.wait(0.01):
                number += 1
                answer = client.get(node.url, headers={"x-user-id": f"steady-{number}"})
                seen.append(answer.status_code)

    return meanwhile(send)


def test_a_trigger_rolls_back_at_the_node_and_everyone_once_the_store_is_back(
    begin: Begin,
) -> None:
    """No request fails in all of it; firing, rollback and audit are there once."""
    fleet = begin(triggers=[SLOW], guardrails=NO_FAST_PATH)
    fleet.start_observer()
    edge, link = cut_off(fleet)
    seen: list[int] = []
    with requests_of(edge, seen):
        wait_for(lambda: len(seen) > 50, what="users of both systems")
        assert edge.gateway.journal() is None
        fleet.bench.fault("slow")
        wait_back(edge)
        assert "its users are at the baseline because trigger slow" in edge.ready().text
        assert edge.ready().status_code == 200
        assert fleet.state().mode is Mode.GRADUAL
        # what it measured of the candidate is older than any window by then
        sent = len(seen)
        wait_for(lambda: len(seen) > sent + 400, what="users at the baseline")
        link.is_cut = False
        wait_settled(fleet, edge)
    assert set(seen) == {200}
    state = fleet.state()
    assert (state.mode, state.epoch) == (Mode.EMERGENCY_ROLLBACK, 1)
    fired, = firings.all_of(fleet.store, "bench")
    assert (fired.trigger, fired.epoch, fired.evidence["gateway"]) == ("slow", 1, "edge-1")
    assert fired.published_at is not None and fired.fired_at <= fired.published_at
    rolled_back, = rollbacks.all_of(fleet.store, "bench")
    assert rolled_back.reason.startswith(
        "gateway node edge-1 sent its users to the baseline while it was cut off: trigger slow: ")
    found = kinds(fleet)
    assert (found["gateway_node.rolled_back"], found["rollback.started"],
            found["trigger.fired"]) == (1, 1, 1)
    assert audit.verify(fleet.store, "bench") == []
    assert edge.ask(10) == {"baseline": 10}


def test_a_trigger_that_was_calm_leaves_users_where_they_are(begin: Begin) -> None:
    """Being cut off alone moves nobody, and what is back is followed."""
    fleet = begin(triggers=[SLOW], guardrails=NO_FAST_PATH)
    edge, link = cut_off(fleet)
    assert set(edge.ask(60)) == {"baseline", "candidate"}
    state = fleet.move(Mode.GRADUAL, 7000)
    link.is_cut = False
    wait_for(lambda: (row := edge.row()) and row.order == state.order, what="it follows")
    assert state.epoch == 0 and edge.gateway.journal() is None


def test_what_a_node_did_is_told_once_although_it_was_killed(begin: Begin) -> None:
    """Its Envoy keeps users at the baseline; the journal is told by the next start."""
    fleet = begin(triggers=[SLOW], guardrails=NO_FAST_PATH)
    edge, link = cut_off(fleet)
    with fleet.load(edge):
        fleet.bench.fault("slow")
        wait_back(edge)
    edge.kill()
    assert edge.ask(10) == {"baseline": 10}
    link.is_cut = False
    edge.start()
    # nobody records it yet: it serves its own routes, and says so
    wait_for(lambda: (row := edge.row()) and row.unrecorded, what="its row says what it did")
    assert edge.ask(10) == {"baseline": 10}
    assert fleet.state().epoch == 0
    fleet.start_observer()
    wait_settled(fleet, edge)
    assert fleet.state().epoch == 1
    found = kinds(fleet)
    assert (found["gateway_node.rolled_back"], found["trigger.fired"]) == (1, 1)
    assert audit.verify(fleet.store, "bench") == []


def test_a_rollback_that_came_meanwhile_covers_that_of_a_node(begin: Begin) -> None:
    """What people decided after it stands; the firing is recorded all the same."""
    fleet = begin(triggers=[SLOW], guardrails=NO_FAST_PATH)
    edge, link = cut_off(fleet)
    with fleet.load(edge):
        fleet.bench.fault("slow")
        wait_back(edge)
    fleet.bench.fault("none")
    fleet.move(Mode.EMERGENCY_ROLLBACK)
    fleet.move(Mode.BASELINE_ONLY)
    state = fleet.move(Mode.GRADUAL, 2500)
    fleet.start_observer()
    link.is_cut = False
    wait_settled(fleet, edge)
    assert fleet.state() == state
    assert [each.trigger for each in firings.all_of(fleet.store, "bench")] == ["slow"]
    assert set(edge.ask(60)) == {"baseline", "candidate"}


def test_a_lost_node_sends_its_users_to_the_baseline_and_lets_them_back(begin: Begin) -> None:
    """Nobody else is moved by it, and the epoch stays."""
    listen = f"127.0.0.1:{free_port()}"
    fleet = begin(routing={"listen": listen, "lost_after": "5s"}, guardrails=NO_FAST_PATH)
    fleet.start_observer()
    edge, link = cut_off(fleet)
    wait_back(edge)
    assert "routing.lost_after" in edge.ready().text and edge.ready().status_code == 200
    link.is_cut = False
    wait_settled(fleet, edge)
    wait_for(lambda: kinds(fleet)["gateway_node.lost"], what="it is told")
    assert set(edge.ask(60)) == {"baseline", "candidate"}
    assert (fleet.state().mode, fleet.state().epoch) == (Mode.GRADUAL, 0)
    assert rollbacks.all_of(fleet.store, "bench") == []
    # and again: each time is told
    cut(edge, link)
    wait_back(edge)
    link.is_cut = False
    wait_settled(fleet, edge)
    wait_for(lambda: kinds(fleet)["gateway_node.lost"] == 2, what="the second time is told")
    assert audit.verify(fleet.store, "bench") == []


def test_who_breaks_glass_at_a_lost_node_sends_everyone_back(begin: Begin) -> None:
    """Its users are at the baseline already, and would come back with the store."""
    listen = f"127.0.0.1:{free_port()}"
    fleet = begin(routing={"listen": listen, "lost_after": "5s"}, guardrails=NO_FAST_PATH)
    fleet.start_observer()
    edge, link = cut_off(fleet)
    wait_back(edge)
    edge.gateway.break_glass(reason="wrong sums", actor="ann", now=clock.now())
    assert "wrong sums" in edge.ready().text
    link.is_cut = False
    wait_settled(fleet, edge)
    state = fleet.state()
    assert (state.mode, state.epoch) == (Mode.EMERGENCY_ROLLBACK, 1)
    event, = audit.of_kind(fleet.store, "bench", "gateway_node.rolled_back")
    assert (event.actor, event.data["reason"]) == ("ann", "wrong sums")
    assert kinds(fleet)["gateway_node.lost"] == 1
    assert edge.ask(10) == {"baseline": 10}


def test_a_node_that_stood_still_asks_before_it_moves_anybody(begin: Begin) -> None:
    """The store was well all the time: it only looks as if it had been silent."""
    listen = f"127.0.0.1:{free_port()}"
    fleet = begin(routing={"listen": listen, "lost_after": "5s"}, guardrails=NO_FAST_PATH,
                  triggers=[SLOW])
    edge, = fleet.start("edge-1")
    fleet.move(Mode.GRADUAL, 5000)
    assert edge.process is not None
    fleet.bench.fault("slow")
    with fleet.load(edge):
        os.kill(edge.process.pid, signal.SIGSTOP)
        began = time.monotonic()
        wait_for(lambda: time.monotonic() - began > 8, what="longer than lost_after")
        row = edge.row()
        os.kill(edge.process.pid, signal.SIGCONT)
        assert row is not None
        wait_for(lambda: (now := edge.row()) and now.seen > row.seen + timedelta(seconds=4),
                 what="it is heard of again")
    assert edge.gateway.journal() is None
    row = edge.row()
    assert row is not None and row.own_moves is None


def test_a_node_at_a_store_that_takes_nothing_judges_by_itself(begin: Begin) -> None:
    """A standby that is read, or a disk that is full: no rollback is in it."""
    fleet = begin(triggers=[SLOW], guardrails=NO_FAST_PATH)
    edge, = fleet.start("edge-1")
    fleet.move(Mode.GRADUAL, 5000)
    read_only(fleet, "on")
    wait_for(lambda: "cut off from the store" in edge.ready().text, what="it is cut off")
    with fleet.load(edge):
        fleet.bench.fault("slow")
        wait_back(edge)
    fleet.bench.fault("none")
    read_only(fleet, "off")
    fleet.start_observer()
    wait_settled(fleet, edge)
    assert (fleet.state().mode, fleet.state().epoch) == (Mode.EMERGENCY_ROLLBACK, 1)


def read_only(fleet: Fleet, value: str) -> None:
    """Have the database take nothing, or all again, also from those who are connected."""
    name = fleet.store.engine.url.database
    with admin(fleet.url) as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        connection.execute(text(
            f"ALTER DATABASE \"{name}\" SET default_transaction_read_only = {value}"))
        connection.execute(text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"))


def test_at_100_percent_a_candidate_that_answers_nobody_is_left(begin: Begin) -> None:
    """The baseline serves nobody, and never did here: its health says that it is well."""
    fleet = begin()
    link, fleet.url = link_of(fleet.url)
    edge, = fleet.start("edge-1")
    fleet.move(Mode.GRADUAL, 5000)
    fleet.move(Mode.CANDIDATE_ONLY)
    cut(edge, link)
    with fleet.load(edge):
        fleet.bench.fault("503")
        wait_back(edge)
    assert "guardrail" in edge.ready().text


def test_nobody_is_sent_to_a_baseline_that_is_gone(begin: Begin) -> None:
    """The candidate's answers are the better ones then."""
    listen = f"127.0.0.1:{free_port()}"
    fleet = begin(routing={"listen": listen, "lost_after": "5s"}, guardrails=NO_FAST_PATH)
    fleet.bench.fault("503", "baseline")
    edge, _link = cut_off(fleet)
    wait_for(lambda: "it is not well" in edge.log, what="it asks the baseline")
    assert edge.gateway.journal() is None
