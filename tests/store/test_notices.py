"""Who follows a routing state hears of a new one at once, where the database can say so."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.routing import Change, Mode
from changeover.errors import StoreError
from changeover.observer.listening import Listening
from changeover.observer.throttle import LogOnce
from changeover.store import notices, routing
from changeover.store.engine import Store
from tests.support.processes import wait_for

LONG = 20.0
"""Seconds after which something that should have happened did not."""


@pytest.fixture
def heard(store: Store) -> Iterator[Iterator[notices.Word | None]]:
    """What a follower of shop hears, asked for a tenth of a second each time."""
    if store.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no notifications")
    with notices.listening(store, "shop", seconds=0.1) as changes:
        yield changes


def move(store: Store, weight: int) -> None:
    routing.change(store, "shop", Change(mode=Mode.GRADUAL, weight=weight),
                   Author("test", "test"), now=clock.now())


def next_change(changes: Iterator[notices.Word | None]) -> bool:
    """Return whether one is heard of soon."""
    return any(next(changes) for _ in range(50))


def test_a_change_is_heard_of_when_it_is_committed(
    store: Store, heard: Iterator[notices.Word | None]
) -> None:
    """And nothing is while nothing changes, or another migration does."""
    assert not next(heard)
    move(store, 100)
    assert next_change(heard)
    assert routing.read(store, "shop").weight == 100
    with store.begin() as session:
        notices.notify_in(session, "another")
    assert not next(heard)


def test_a_connection_that_ended_is_an_error_of_the_store(
    store: Store, heard: Iterator[notices.Word | None]
) -> None:
    """Whoever listens makes a new one; until then it asks."""
    with store.begin() as session:
        session.execute(text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE query LIKE 'LISTEN%' AND datname = current_database()"))
    with pytest.raises(StoreError, match="says nothing more"):
        next_change(heard)


def test_nobody_listens_on_sqlite_and_changes_are_made_all_the_same(store: Store) -> None:
    """On both databases."""
    move(store, 200)
    assert routing.read(store, "shop").weight == 200


def test_a_sign_proves_that_words_arrive_and_is_no_change(
    store: Store, heard: Iterator[notices.Word | None]
) -> None:
    """Who judges gives it every second; another migration's proves nothing of this one."""
    notices.give_sign(store, "another")
    notices.give_sign(store, "shop")
    found = [next(heard) for _ in range(3)]
    assert [word for word in found if word] == [notices.Word.SIGN]
    move(store, 300)
    assert notices.Word.CHANGED in [next(heard) for _ in range(3)]


def test_who_listens_knows_whether_words_arrive(store: Store) -> None:
    """Until the connection ends: then it is known at once that none will."""
    if store.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no notifications")
    woken, is_over = threading.Event(), threading.Event()
    listening = Listening(store, "shop", woken.set, LogOnce())
    thread = threading.Thread(target=listening.run, args=(is_over,), daemon=True)
    thread.start()
    try:
        # it listens, and nobody has given a sign
        assert woken.wait(LONG) and not listening.is_heard
        notices.give_sign(store, "shop")
        wait_for(lambda: listening.is_heard, what="the sign")
        with store.begin() as session:
            session.execute(text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE query LIKE 'LISTEN%' AND datname = current_database()"))
        wait_for(lambda: not listening.is_heard, what="the end of the connection")
    finally:
        is_over.set()
        thread.join(LONG)


def test_a_sign_changes_nothing(store: Store) -> None:
    """On SQLite nobody listens, and none is given."""
    move(store, 200)
    before = routing.read(store, "shop")
    notices.give_sign(store, "shop")
    assert routing.read(store, "shop") == before
