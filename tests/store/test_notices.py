"""Who follows a routing state hears of a new one at once, where the database can say so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.routing import Change, Mode
from changeover.errors import StoreError
from changeover.store import notices, routing
from changeover.store.engine import Store


@pytest.fixture
def heard(store: Store) -> Iterator[Iterator[bool]]:
    """What a follower of shop hears, asked for a tenth of a second each time."""
    if store.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no notifications")
    with notices.listening(store, "shop", seconds=0.1) as changes:
        yield changes


def move(store: Store, weight: int) -> None:
    routing.change(store, "shop", Change(mode=Mode.GRADUAL, weight=weight),
                   Author("test", "test"), now=clock.now())


def next_change(changes: Iterator[bool]) -> bool:
    """Return whether one is heard of soon."""
    return any(next(changes) for _ in range(50))


def test_a_change_is_heard_of_when_it_is_committed(store: Store, heard: Iterator[bool]) -> None:
    """And nothing is while nothing changes, or another migration does."""
    assert not next(heard)
    move(store, 100)
    assert next_change(heard)
    assert routing.read(store, "shop").weight == 100
    with store.begin() as session:
        notices.notify_in(session, "another")
    assert not next(heard)


def test_a_connection_that_ended_is_an_error_of_the_store(
    store: Store, heard: Iterator[bool]
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
