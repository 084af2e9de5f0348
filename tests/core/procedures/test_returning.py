"""A cutover begins where users are, or later: its first stage takes nobody back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.rollout import CutoverStatus
from changeover.domain.routing import Change, Mode
from changeover.domain.stages import change_for
from changeover.errors import Refused
from changeover.procedures.returning import refuse_to_take_back
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import cutovers, plans, routing
from tests.core.procedures.conftest import begun
from tests.integration.conftest import make_plan
from tests.support.ready_store import ready_store

BY = Author("alice", "by hand")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A migration whose plan begins with copies only."""
    store = ready_store(f"sqlite:///{tmp_path / 'store.db'}")
    plan = make_plan(shadow={}, gates={}, triggers=[], phases=[
        {"phase": "shadow", "soak": "1m"},
        {"phase": "gradual", "stages": [
            {"percent": share, "soak": "1m"} for share in (10, 50)]},
        {"phase": "full", "soak": "1m"}])
    plans.register(store, plan, source="test", now=clock.now())
    yield Site(Home(tmp_path), plan, store)
    store.close()


def move(site: Site, **wanted: Any) -> None:
    routing.change(site.store, site.migration, Change(**wanted), BY, now=clock.now())


def end_at(site: Site, key: str) -> None:
    """Have a cutover reach a stage, and end it where it is."""
    run, stage = begun(site, "first"), site.plan.stage(key)
    state = change_for(stage, site.plan, run.epoch)
    routing.change(site.store, site.migration, state, BY, now=clock.now())
    cutovers.enter_stage(site.store, run.id, stage, now=clock.now())
    cutovers.finish(site.store, run.id, CutoverStatus.STOPPED, outcome="", now=clock.now())


def test_first_stage_takes_nobody_back_and_the_stage_that_fits_is_named(site: Site) -> None:
    """After `changeover end`, whether the first stage has fewer users or copies only."""
    end_at(site, "gradual-50")
    run = begun(site, "second")
    for key in ("shadow", "gradual-10"):
        with pytest.raises(Refused, match=r"users are on the candidate already") as refused:
            refuse_to_take_back(run, key)
        assert "from_stage=gradual-50" in refused.value.next_step
        assert "`changeover disable`" in refused.value.next_step
    refuse_to_take_back(run, "gradual-50")
    refuse_to_take_back(run, "full")


def test_no_stage_is_named_that_would_be_refused(site: Site) -> None:
    """Users moved by hand further than any cutover came: there is no `from_stage` for them."""
    move(site, mode=Mode.GRADUAL, weight=2_500)
    with pytest.raises(Refused) as refused:
        refuse_to_take_back(begun(site), "gradual-10")
    assert "from_stage" not in refused.value.next_step
    assert "`changeover rollback`" in refused.value.next_step


def test_users_of_a_segment_are_not_taken_back_either(site: Site) -> None:
    """They are on the candidate whatever the percentage."""
    move(site, mode=Mode.GRADUAL, weight=0, segments=("pilots",))
    with pytest.raises(Refused):
        refuse_to_take_back(begun(site), "gradual-50")


@pytest.mark.parametrize("mode", [Mode.BASELINE_ONLY, Mode.SHADOW, Mode.PARALLEL])
def test_with_nobody_on_the_candidate_every_stage_may_be_the_first(site: Site, mode: Mode) -> None:
    """Copies take nobody anywhere."""
    if mode is not Mode.BASELINE_ONLY:
        move(site, mode=mode)
    run = begun(site)
    for stage in site.plan.stages():
        refuse_to_take_back(run, stage.key)
