"""Freezes on real databases: begun and ended once, whoever says it again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from changeover.domain.audit import Author
from changeover.domain.freezes import SOON, Freeze
from changeover.errors import Refused
from changeover.store import audit, freezes
from changeover.store.engine import Store

NOW = datetime(2026, 12, 23, 9, tzinfo=UTC)
DAY = timedelta(days=1)


def begin(store: Store, at: datetime, length: timedelta | None, reason: str = "rest") -> Freeze:
    until = None if length is None else at + length
    return freezes.begin(store, Freeze("shop", "ann", reason, at, until))


def kinds(store: Store) -> list[str]:
    assert audit.verify(store, "shop") == []
    return [event.kind for event in audit.events(store, "shop")][1:]


def test_a_duration_that_is_said_again_soon_counts_from_the_first_time(store: Store) -> None:
    """Perhaps the command was killed. Later, it is meant anew: two more days."""
    first = begin(store, NOW, 2 * DAY)
    assert begin(store, NOW + SOON, 2 * DAY) == first
    assert kinds(store) == ["freeze.on"]
    later = begin(store, NOW + DAY, 2 * DAY)
    assert later.until == NOW + 3 * DAY
    assert begin(store, NOW + DAY + SOON, DAY).until == NOW + DAY + SOON + DAY
    assert begin(store, NOW + DAY + SOON, None).until is None
    assert kinds(store) == ["freeze.on"] * 4


def test_a_freeze_is_ended_once_and_saying_so_again_is_fine(store: Store) -> None:
    """Somebody else, who has not ended it, is told that there is none."""
    begin(store, NOW, None)
    for hour in (1, 2):
        ended = freezes.end(
            store, "shop", Author("ann", "over"), now=NOW + timedelta(hours=hour))
        assert ended.ended_at == NOW + timedelta(hours=1)
    assert kinds(store) == ["freeze.on", "freeze.off"]
    with pytest.raises(Refused, match="is not frozen"):
        freezes.end(store, "shop", Author("bob", "over"), now=NOW + DAY)
    begin(store, NOW + DAY, DAY)
    with pytest.raises(Refused, match="is not frozen"):  # it ended by itself
        freezes.end(store, "shop", Author("ann", "over"), now=NOW + 3 * DAY)
