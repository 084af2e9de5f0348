"""An observer that takes the lead and opens the migration: its session is kept alive meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from sqlalchemy import func, select, text

from changeover import clock
from changeover.errors import StoreError
from changeover.observer.addresses import Addresses
from changeover.observer.leading import Leading
from changeover.observer.serving import _led_site
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import plans
from changeover.store.engine import Store
from changeover.store.leading import Lead, LeadLock
from changeover.store.lock_numbers import lock_number
from tests.integration.conftest import make_plan
from tests.store.conftest import admin
from tests.support.processes import wait_for

pytestmark = pytest.mark.postgres
NO_ADDRESSES = cast(Addresses, SimpleNamespace(follow=lambda: None))


@pytest.fixture
def database() -> str:
    """SQLite has one observer."""
    return "postgres"


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    found = threading.Event()
    yield found
    found.set()


@pytest.fixture
def leading(store: Store, stop: threading.Event) -> Iterator[Leading]:
    plans.register(store, make_plan(), source="test", now=clock.now())
    found = Leading.of(store, "bench")
    assert found is not None
    yield found
    stop.set()
    wait_for(lambda: not provers(), what="nothing proves the lead")


@pytest.fixture
def site(store: Store, tmp_path: Path) -> Site:
    return Site(Home(tmp_path), make_plan(), store)


def provers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "lead"]


def test_the_lead_is_proved_while_the_migration_is_opened(
    leading: Leading, site: Site, stop: threading.Event
) -> None:
    """That may take longer than the server waits for a session that says nothing."""
    def opened() -> Site:
        first = leading._proved
        wait_for(lambda: leading._proved > first, what="it is proved again")
        return site

    assert _led_site(leading, opened, NO_ADDRESSES, stop) is site
    assert leading.may_act() and not leading.lost.is_set()


def test_a_migration_that_cannot_be_opened_leaves_the_lead_to_others(
    leading: Leading, site: Site, stop: threading.Event
) -> None:
    """Nothing takes it back meanwhile; tried again it is proved by one thread."""
    seen: list[int] = []

    def opened() -> Site:
        seen.append(len(provers()))
        if len(seen) == 1:
            raise StoreError("the database went away")
        return site

    assert _led_site(leading, opened, NO_ADDRESSES, stop) is site
    assert seen == [1, 1] and len(provers()) == 1


def test_an_observer_that_loses_the_lead_while_it_begins_says_so(
    leading: Leading, store: Store, store_url: str, stop: threading.Event
) -> None:
    """Its process begins anew by that, also when it had nothing to observe yet."""
    with admin(store_url) as rival:
        def leads() -> bool:
            rival.execute(text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                "AND pid <> pg_backend_pid() AND database = (SELECT oid FROM pg_database "
                "WHERE datname = current_database())"))
            key = lock_number("changeover observer bench")
            return bool(rival.scalar(select(func.pg_try_advisory_lock(key))))

        def opened() -> Site:
            wait_for(leads, what="another one leads")
            LeadLock(store, Lead("bench", "main", "rival", clock.now()), is_spare=False).note()
            wait_for(leading.lost.is_set, what="it notices")
            raise StoreError("the database went away")

        assert _led_site(leading, opened, NO_ADDRESSES, stop) is None
    assert leading.lost.is_set()
