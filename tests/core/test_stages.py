"""Where each stage of a plan puts traffic."""

from __future__ import annotations

import pytest

from changeover.domain.routing import Change, Mode, RoutingState, apply
from changeover.domain.stages import change_for, has_share, has_users
from changeover.plan.model import Plan

PHASES = [
    {"phase": "shadow", "soak": 0},
    {"phase": "beta", "percent": 5, "segments": ["beta"], "soak": 0},
    {"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]},
    {"phase": "full", "soak": 0},
]


def the_plan(**changes: object) -> Plan:
    document: dict[str, object] = {
        "migration": "shop",
        "systems": {
            "baseline": {"name": "old", "url": "http://127.0.0.1:8101"},
            "candidate": {"name": "new", "url": "http://127.0.0.1:8102"},
        },
        "routing": {
            "listen": "127.0.0.1:8100",
            "segments": {"beta": {"header": "x-cohort", "any_of": ["beta"]}},
        },
        "shadow": {"sample": "10%"},
        "phases": PHASES,
    }
    return Plan.model_validate({**document, **changes})


@pytest.mark.parametrize(("number", "mode", "buckets", "segments"), [
    (0, Mode.SHADOW, 0, ()),
    (1, Mode.GRADUAL, 500, ("beta",)),
    (2, Mode.GRADUAL, 5_000, ("beta",)),
    (3, Mode.CANDIDATE_ONLY, 10_000, ("beta",)),
], ids=["shadow", "beta", "gradual", "full"])
def test_stage_says_mode_users_and_copies(
    number: int, mode: Mode, buckets: int, segments: tuple[str, ...]
) -> None:
    """Every stage copies the plan's sample, keeps segments moved before, takes those again that
    were rolled back, and names its epoch."""
    plan = the_plan()
    change = change_for(plan.stages()[number], plan, 3)
    assert change == Change(
        mode=mode, weight=buckets, segments=segments, kept=(), kept_routes=(), shadow_sample=1_000,
        expected_epoch=3)


def test_plan_without_shadow_copies_nothing() -> None:
    """What an earlier plan copied ends with the next stage."""
    plan = the_plan(shadow=None, phases=PHASES[1:])
    assert change_for(plan.stages()[0], plan, 0).shadow_sample == 0


def test_stage_has_its_share_once_its_change_is_applied() -> None:
    """A stage that was entered before a kill is not entered again."""
    plan, state = the_plan(), RoutingState("shop")
    for stage in plan.stages():
        assert not has_share(state, stage, plan)
        state = apply(state, change_for(stage, plan, state.epoch))
        assert has_share(state, stage, plan)


@pytest.mark.parametrize("lost", [
    {"weight": 1_000}, {"segments": ()}, {"shadow_sample": 0}, {"mode": Mode.BASELINE_ONLY},
], ids=str)
def test_stage_that_lost_a_part_does_not_have_its_share(lost: dict[str, object]) -> None:
    """After a rollback of a part the stage's gates know that it is smaller."""
    plan = the_plan()
    beta = plan.stages()[1]
    state = apply(RoutingState("shop"), change_for(beta, plan, 0))
    smaller = apply(state, Change(**lost))  # type: ignore[arg-type]
    assert not has_share(smaller, beta, plan)


def test_less_copying_takes_no_user_from_a_stage() -> None:
    """An operator who stops copying at night has rolled nobody back: no gate says so."""
    plan = the_plan()
    beta = plan.stages()[1]
    state = apply(RoutingState("shop"), change_for(beta, plan, 0))
    fewer = apply(state, Change(shadow_sample=0))
    assert has_users(fewer, beta, plan) and not has_share(fewer, beta, plan)
    assert not has_users(apply(fewer, Change(weight=100)), beta, plan)
