"""A rollback that comes while a cutover configures finally and disables the baseline."""

from __future__ import annotations

from typing import Any

import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.procedures import Step, StepStatus, of_cutover
from changeover.errors import StaleEpoch
from changeover.flags.state import NewValues
from changeover.procedures import baseline
from changeover.procedures.disabling import configure_finally, disable
from changeover.store import flags, steps
from tests.integration.rollback.conftest import Open, Scene

pytestmark = pytest.mark.integration

ROLLS_BACK = """
import sys
from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.routing import Change, Mode
from changeover.store import routing
from changeover.store.engine import Store
store = Store.open(sys.argv[1])
routing.change(store, "bench", Change(mode=Mode.EMERGENCY_ROLLBACK),
               Author("observer", "it burns"), now=clock.now())
"""


def levers(tmp_path: Any) -> dict[str, Any]:
    """Return levers of the baseline; while `drain` is pulled, a rollback comes."""
    url = f"sqlite:///{tmp_path / 'home' / 'store.db'}"
    return {
        "drain": {"command": ["python", "-c", ROLLS_BACK, url], "timeout": "120s"},
        "off": {"of": "baseline", "post": "/fault?kind=503"},
        "on": {"of": "baseline", "post": "/fault?kind=none"}}


def disabling(scene: Open, tmp_path: Any, *names: str) -> Scene:
    return scene(levers=levers(tmp_path), cutover={
        "disable_baseline": {"levers": [*names], "undo": ["on"], "undo_within": "120s"}})


def test_levers_end_and_are_undone_when_a_rollback_comes_between(
    scene: Open, tmp_path: Any
) -> None:
    """Everyone was sent to the baseline meanwhile: nothing that is left takes it away."""
    site = disabling(scene, tmp_path, "drain", "off")
    with pytest.raises(StaleEpoch):
        disable(site.begin())
    assert site.pulled() == ["drain", "on"]
    assert baseline.is_well(site.place.plan)
    assert not baseline.is_out_of_use(site.place)


def test_last_lever_is_undone_when_a_rollback_came_while_it_was_pulled(
    scene: Open, tmp_path: Any
) -> None:
    """The rollback may have looked at the baseline before the lever worked."""
    site = disabling(scene, tmp_path, "off", "drain")
    with pytest.raises(StaleEpoch):
        disable(site.begin())
    assert site.pulled() == ["off", "drain", "on"]
    assert baseline.is_well(site.place.plan)


def test_baseline_counts_as_out_of_use_from_before_the_first_lever(
    scene: Open, tmp_path: Any
) -> None:
    """A kill between lever and record leaves what a rollback needs to know."""
    site = disabling(scene, tmp_path, "off")
    cutover = site.begin()
    now = clock.now()
    site.bench.fault("503", "baseline")
    steps.save(site.place.store, Step(
        "bench", of_cutover(cutover.id), baseline.DISABLED, StepStatus.BEGUN, "", now, now))
    assert baseline.is_out_of_use(site.place)
    site.roll_back()
    assert baseline.is_well(site.place.plan)


def test_disabling_goes_on_after_a_kill_and_is_done_once(scene: Open, tmp_path: Any) -> None:
    """What was begun is finished by the run that comes next."""
    site = disabling(scene, tmp_path, "off")
    cutover = site.begin()
    now = clock.now()
    steps.save(site.place.store, Step(
        "bench", of_cutover(cutover.id), baseline.DISABLED, StepStatus.BEGUN, "", now, now))
    for _ in range(2):
        assert disable(cutover) == "levers: off"
    assert site.pulled() == ["off"]
    assert not baseline.is_well(site.place.plan)


def test_final_levers_end_when_a_rollback_comes_between(scene: Open, tmp_path: Any) -> None:
    """What the rollback restores is not configured for the candidate again."""
    site = scene(levers=levers(tmp_path), cutover={"final": {"levers": ["drain", "off"]}})
    with pytest.raises(StaleEpoch):
        configure_finally(site.begin())
    assert site.pulled() == ["drain"]


def test_final_flags_never_come_after_safe_ones(scene: Open) -> None:
    """Decided before the rollback, set after it: refused in the same transaction."""
    site = scene(flags={"new": False}, rollback={"safe_flags": {"new": False}})
    epoch = site.begin().epoch
    site.roll_back()
    with pytest.raises(StaleEpoch, match="a rollback came first"):
        flags.set_values(
            site.place.store, "bench", NewValues({"new": True}, expected_epoch=epoch),
            Author("cutover", ""), now=clock.now())
    assert flags.values(site.place.store, "bench") == {"new": False}
