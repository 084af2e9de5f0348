"""Webhooks of decisions against a real receiver: in order, signed, again after every trouble."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from changeover import clock
from changeover.checks.health.webhooks import receives
from changeover.domain.audit import NewEvent
from changeover.domain.health import Status
from changeover.domain.routing import Mode
from changeover.notify import webhooks
from changeover.notify.relaying import Relaying
from changeover.notify.webhooks import Webhook
from changeover.plan.model import Plan
from changeover.site import relay_status
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import audit, plans, relays
from changeover.store.engine import Store
from tests.integration.conftest import make_plan
from tests.integration.observer.conftest import ERRORS, NO_FAST_PATH, Start
from tests.support.processes import LONGEST_PAUSE, free_port, wait_for
from tests.support.ready_store import ready_store
from tests.support.receiver import SECRET, Receiver, receiver

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret is known where the observer runs."""
    monkeypatch.setenv("AUDIT_SECRET", SECRET)


def one(address: str, **more: Any) -> dict[str, Any]:
    """Return a plan's part with one webhook."""
    return {"audit-log": {"url": address, "secret": "AUDIT_SECRET", **more}}


@contextmanager
def opened(folder: Path, address: str, **more: Any) -> Iterator[tuple[Store, Plan]]:
    """Return a store whose plan names one webhook."""
    plan = make_plan(webhooks=one(address, **more))
    store = ready_store(f"sqlite:///{folder / 'store.db'}", timeout=LONGEST_PAUSE)
    plans.register(store, plan, source="test", now=clock.now())
    yield store, plan
    store.close()


def relaying(store: Store, plan: Plan, at: datetime | None = None) -> Relaying:
    """Return what brings events to the webhook, at a moment or now."""
    webhook = Webhook("audit-log", plan.webhooks["audit-log"])
    return Relaying(store, "bench", webhook, (lambda: at) if at else clock.now)


def decide(store: Store, kind: str, at: datetime | None = None, **data: Any) -> None:
    audit.record(store, "bench", NewEvent("ann", kind, data, at or clock.now()))


def test_decisions_arrive_in_order_signed_and_as_cloud_events(tmp_path: Path) -> None:
    """An independent implementation takes each signature; what is about access is left out."""
    with receiver() as server, opened(tmp_path, server.address) as (store, plan):
        decide(store, "approver.code", about="start")
        for stage in ("beta-5", "gradual-25"):
            decide(store, "stage.promoted", stage=stage, reason="well")
        assert relaying(store, plan).run() == 3
        assert relaying(store, plan).run() == 0
        headers, body = server.got[-1]
        event, kept = json.loads(body), audit.events(store, "bench")[-1]
    assert server.kinds == ["plan.registered", "stage.promoted", "stage.promoted"]
    assert headers["content-type"] == "application/cloudevents+json"
    assert event == {
        "specversion": "1.0", "id": headers["webhook-id"], "type": "changeover.stage.promoted",
        "source": "/changeover/migrations/bench", "subject": "gradual-25",
        "time": kept.at.isoformat(), "datacontenttype": "application/json",
        "sequence": "0000000004",
        "data": {"migration": "bench", "seq": 4, "kind": "stage.promoted", "actor": "ann",
                 "hash": kept.hash, "facts": {"stage": "gradual-25", "reason": "well"}},
    }


def test_a_failure_holds_up_what_follows_and_nothing_is_lost(tmp_path: Path) -> None:
    """Tried again after the wait, not before; the state is said meanwhile."""
    first = clock.now()
    with receiver(204, 500, 302, 204) as server, opened(tmp_path, server.address) as (store, plan):
        decide(store, "freeze.on")
        decide(store, "freeze.off")
        assert relaying(store, plan, first).run() == 1
        assert relaying(store, plan, first + timedelta(seconds=4)).run() == 0
        assert len(server.got) == 2
        (said,) = relay_status.lines(relay_status.collect(store, plan))
        site = Site(Home(tmp_path), plan, store)
        health = receives(site, "audit-log", plan.webhooks["audit-log"])
        assert relaying(store, plan, first + timedelta(seconds=6)).run() == 0
        assert relaying(store, plan, first + timedelta(seconds=17)).run() == 2
        assert relay_status.lines(relay_status.collect(store, plan)) == []
    assert said.startswith("webhook audit-log: 2 events wait since ")
    assert said.endswith("it answered 500")
    assert (health.status, "it answered 500" in health.detail) == (Status.WARNING, True)
    assert server.kinds == ["plan.registered", "freeze.on", "freeze.off"]


