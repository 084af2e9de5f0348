"""Signs of life: who is waited for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from changeover import clock
from changeover.cli.gateway import _require_room
from changeover.errors import InvalidInput
from changeover.store import heartbeats
from changeover.store.engine import Store


def names(store: Store) -> set[str]:
    return {beat.service for beat in heartbeats.of(store, "shop")}


def beat(store: Store, name: str, *, hours: int = 0) -> None:
    at = clock.now() - timedelta(hours=hours)
    heartbeats.beat(store, heartbeats.service_of("shop", name), pid=1, now=at)


def test_a_service_that_ended_in_order_is_not_waited_for(store: Store) -> None:
    """The others are."""
    beat(store, "shadow edge-1")
    beat(store, "shadow edge-2")
    heartbeats.forget(store, "shop/shadow edge-1")
    assert names(store) == {"shadow edge-2"}


def test_a_node_that_compared_the_day_before_is_gone(store: Store) -> None:
    """The main machine's services never are: somebody must see that they are silent."""
    beat(store, "shadow edge-1", hours=23)
    for name in ("shadow edge-2", "shadow", "observer"):
        beat(store, name, hours=25)
    assert names(store) == {"shadow edge-1", "shadow", "observer"}


def test_a_name_that_the_table_has_no_room_for_is_refused() -> None:
    """Of nodes that compare: others have no service of their own."""
    _require_room("m" * 63, "edge-7890")
    with pytest.raises(InvalidInput, match="up to 9 characters"):
        _require_room("m" * 63, "edge-78901")
