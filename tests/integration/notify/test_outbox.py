"""Messages to real servers that fail first: told once each, by severity, with no secret shown."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from blocks import NotifierBlock
from changeover import clock
from changeover.domain.messages import Message
from changeover.domain.routing import Mode
from changeover.notify import outbox
from changeover.plan.model import Plan
from changeover.store import audit, messages, plans
from changeover.store.engine import Store
from tests.integration.conftest import make_plan
from tests.integration.observer.conftest import ERRORS, Start
from tests.support.processes import free_port, wait_for
from tests.support.ready_store import ready_store

pytestmark = pytest.mark.integration
SECRET = "T0K3N-s3cret"


class Hook(ThreadingHTTPServer):
    """Keeps what it is sent; answers with the statuses given, then with 200."""

    daemon_threads = True

    def __init__(self, *statuses: int, delay: threading.Event | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses, self.delay = list(statuses), delay
        self.got: list[tuple[str, dict[str, Any]]] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}/{SECRET}"


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((self.path, json.loads(body)))
        if self.server.delay is not None:
            self.server.delay.wait(30)
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def hook(*statuses: int, delay: threading.Event | None = None) -> Iterator[Hook]:
    server = Hook(*statuses, delay=delay)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def opened(tmp_path: Path, *notify: dict[str, object]) -> Iterator[tuple[Store, Plan]]:
    plan = make_plan(notify=list(notify))
    store = ready_store(f"sqlite:///{tmp_path / 'store.db'}")
    plans.register(store, plan, source="test", now=clock.now())
    yield store, plan
    store.close()


def put(store: Store, severity: str = "critical", title: str = "rolled back") -> None:
    messages.put(store, Message(
        "bench", key=title, severity=severity, title=title, body="why", at=clock.now()))


def later(seconds: float, since: datetime | None = None) -> Any:
    moment = (since or clock.now()) + timedelta(seconds=seconds)

    def now() -> datetime:
        return moment

    return now


def test_a_webhook_that_fails_first_is_told_once(tmp_path: Path) -> None:
    """Tried again after the wait, not before, and never after it took the message."""
    with hook(500) as server, opened(tmp_path, {"webhook": f"http://{server.address}"}) as (
        store, plan
    ):
        put(store)
        first = clock.now()
        assert outbox.deliver(store, plan, later(0, first)) == 0
        assert outbox.deliver(store, plan, later(4, first)) == 0
        assert len(server.got) == 1
        assert outbox.deliver(store, plan, later(6, first)) == 1
        assert outbox.deliver(store, plan, later(4000, first)) == 0
    path, body = server.got[1]
    assert path == f"/{SECRET}"
    assert len(server.got) == 2
    assert (body["text"], body["detail"], body["severity"], body["migration"]) == (
        "rolled back", "why", "critical", "bench")


def test_a_channel_that_has_it_is_not_told_again_for_anothers_failure(tmp_path: Path) -> None:
    """One dead channel does not ring the others eleven times more."""
    dead = f"http://127.0.0.1:{free_port()}/{SECRET}"
    with hook() as server, opened(
        tmp_path, {"webhook": f"http://{server.address}"}, {"webhook": dead}
    ) as (store, plan):
        put(store)
        for attempt in range(messages.MOST_ATTEMPTS + 2):
            outbox.deliver(store, plan, later(6 * 2**attempt))
        events = audit.events(store, "bench")
        kept = messages.newest(store, "bench")[0]
    assert len(server.got) == 1
    assert [event.kind for event in events].count("notify.failed") == 1
    assert kept.attempts == messages.MOST_ATTEMPTS
    assert SECRET not in json.dumps([event.data for event in events]) + kept.problem


def test_severity_decides_who_is_told(tmp_path: Path) -> None:
    """News goes to the channel that wants all, a rollback to both."""
    with hook() as chat, hook() as pager, opened(
        tmp_path, {"webhook": f"http://{chat.address}"},
        {"webhook": f"http://{pager.address}", "severity": "critical"},
    ) as (store, plan):
        for severity in ("info", "warning", "critical"):
            put(store, severity, severity)
        assert outbox.deliver(store, plan, clock.now) == 3
    assert [body["text"] for _, body in chat.got] == ["critical", "warning", "info"]
    assert [body["text"] for _, body in pager.got] == ["critical"]


def test_apprise_tells_by_its_own_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`json://` from an environment variable: title, text and kind arrive; then a retry."""
    with hook(500) as server, opened(tmp_path, {"env": "TELL_US"}) as (store, plan):
        monkeypatch.setenv("TELL_US", f"json://{server.address}")
        put(store)
        assert outbox.deliver(store, plan, clock.now) == 0
        assert outbox.deliver(store, plan, later(6)) == 1
    _, body = server.got[-1]
    assert (body["title"], body["message"], body["type"]) == ("rolled back", "why", "failure")


def test_a_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    """The message waits, and says what to set."""
    with opened(tmp_path, {"env": "NOT_SET_ANYWHERE"}) as (store, plan):
        put(store)
        assert outbox.deliver(store, plan, clock.now) == 0
        problem = messages.newest(store, "bench")[0].problem
    assert problem == "the variable NOT_SET_ANYWHERE is not set"


@pytest.mark.parametrize("form", ["webhook", "refused", "apprise", "nonsense"])
def test_no_address_is_in_logs_or_problems(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, form: str
) -> None:
    """Whatever fails at the most talkative log level, nobody reads the secret."""
    caplog.set_level(logging.DEBUG)
    with hook(500) as server:
        address, key = {
            "webhook": (f"http://{server.address}", "webhook"),
            "refused": (f"http://127.0.0.1:{free_port()}/{SECRET}", "webhook"),
            "apprise": (f"json://user:{SECRET}@{server.address}", "apprise"),
            "nonsense": (f"nonsense://{SECRET}", "apprise"),
        }[form]
        with opened(tmp_path, {key: address}) as (store, plan):
            put(store)
            assert outbox.deliver(store, plan, clock.now) == 0
            problem = messages.newest(store, "bench")[0].problem
        block = NotifierBlock(addresses=[address])
        server.statuses.append(500)
        told = block.notify("try", {})
    assert problem and len(told) == 1
    assert SECRET not in caplog.text + problem + told[0] + repr(block)


def test_a_webhook_that_hangs_is_not_on_the_path_of_a_rollback(start: Start) -> None:
    """Users are back at the baseline while the message still waits for its answer."""
    delay = threading.Event()
    with hook(delay=delay) as server:
        watched = start(ERRORS, notify=[{"webhook": f"http://{server.address}"}])
        put(watched.store, title="before")
        wait_for(lambda: server.got, what="the message is on its way")
        watched.move(Mode.GRADUAL, 5000)
        watched.bench.fault("503")
        with watched.load():
            wait_for(lambda: watched.state().mode is Mode.EMERGENCY_ROLLBACK, what="rollback")
            wait_for(lambda: watched.gateway.served() == watched.state().order, what="routes")
        assert not delay.is_set()
        assert not messages.newest(watched.store, "bench")[0].is_sent
        delay.set()