def test_a_webhook_that_the_plan_names_no_more_is_no_trouble(tmp_path: Path) -> None:
    """After an amended plan nobody sends to it, so nobody is told that it takes nothing."""
    with receiver(500) as server, opened(tmp_path, server.address) as (store, plan):
        relaying(store, plan).run()
        assert relay_status.collect(store, plan)
        assert relay_status.collect(store, make_plan()) == []


def test_the_process_that_follows_sends_at_once(tmp_path: Path) -> None:
    """When a plan is amended the observer ends and comes back: nothing waits for a lease."""
    with receiver() as server, opened(tmp_path, server.address) as (store, plan):
        assert relaying(store, plan).run() == 1
        decide(store, "rollback.started")
        assert relaying(store, plan).run() == 1
    assert server.kinds == ["plan.registered", "rollback.started"]


def test_who_is_away_for_long_loses_what_is_old_and_only_that(tmp_path: Path) -> None:
    """It is audited, and the receiver hears of it when it is back."""
    port, begin = free_port(), clock.now()
    address = f"http://127.0.0.1:{port}/hook"
    with opened(tmp_path, address, give_up="1h") as (store, plan):
        decide(store, "freeze.on", begin)
        decide(store, "freeze.off", begin + timedelta(minutes=50))
        for minutes in range(0, 80, 10):
            relaying(store, plan, begin + timedelta(minutes=minutes)).run()
        lost = audit.newest(store, "bench", limit=1)[0]
        (said,) = relay_status.lines(relay_status.collect(store, plan))
        with receiver(port=port) as server:
            relaying(store, plan, begin + timedelta(minutes=90)).run()
    assert (lost.kind, lost.data["to"], lost.data["events"]) == (
        "events.given_up", "webhook audit-log", 2)
    assert "2 events were given up" in said
    assert server.kinds == ["freeze.off", "events.given_up"]


def test_after_our_own_absence_one_failure_gives_up_nothing(tmp_path: Path) -> None:
    """The receiver did nothing wrong for two days."""
    with receiver(503) as server, opened(tmp_path, server.address) as (store, plan):
        late = clock.now() + timedelta(days=2)
        assert relaying(store, plan, late).run() == 0
        assert relaying(store, plan, late + timedelta(seconds=6)).run() == 1
    assert server.kinds == ["plan.registered"]


def test_two_processes_send_each_event_once(tmp_path: Path) -> None:
    """One delivery at a time, whoever looks at the same moment."""
    with receiver() as server, opened(tmp_path, server.address) as (store, plan):
        for number in range(20):
            decide(store, "stage.entered", stage=f"s{number}")
        senders = [threading.Thread(target=relaying(store, plan).run) for _ in range(4)]
        for each in senders:
            each.start()
        for each in senders:
            each.join()
        wait_for(lambda: relaying(store, plan).run() or len(server.taken) == 21)
    assert [event["data"]["seq"] for event in server.taken] == [*range(1, 22)]
    assert server.most_at_once == 1


SENDER = """
import sys
from changeover import clock
from changeover.notify.relaying import Relaying
from changeover.notify.webhooks import Webhook
from changeover.store import plans
from changeover.store.engine import Store

store = Store.open(sys.argv[1])
spec = plans.load(store, "bench").webhooks["audit-log"]
Relaying(store, "bench", Webhook("audit-log", spec), clock.now).run()
"""


