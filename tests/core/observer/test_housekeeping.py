"""Minutes are summed up when all that this machine measured of them is in the store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover import clock
from changeover.analysis.window import Sample
from changeover.observer.service import Observer
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import plans, samples
from changeover.store.covering import MINUTE
from tests.integration.conftest import make_plan
from tests.support.ready_store import ready_store


@pytest.fixture
def observer(tmp_path: Path) -> Iterator[Observer]:
    """One that nothing runs of."""
    home = Home(tmp_path / "home")
    home.create()
    store = ready_store(home.store_url)
    plan = make_plan()
    plans.register(store, plan, source="test", now=clock.now())
    yield Observer(Site(home, plan, store), None)
    store.close()


def sample(gateway: str, at: int) -> Sample:
    return Sample("candidate", at, gateway=gateway, requests=1, watched=1)


def minutes(observer: Observer, start: int) -> int:
    """Return how many requests the minutes from `start` on have."""
    with observer.store.read() as session:
        rows = samples.read_rows(
            session, "bench", None, MINUTE, span=range(start, start + 10 * MINUTE))
    return sum(row.requests for row in rows)


def test_a_minute_waits_for_this_machines_seconds(observer: Observer) -> None:
    """After a pause others' seconds are there first: without its own it would stay so."""
    start = int(time.time()) // MINUTE * MINUTE - 5 * MINUTE
    samples.write(observer.store, "bench", [sample("edge-1", start + 3)])
    observer._summed = start + 4 * MINUTE
    observer.unsaved.add([sample("main", start + 3)], {})
    assert observer._stored_until() == start + 3
    observer.chores._remove_old_rows(observer._stored_until())
    assert minutes(observer, start) == 0
    observer.unsaved.save(observer.store, "bench")
    assert observer._stored_until() == start + 4 * MINUTE
    observer.chores._remove_old_rows(observer._stored_until())
    assert minutes(observer, start) == 2


def test_what_is_not_summed_yet_is_not_stored(observer: Observer) -> None:
    """Right after a start, while the log of a pause is read."""
    observer._seconds.judged = int(time.time())
    assert observer._stored_until() == 0
