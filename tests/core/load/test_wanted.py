"""Which synthetic load is wanted: only while a stage soaks and nothing speaks against it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.domain.rollout import Cutover, CutoverStatus, StageRecord, StageStatus
from changeover.domain.routing import Mode, RoutingState
from changeover.load.wanted import Situation, wanted, why_none
from tests.core.plan.test_hooks import plan_with

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
PLAN = plan_with("{during: [{load: steady, of: gateway}, {load: steady, of: baseline, rate: 1}]}")
STATE = RoutingState("shop", mode=Mode.GRADUAL, weight=5_000, epoch=3)


def stage(key: str, status: StageStatus) -> StageRecord:
    return StageRecord(1, key, PLAN.stage(key).index, status, NOW, NOW)


def cutover(status: CutoverStatus = CutoverStatus.RUNNING, epoch: int = 3) -> Cutover:
    return Cutover(1, "shop", epoch, status, None, NOW)


SOAKING = Situation(STATE, cutover(), (
    stage("gradual-10", StageStatus.PROMOTED), stage("gradual-50", StageStatus.SOAKING)))


def test_the_loads_of_the_stage_that_soaks_run_with_the_paths_of_their_suites() -> None:
    """Each at its own rate, to its own host."""
    found = wanted(PLAN, SOAKING)
    assert [(each.stage, each.number, tuple(a.path for a in each.asked)) for each in found] == [
        ("gradual-50", 1, ("/a", "/b", "/c")), ("gradual-50", 2, ("/a", "/b", "/c"))]
    assert found[0].title == "load steady at 5/s to the gateway in gradual-50"


@pytest.mark.parametrize(("changed", "why"), [
    ({"cutover": None}, "no cutover runs"),
    ({"cutover": cutover(CutoverStatus.STOPPED)}, "no cutover runs"),
    ({"cutover": cutover(epoch=2)}, "a rollback came"),
    ({"state": replace(STATE, mode=Mode.EMERGENCY_ROLLBACK)}, "a rollback came"),
    ({"is_glass_broken": True}, "a rollback came"),
    ({"state": replace(STATE, maintenance=True)}, "users get the maintenance answer"),
    ({"is_paused": True}, "the cutover is paused"),
    ({"stages": (stage("gradual-50", StageStatus.WAITING),)}, "no stage soaks"),
    ({"stages": ()}, "no stage soaks"),
])
def test_whatever_speaks_against_it_ends_all_load(changed: dict[str, object], why: str) -> None:
    """Rollback, break glass, pause, the stage's end: people are told which."""
    seen = replace(SOAKING, **changed)
    assert wanted(PLAN, seen) == ()
    assert why_none(seen) == why


def test_a_candidate_that_back_pressure_spares_gets_no_load() -> None:
    """That of the baseline alone goes on."""
    found = wanted(PLAN, replace(SOAKING, is_withheld=True))
    assert [each.spec.of for each in found] == ["baseline"]


@given(st.lists(st.sampled_from(list(StageStatus)), max_size=3), st.sampled_from(list(Mode)),
       st.integers(2, 4), st.booleans(), st.booleans(), st.booleans())
def test_load_never_runs_without_a_soaking_stage_of_this_epoch(
    statuses: list[StageStatus], mode: Mode, epoch: int, is_paused: bool, is_broken: bool,
    is_maintained: bool,
) -> None:
    """Whatever else is true."""
    keys = ("beta-5", "gradual-10", "gradual-50")
    stages = tuple(stage(key, each) for key, each in zip(keys, statuses, strict=False))
    seen = Situation(
        replace(STATE, mode=mode, maintenance=is_maintained), cutover(epoch=epoch), stages,
        is_paused, is_broken)
    if wanted(PLAN, seen):
        assert StageStatus.SOAKING in statuses
        assert epoch == STATE.epoch
        assert mode is not Mode.EMERGENCY_ROLLBACK
        assert not (is_paused or is_broken or is_maintained)
