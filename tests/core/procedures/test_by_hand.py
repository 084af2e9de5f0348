"""What people do by hand does what its name says, or nothing."""

from __future__ import annotations

import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.routing import Change, Mode
from changeover.errors import TransitionRefused
from changeover.procedures import by_hand
from changeover.site.site import Site
from changeover.store import routing

ANA = Author("ana", "the bug is fixed")
WAYS: dict[Mode, list[Change]] = {
    Mode.BASELINE_ONLY: [],
    Mode.SHADOW: [Change(mode=Mode.SHADOW, shadow_sample=100)],
    Mode.PARALLEL: [Change(mode=Mode.PARALLEL)],
    Mode.GRADUAL: [Change(mode=Mode.GRADUAL, weight=5_000)],
    Mode.CANDIDATE_ONLY: [
        Change(mode=Mode.GRADUAL, weight=9_000), Change(mode=Mode.CANDIDATE_ONLY)],
}


@pytest.mark.parametrize("mode", WAYS)
def test_recover_moves_nobody_when_nothing_is_rolled_back(site: Site, mode: Mode) -> None:
    """The second of two who follow the same runbook, or whoever has the wrong home."""
    for change in WAYS[mode]:
        routing.change(site.store, site.migration, change, ANA, now=clock.now())
    before = routing.read(site.store, site.migration)
    assert before.mode is mode
    with pytest.raises(TransitionRefused, match="because nothing is rolled back"):
        by_hand.recover(site, ANA)
    assert routing.read(site.store, site.migration) == before
