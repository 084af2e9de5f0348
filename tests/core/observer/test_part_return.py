"""A bad part goes back alone; where it cannot any more, everyone does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from changeover import clock
from changeover.analysis.trigger import Firing
from changeover.domain.audit import Author
from changeover.domain.routing import Change, Mode
from changeover.errors import Refused
from changeover.observer import part_return
from changeover.observer.part_return import PartReturn
from changeover.observer.traffic import Traffic
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import plans, routing
from tests.integration.conftest import make_plan
from tests.support.ready_store import ready_store

FIRING = Firing("cohort", "errors", 7, {}, scope="segment:beta")


@pytest.fixture
def site(tmp_path: Path) -> Any:
    """Half of the users and the segment are at the candidate."""
    store = ready_store(f"sqlite:///{tmp_path / 'store.db'}")
    plan = make_plan()
    plans.register(store, plan, source="test", now=clock.now())
    found = Site(Home(tmp_path), plan, store)
    change(found, mode=Mode.GRADUAL, weight=5_000, segments=("beta",))
    yield found
    store.close()


def change(site: Site, **changes: Any) -> None:
    routing.change(site.store, site.migration, Change(**changes), Author("t", "t"),
                   now=clock.now())


def take_back(site: Site, firing: Firing = FIRING) -> object:
    return PartReturn(cast(Traffic, SimpleNamespace(site=site))).take_back(firing)


def test_everyone_goes_back_when_the_mode_changed_while_a_part_was_to(site: Site) -> None:
    """The trigger was judged a moment before the cutover moved everyone."""
    change(site, mode=Mode.CANDIDATE_ONLY)
    assert take_back(site) is None


def test_a_part_that_nobody_is_moved_of_stays_where_it_is(site: Site) -> None:
    """A person was faster: nobody is at the candidate any more."""
    change(site, mode=Mode.EMERGENCY_ROLLBACK)
    with pytest.raises(Refused):
        take_back(site)


def test_a_route_that_is_back_already_takes_nobody_else_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A route goes back alone also from where everyone is at the candidate."""
    change(site, mode=Mode.CANDIDATE_ONLY)

    def is_back(*_: object) -> None:
        raise Refused("orders is back already")

    monkeypatch.setattr(part_return, "take_part_back", is_back)
    with pytest.raises(Refused, match="orders is back already"):
        take_back(site, replace(FIRING, scope="route:orders"))