def test_a_kill_between_answer_and_record_sends_an_event_twice_never_not(tmp_path: Path) -> None:
    """With the same id, before those that follow; another process takes over after the lease."""
    with receiver() as server, opened(tmp_path, server.address) as (store, plan):
        for kind in ("freeze.on", "freeze.off"):
            decide(store, kind)
        sender = subprocess.Popen([sys.executable, "-c", SENDER, store.url])

        def kill_at_second() -> None:
            if len(server.got) == 2:
                sender.kill()
                sender.wait()

        server.at_work = kill_at_second
        assert sender.wait(LONGEST_PAUSE) == -9
        assert relaying(store, plan).run() == 0
        assert relaying(store, plan, clock.now() + timedelta(seconds=61)).run() == 2
    ids = [headers["webhook-id"] for headers, _ in server.got]
    assert server.kinds == ["plan.registered", "freeze.on", "freeze.on", "freeze.off"]
    assert ids[1] == ids[2]
    assert len(set(ids)) == 3


def test_an_answer_that_comes_byte_by_byte_ends_after_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time; all of them never would."""
    monkeypatch.setattr(webhooks, "LONGEST_SECONDS", 0.5)
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                while not done.wait(0.05):
                    connection.sendall(b"H")

        threading.Thread(target=drip, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with opened(tmp_path, address) as (store, plan):
            assert relaying(store, plan).run() == 0
            (place,) = relays.all_of(store, "bench")
        done.set()
    assert place.problem == "it did not answer within 0.5 s"


@pytest.mark.parametrize(("value", "said"), [
    (None, "the variable AUDIT_SECRET is no secret here"),
    ("plain-text-of-a-person", "the variable AUDIT_SECRET is no secret here"),
    ("whsec_c2hvcnQ=", "24 to 64 bytes"),
])
def test_a_secret_that_cannot_sign_sends_nothing_and_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, said: str,
) -> None:
    """Unsigned events would be refused, or worse, believed."""
    monkeypatch.delenv("AUDIT_SECRET")
    if value:
        monkeypatch.setenv("AUDIT_SECRET", value)
    with receiver() as server, opened(tmp_path, server.address) as (store, plan):
        relaying(store, plan).run()
        (place,) = relays.all_of(store, "bench")
        health = receives(Site(Home(tmp_path), plan, store), "audit-log",
                          plan.webhooks["audit-log"])
    assert said in place.problem and said in health.detail
    assert not value or value not in place.problem
    assert server.got == []


def test_neither_address_nor_secret_is_in_logs_or_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """At the most talkative level, whatever fails."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("AUDIT_URL", f"http://127.0.0.1:{free_port()}/T0K3N")
    plan = make_plan(webhooks={"audit-log": {"env": "AUDIT_URL", "secret": "AUDIT_SECRET"}})
    path = tmp_path / "store.db"
    store = ready_store(f"sqlite:///{path}")
    plans.register(store, plan, source="test", now=clock.now())
    relaying(store, plan).run()
    (place,) = relays.all_of(store, "bench")
    store.close()
    assert place.problem == "it was not reached: ConnectError"
    written = path.read_bytes() + caplog.text.encode()
    assert b"T0K3N" not in written and SECRET.encode() not in written


def test_the_observer_tells_of_a_rollback_while_another_webhook_hangs(start: Start) -> None:
    """And the rollback itself waits for neither."""
    hangs = threading.Event()
    with receiver() as server, receiver(at_work=lambda: hangs.wait(60)) as stuck:
        watched = start(ERRORS, guardrails=NO_FAST_PATH, webhooks={
            **one(stuck.address), "pager": {
                "url": server.address, "secret": "AUDIT_SECRET", "kinds": ["rollback.*"]}})
        watched.move(Mode.GRADUAL, 5000)
        watched.bench.fault("503")
        with watched.load():
            wait_for(lambda: watched.state().mode is Mode.EMERGENCY_ROLLBACK)
            wait_for(lambda: "rollback.started" in server.kinds, what="the webhook is told")
        hangs.set()
    assert set(server.kinds) == {"rollback.started"}
    told: Receiver = server
    assert told.taken[0]["data"]["actor"] == "observer"
