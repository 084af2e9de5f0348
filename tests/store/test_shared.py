"""Several migrations in one store, each with a home of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.rollbacks import Cause
from changeover.domain.routing import Change, Mode
from changeover.errors import Refused
from changeover.procedures import rollback, traffic
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import heartbeats, plans, routing
from changeover.store.engine import Store
from tests.store.conftest import shop


def test_the_observer_of_one_migration_is_no_sign_of_life_of_another(store: Store) -> None:
    """Else nobody would notice that nobody watches."""
    heartbeats.beat(store, heartbeats.service_of("shop", "observer"), pid=7, now=clock.now())
    heartbeats.beat(store, "flow:3f0c", pid=8, now=clock.now())
    assert [(one.service, one.pid) for one in heartbeats.of(store, "shop")] == [("observer", 7)]
    assert heartbeats.of(store, "sho") == heartbeats.of(store, "other") == []


def test_nobody_moves_users_at_the_gateway_of_another_migration(
    store: Store, tmp_path: Path
) -> None:
    """`--migration` names one of the store; its gateway lies in its own home."""
    plans.register(store, shop().model_copy(update={"migration": "other"}), source="test",
                   now=clock.now())
    home = Home(tmp_path / "home")
    home.create()
    home.save_settings({"migration": "other"})
    site = Site(home, shop(), store)
    with pytest.raises(Refused, match=r"not moved because this home serves other, not shop"):
        traffic.move(site, Change(mode=Mode.SHADOW), Author("ann", "by hand"))
    with pytest.raises(Refused, match="not rolled back because this home serves other"):
        rollback.start(site, Cause("ann", "by hand"))
    assert routing.read(store, "shop").version == 1
