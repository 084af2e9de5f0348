"""Routes that are moved by hand: what a person gets by each wish."""

from __future__ import annotations

from pathlib import Path

import pytest

from changeover.domain.going_back import smaller
from changeover.domain.routing import Change, Mode, RoutingState, apply
from changeover.domain.stages import change_for, everyone
from changeover.errors import InvalidInput
from changeover.procedures.modes_by_hand import _advance_route
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store.engine import Store
from tests.core.test_routes import PLAN


@pytest.fixture
def site(store: Store, tmp_path: Path) -> Site:
    return Site(Home(tmp_path / "home"), PLAN, store)


@pytest.mark.parametrize("moved", ["gradual", "full"])
def test_a_route_of_everyone_comes_back_to_everyone(site: Site, moved: str) -> None:
    """After it went back alone, whether some or all have moved."""
    before = apply(RoutingState("shop"), change_for(PLAN.stages()[2], PLAN, 0))
    if moved == "full":
        before = apply(before, everyone(PLAN))
    kept = apply(before, smaller(PLAN, before, "route:static").change)
    assert kept.kept_routes == ("static",)
    after = apply(kept, _advance_route(site, kept, "static", None))
    assert (after.mode, after.weight, after.routes) == (before.mode, before.weight, before.routes)
    assert after.kept_routes == ()


def test_it_has_no_percentage_of_its_own(site: Site) -> None:
    """Said with what is possible."""
    before = apply(RoutingState("shop"), Change(mode=Mode.GRADUAL, weight=2_500))
    kept = apply(before, smaller(PLAN, before, "route:static").change)
    with pytest.raises(InvalidInput, match="percentage of everything else"):
        _advance_route(site, kept, "static", "50")
    with pytest.raises(InvalidInput, match="no place of its own"):
        _advance_route(site, before, "static", None)
