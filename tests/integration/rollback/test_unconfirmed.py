"""A gateway that does not confirm: traffic is where it was decided, and the report says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.rollbacks import Cause
from changeover.domain.routing import Change, Mode, RoutingState
from changeover.errors import PublishFailed
from changeover.gateway.publish import Gateway
from changeover.procedures import rollback, traffic
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import plans, publications, routing
from reports import evidence, markdown
from tests.integration.conftest import make_plan
from tests.support.ready_store import ready_store

pytestmark = pytest.mark.integration


@dataclass
class Silent:
    """A migration whose Envoy does not run."""

    site: Site

    def attempts(self) -> list[tuple[tuple[int, int], bool]]:
        return [((one.epoch, one.version), one.is_confirmed)
                for one in publications.all_of(self.site.store, "bench")]


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Silent]:
    home, plan = Home(tmp_path / "home"), make_plan()
    home.create()
    store = ready_store(home.store_url)
    plans.register(store, plan, source="test", now=clock.now())
    gateway = Gateway(home.gateway_files, patience=0.1)
    gateway.prepare(plan, routing.read(store, "bench"))
    yield Silent(Site(home, plan, store, gateway))
    store.close()


def test_rollback_that_the_gateway_did_not_confirm_is_in_the_report(silent: Silent) -> None:
    """Who reads the report sees that nobody knows where users were then."""
    site = silent.site
    done = rollback.start(site, Cause("ann", "it burns"))
    assert done.publication is None
    assert done.state.mode is Mode.EMERGENCY_ROLLBACK
    data = evidence.collect(site.store, site.plan, None, now=clock.now())
    (attempt,) = data.publications
    assert not attempt.is_confirmed
    assert (attempt.epoch, attempt.version) == done.state.order
    text = markdown.render(data)
    assert "0 of 1 publication confirmed" in text
    assert "✗ no" in text and "is in place but not confirmed" in text


def test_move_that_is_not_confirmed_is_recorded_and_raised(silent: Silent) -> None:
    """The state is changed: whoever publishes next, the observer or a retry, finishes it."""
    change = Change(mode=Mode.GRADUAL, weight=1_000)
    with pytest.raises(PublishFailed, match="not confirmed"):
        traffic.move(silent.site, change, Author("ann", "a test"))
    state = routing.read(silent.site.store, "bench")
    assert (state.weight, silent.attempts()) == (1_000, [(state.order, False)])


def test_attempts_that_fail_alike_are_recorded_once(silent: Silent) -> None:
    """The observer tries again every second; one row says it, until something else happens."""
    def fail(state: RoutingState) -> None:
        with pytest.raises(PublishFailed):
            traffic.publish(silent.site, state)

    first, second = RoutingState("bench", version=1), RoutingState("bench", version=2)
    for state in (first, first, second, second, second):
        fail(state)
    assert silent.attempts() == [(first.order, False), (second.order, False)]


def test_failure_that_the_store_cannot_record_is_still_the_gateways(silent: Silent) -> None:
    """Whoever publishes hears of the gateway, although the store is away as well."""
    database = Path(silent.site.home.root / "store.db")
    silent.site.store.close()
    database.write_bytes(b"no database")
    with pytest.raises(PublishFailed):
        traffic.publish(silent.site, RoutingState("bench", version=1))
