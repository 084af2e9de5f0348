"""Who leads the observers of a migration: a session's lock in the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text

from changeover import clock
from changeover.errors import StoreError
from changeover.store import leading
from changeover.store.engine import Store
from changeover.store.leading import Lead, LeadLock
from tests.support.processes import wait_for

Asks = Callable[..., LeadLock]


@pytest.fixture
def asks(store: Store) -> Iterator[Asks]:
    """Return a function that makes an observer's session."""
    if not leading.can_lead(store):
        pytest.skip("SQLite has one observer")
    made: list[LeadLock] = []

    def make(name: str, migration: str = "shop") -> LeadLock:
        lead = Lead(migration, name, f"token of {name}", clock.now())
        made.append(LeadLock(store, lead, is_spare=name.startswith("spare")))
        return made[-1]

    yield make
    for lock in made:
        lock.release()


def test_one_leads_until_its_session_ends(asks: Asks) -> None:
    """Each migration has a leader of its own."""
    one, other, elsewhere = asks("main"), asks("main"), asks("main", "letters")
    assert one.take() and not other.take() and elsewhere.take()
    assert one.prove()
    one.release()
    assert other.take()


def test_a_spare_leads_only_while_no_main_observer_is_there(asks: Asks) -> None:
    """The main one's session is enough: a spare that leads is told to give it back."""
    spare, main = asks("spare-1"), asks("main")
    assert spare.take() and spare.prove()
    assert not main.take()
    assert not spare.prove()
    spare.release()
    assert main.take() and not spare.take()


def test_spares_that_wait_do_not_disturb_the_one_that_leads(asks: Asks) -> None:
    """They ask five times a second whether the main observer is there."""
    leads, waits, third = asks("spare-1"), asks("spare-2"), asks("spare-3")
    assert leads.take()
    for _ in range(20):
        assert not waits.take() and not third.take()
        assert leads.prove()


def test_a_lock_that_is_gone_is_no_lead(asks: Asks) -> None:
    """Whoever ended it."""
    lock = asks("main")
    assert lock.take()
    lock._opened().execute(text("SELECT pg_advisory_unlock_all()"))
    with pytest.raises(StoreError, match="has lost its lock"):
        lock.prove()


def test_a_pool_that_shares_its_sessions_is_refused(asks: Asks) -> None:
    """All who use it would have the lock."""
    lock = asks("main")
    assert lock.take()
    # what another one behind the pool does when it begins on the same session
    lock._opened().execute(text("SELECT set_config('changeover.lead', 'another', false)"))
    with pytest.raises(StoreError, match="each statement another session"):
        lock.prove()
    with pytest.raises(StoreError, match="each statement another session"):
        lock.take()


def test_a_leaders_transaction_that_stands_still_is_ended(store: Store) -> None:
    """The next leader's rollback must not wait for its locks."""
    if not leading.can_lead(store):
        pytest.skip("SQLite has one observer")
    leading.end_idle_transactions(store)
    with store.read() as session:
        assert session.scalar(text("SHOW idle_in_transaction_session_timeout")) == "10s"


def test_a_session_that_was_ended_has_no_lead(asks: Asks, store: Store) -> None:
    """By the server: it says nothing for too long, or the database is started again."""
    lock = asks("main")
    assert lock.take()
    lock.note()
    with store.begin() as session:
        session.execute(text(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"))
    with pytest.raises(StoreError):
        lock.prove()
    lock.release()
    assert not lock.is_open
    assert lock.take() and lock.was_last()
    asks("spare-1").note()
    assert not lock.was_last()
    found = leading.latest(store, "shop")
    assert found is not None and found.name == "spare-1"


def test_the_server_ends_a_session_that_says_nothing(asks: Asks, store: Store) -> None:
    """A process that stands still must not keep the lead."""
    lock = asks("main")
    assert lock.take()
    connection = lock._opened()
    assert connection.scalar(text("SHOW idle_session_timeout")) == "2500ms"


def test_another_one_leads_after_one_that_says_nothing(asks: Asks) -> None:
    """By the server alone: the one that stands still does nothing for it."""
    silent, spare = asks("main"), asks("other")
    assert silent.take() and not spare.take()
    wait_for(spare.take, what="the other one leads")
    with pytest.raises(StoreError):
        silent.prove()
