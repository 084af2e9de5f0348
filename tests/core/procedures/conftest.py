"""Procedures with a real store and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover import clock
from changeover.procedures.steps import CutoverRun
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import cutovers, plans
from tests.integration.conftest import make_plan
from tests.support.ready_store import ready_store


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A migration that nobody carries out."""
    store = ready_store(f"sqlite:///{tmp_path / 'store.db'}")
    plan = make_plan()
    plans.register(store, plan, source="test", now=clock.now())
    yield Site(Home(tmp_path), plan, store)
    store.close()


def begun(site: Site, flow_run_id: str = "one") -> CutoverRun:
    """Begin a cutover."""
    cutover = cutovers.begin(
        site.store, site.migration, flow_run_id=flow_run_id, now=clock.now())
    return CutoverRun(site, cutover, flow_run_id)
