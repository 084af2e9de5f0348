"""A store that does not answer at all, neither yes nor no."""

from __future__ import annotations

import pytest

from changeover.domain.routing import Mode
from changeover.observer.throttle import LogOnce
from changeover.observer.traffic import Traffic
from changeover.store import audit, rollbacks
from tests.integration.observer.conftest import Start
from tests.support.processes import wait_for
from tests.support.stuck_store import StuckStore

pytestmark = pytest.mark.integration


def test_stuck_store_does_not_delay_a_rollback(start: Start) -> None:
    """Users are moved first, in time, and the answer that comes later does no harm.

    1. The rollback waits for the store, and moves the traffic without it.
    2. The store answers: the transaction that hung is carried out after all.
    3. Following the store reconciles: one rollback, one event, the routes of the store.
    """
    watched = start(observe=False)
    state = watched.move(Mode.GRADUAL, 5000)
    stuck = StuckStore(watched.store)
    traffic = Traffic(watched.site(stuck), LogOnce(), lambda: None)
    traffic.update(state)
    assert traffic.roll_back("it burns") is not None
    assert watched.gateway.journal() is not None
    assert not traffic.is_on_users
    wait_for(lambda: (watched.gateway.served() or (0, 0))[0] == 1, what="safe routes")
    wait_for(lambda: stuck.waiting == 1, what="the transaction")  # not answered yet
    stuck.answers.set()
    wait_for(lambda: stuck.waiting == 0 and watched.state().mode is Mode.EMERGENCY_ROLLBACK)

    def followed() -> bool:
        traffic.follow()
        return watched.gateway.journal() is None

    wait_for(followed, what="reconciled")
    wait_for(lambda: watched.gateway.served() == watched.state().order, what="routes")
    kinds = [event.kind for event in audit.events(watched.store, "bench")]
    assert kinds.count("rollback.gateway_first") == kinds.count("rollback.started") == 1
    assert "break_glass.used" not in kinds
    assert len(rollbacks.all_of(watched.store, "bench")) == 1
