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
from changeover.store.engine import Store
from tests.integration.conftest import Bench

pytestmark = pytest.mark.integration
LATER = RoutingState("bench", mode=Mode.GRADUAL, weight=2_500, version=15, epoch=1)


@pytest.fixture
def known(bench: Bench, tmp_path: Path) -> Iterator[Site]:
    """A gateway and a store that agree."""
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}", create=True)
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
        traffic.move(site, Change(mode=Mode.PARALLEL, is_by_person=True), Author("t", "t"))
    assert "changeover rollback --break-glass" in str(failed.value)
    last = publications.latest(site.store, site.migration)
    assert last is not None and not last.is_confirmed
    started = rollback.start(site, Cause("ana", "wrong sums"))
    # (1, 2) is older than (1, 15): everyone would still be where they were
    assert started.publication is None and "later than all" in started.problem


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
