"""A store that was restored to an earlier state: nobody is told that users went where they did not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.rollbacks import Cause
from changeover.domain.routing import Change, Mode, RoutingState
from changeover.errors import PublishFailed
from changeover.procedures import rollback, traffic
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import plans, publications, routing
from tests.integration.conftest import Bench
from tests.support.ready_store import ready_store

pytestmark = pytest.mark.integration
LATER = RoutingState("bench", mode=Mode.GRADUAL, weight=2_500, version=15, epoch=1)


@pytest.fixture
def known(bench: Bench, tmp_path: Path) -> Iterator[Site]:
    """A gateway and a store that agree."""
    store = ready_store(f"sqlite:///{tmp_path / 'store.db'}")
    plans.register(store, bench.plan, source="test", now=clock.now())
    yield Site(Home(tmp_path), bench.plan, store, bench.gateway)
    store.close()


@pytest.fixture
def site(known: Site) -> Site:
    """The gateway has a quarter of the users at the candidate; the store knows nothing of it."""
    known.gateway.publish(known.plan, LATER)
    return known


def test_a_state_that_the_gateway_does_not_take_is_not_confirmed(site: Site) -> None:
    """It said `confirmed` before, and went on serving what it had."""
    with pytest.raises(PublishFailed, match=r"later than all that the store knows") as failed:
        traffic.publish(site, routing.read(site.store, site.migration))
    assert "`changeover rollback` sends everyone" in str(failed.value)
    last = publications.latest(site.store, site.migration)
    assert last is not None and not last.is_confirmed


def test_nobody_is_moved_from_where_the_store_does_not_know_them(site: Site) -> None:
    """The state stays: its next version could have the number of the one that is served."""
    before = routing.read(site.store, site.migration)
    with pytest.raises(PublishFailed, match=r"later than all that the store knows"):
        traffic.move(site, Change(mode=Mode.PARALLEL, is_by_person=True), Author("t", "t"))
    assert routing.read(site.store, site.migration) == before


def test_a_rollback_is_later_than_what_the_gateway_serves(site: Site) -> None:
    """(1, 2) would be older than (1, 15), and everyone would stay where they were."""
    first, second = (rollback.start(site, Cause("ana", "wrong sums")) for _ in range(2))
    assert first.publication is not None and not first.problem
    state = routing.read(site.store, site.migration)
    assert state.order == (2, 16) and site.gateway.serving(state).is_current
    # said again it is done, once
    assert second.rollback == first.rollback
    traffic.move(site, Change(mode=Mode.BASELINE_ONLY, is_by_person=True), Author("t", "t"))
    state = routing.read(site.store, site.migration)
    assert site.gateway.serving(state).is_current


def test_whoever_was_rolled_back_before_is_rolled_back_again(known: Site) -> None:
    """The store was restored to that rollback; since then users had come again."""
    rollback.start(known, Cause("ana", "wrong sums"))
    known.gateway.publish(known.plan, LATER)
    started = rollback.start(known, Cause("ben", "wrong sums again"))
    assert started.publication is not None and started.rollback.actor == "ben"
    assert known.gateway.serving(routing.read(known.store, known.migration)).is_current


def test_breaking_glass_brings_users_and_store_together(site: Site) -> None:
    """As the message says; from then on the gateway follows."""
    site.gateway.break_glass(reason="wrong sums", actor="ana", now=clock.now())
    state = routing.change(site.store, site.migration, Change(mode=Mode.EMERGENCY_ROLLBACK),
                           Author("ana", "wrong sums"), now=clock.now())
    assert site.gateway.reconcile(site.plan, state)
    traffic.move(site, Change(mode=Mode.BASELINE_ONLY, is_by_person=True), Author("t", "t"))
    state = routing.read(site.store, site.migration)
    assert site.gateway.serving(state).is_current


def test_a_publication_that_somebody_overtook_is_none_of_this(known: Site) -> None:
    """A later state that the store knows is served: that is as good."""
    early, late = (routing.change(
        known.store, known.migration, Change(mode=Mode.GRADUAL, weight=weight),
        Author("t", "t"), now=clock.now()) for weight in (1_000, 5_000))
    known.gateway.publish(known.plan, late)
    traffic.publish(known, early)
    assert known.gateway.serving(late).is_current
