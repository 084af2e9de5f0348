"""An observer that starts while what was remembered cannot be read waits, and forgets nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from changeover import clock
from changeover.analysis.trigger import TriggerState
from changeover.domain.rollbacks import TriggerStanding
from changeover.observer.serving import begun
from changeover.observer.trigger_memory import TriggerMemory
from changeover.observer.watch import Watch
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import heartbeats, plans, trigger_standings
from tests.integration.conftest import make_plan
from tests.support.ready_store import ready_store

LATER = {"name": "later", "metric": "error_rate", "above": "5%", "for": "60s", "action": "alert"}
AWAY = "ALTER TABLE trigger_standing RENAME TO away"
BACK = "ALTER TABLE away RENAME TO trigger_standing"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A migration with one trigger that fired: the observer before remembered so."""
    home = Home(tmp_path / "home")
    home.create()
    home.gateway_files.root.mkdir(parents=True, exist_ok=True)
    store = ready_store(home.store_url)
    plan = make_plan(triggers=[LATER])
    plans.register(store, plan, source="test", now=clock.now())
    found, second = Site(home, plan, store), int(time.time()) - 2
    watch, memory = Watch(plan), TriggerMemory(found)
    watch.resume({"later": TriggerState(fired_at=second - 20)}, since=0)
    memory.note(watch, second, None)
    memory.save(lambda: None)
    yield found
    store.close()


class Told(logging.Handler):
    """Sets an event when something is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.is_there, self.texts = threading.Event(), list[str]()

    def emit(self, record: logging.LogRecord) -> None:
        """Note a record."""
        self.texts.append(record.getMessage())
        self.is_there.set()


@pytest.fixture
def told() -> Iterator[Told]:
    """What observers log as errors."""
    handler, log = Told(), logging.getLogger("changeover.observer")
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


def execute(site: Site, statement: str) -> None:
    with site.store.engine.begin() as connection:
        connection.execute(text(statement))


def remembered(site: Site) -> list[TriggerStanding]:
    return trigger_standings.all_of(site.store, "bench")


def test_what_triggers_remember_is_read_as_soon_as_it_can_be(site: Site, told: Told) -> None:
    """Meanwhile nothing is judged or written over it, and the observer counts as silent."""
    before, stop = remembered(site), threading.Event()
    execute(site, AWAY)
    with ThreadPoolExecutor() as pool:
        begins = pool.submit(begun, site, "", stop)
        try:
            assert told.is_there.wait(20)
            assert not begins.done()
            assert heartbeats.of(site.store, "bench") == []
            execute(site, BACK)
            observer = begins.result(20)
        finally:
            stop.set()
    assert observer is not None
    assert observer.watch.states == {"later": TriggerState(**before[0].state["state"])}
    assert observer._seconds.judged > before[0].state["second"]
    assert remembered(site) == before
    assert len(told.texts) == 1
    assert "nothing is watched yet" in told.texts[0]


def test_an_observer_that_waits_for_the_store_can_be_ended(site: Site, told: Told) -> None:
    """It is asked to end before it could read anything: what was remembered stays."""
    before, stop = remembered(site), threading.Event()
    execute(site, AWAY)
    with ThreadPoolExecutor() as pool:
        begins = pool.submit(begun, site, "", stop)
        try:
            assert told.is_there.wait(20)
        finally:
            stop.set()
        assert begins.result(20) is None
    execute(site, BACK)
    assert remembered(site) == before


def test_a_memory_that_makes_no_sense_keeps_nobody_unwatched(site: Site, told: Told) -> None:
    """Another try would not mend that: the triggers begin anew, and the log says so."""
    execute(site, "UPDATE trigger_standing SET state = '{}'")
    observer = begun(site, "", threading.Event())
    assert observer is not None
    assert observer.watch.states == {"later": TriggerState()}
    assert "begins anew" in told.texts[0]
