"""Which hooks of a stage are due, what is tried again, when people are asked, what is undone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.domain.hooks import (
    SETTLES,
    Hook,
    Progress,
    When,
    due_before,
    facts_of,
    of_stage,
    to_undo,
)
from changeover.domain.instructions import Instruction, InstructionKind
from changeover.domain.procedures import Step, StepStatus
from changeover.domain.rollout import StageRecord, StageStatus
from changeover.domain.routing import Change, Mode, RoutingState
from changeover.plan.hooks import HookSpec
from changeover.procedures.hook_log import not_run_by_hand
from tests.core.plan.test_hooks import FITTING, plan_with

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
PLAN = plan_with(FITTING)


def record(key: str, status: StageStatus) -> StageRecord:
    return StageRecord(1, key, PLAN.stage(key).index, status, NOW, NOW)


def skip(key: str) -> Instruction:
    return Instruction(1, InstructionKind.SKIP, "ann", "proved", NOW, key)


def due(*known: StageRecord, key: str = "full", left_out: tuple[str, ...] = ()) -> list[str]:
    """Return the steps of the hooks that come before a stage."""
    given_ = [skip(each) for each in left_out]
    return [hook.step for hook in due_before(PLAN, key, known, given_)]


FIFTY = ["before gradual-50 hook 1", "before gradual-50 hook 2"]


def test_hooks_of_the_stage_itself_come_before_its_users() -> None:
    """In the order of the plan."""
    known = [record("beta-5", StageStatus.PROMOTED), record("gradual-10", StageStatus.PROMOTED)]
    assert due(*known, key="gradual-50") == FIFTY
    assert due(*known, key="full") == []


def test_hooks_of_stages_that_were_passed_over_come_first_and_those_left_out_do_not() -> None:
    """`from_stage`: the rollback had undone them. `skip-stage`: people wanted none of it."""
    passed = [record(key, StageStatus.SKIPPED) for key in ("beta-5", "gradual-10", "gradual-50")]
    assert due(*passed) == FIFTY
    assert due(*passed, left_out=("gradual-50",)) == []
    entered = [record("beta-5", StageStatus.PROMOTED), *passed[1:]]
    assert due(*entered) == []


@given(retries=st.integers(0, 20), attempts=st.integers(1, 200))
def test_people_are_asked_after_every_round_of_attempts_each_time_anew(
    retries: int, attempts: int
) -> None:
    """Never before, so that a passing fault wakes nobody; and never twice for one round."""
    spec = HookSpec(suite="smoke", retries=retries)
    asked = [Progress(number, StepStatus.FAILED).asks(spec) for number in range(1, attempts + 1)]
    times = [each for each in asked if each]
    assert times == list(range(1, attempts // (retries + 1) + 1))
    for status in (None, StepStatus.BEGUN, StepStatus.DONE):
        assert Progress(attempts, status).asks(spec) == 0


@pytest.mark.parametrize(("status", "attempt", "following"), [
    (None, 0, 1), (StepStatus.BEGUN, 3, 3), (StepStatus.FAILED, 3, 4),
])
def test_an_attempt_that_was_killed_is_the_same_attempt_again(
    status: StepStatus | None, attempt: int, following: int
) -> None:
    """So its suite is the same run, and its lever has the same key."""
    assert Progress(attempt, status).next_attempt == following


def step(hook: Hook, status: StepStatus, at: datetime, *, is_pulled: bool = True) -> Step:
    return Step("shop", "cutover-1", hook.step, status, "", at, at,
                facts_of(hook, 1, is_pulled=is_pulled))


UP, SMOKE = of_stage(PLAN.stage("gradual-50"), When.BEFORE)


def test_a_lever_that_may_have_acted_is_undone_and_nothing_else() -> None:
    """Begun, failed and done ones; no suite, and nothing that was stopped before it acted."""
    for status in StepStatus:
        (found,) = to_undo(PLAN, [step(UP, status, NOW), step(SMOKE, status, NOW)])
        assert (found.step, found.lever) == ("before gradual-50 hook 1", "down")
    assert to_undo(PLAN, [step(UP, StepStatus.FAILED, NOW, is_pulled=False)]) == []
    undone = Step("shop", "cutover-1", "undo before gradual-50 hook 1", StepStatus.DONE, "", NOW,
                  NOW)
    assert to_undo(PLAN, [step(UP, StepStatus.DONE, NOW), undone]) == []


def test_what_may_still_be_acting_is_waited_for_as_long_as_it_may() -> None:
    """Its undo must not come before its effect."""
    (begun,) = to_undo(PLAN, [step(UP, StepStatus.BEGUN, NOW)])
    assert begun.settled_at == NOW + PLAN.levers["up"].timeout + SETTLES
    (done,) = to_undo(PLAN, [step(UP, StepStatus.DONE, NOW)])
    assert done.settled_at == NOW


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=8, unique=True))
def test_the_newest_is_undone_first(seconds: list[int]) -> None:
    """Whatever the order in which the log gives them."""
    steps = []
    for number, second in enumerate(seconds, 1):
        hook = Hook("gradual-50", When.BEFORE, number, UP.spec)
        steps.append(step(hook, StepStatus.DONE, NOW + timedelta(seconds=second)))
    found = [each.began_at for each in to_undo(PLAN, steps)]
    assert found == sorted(found, reverse=True)
    assert len(found) == len(seconds)


@pytest.mark.parametrize(("weight", "change", "is_told"), [
    (1_000, Change(mode=Mode.GRADUAL, weight=5_000), True),
    (1_000, Change(mode=Mode.CANDIDATE_ONLY), True),
    (0, Change(mode=Mode.GRADUAL, weight=1_000), False),
    (5_000, Change(mode=Mode.CANDIDATE_ONLY), False),
    (5_000, Change(mode=Mode.BASELINE_ONLY), False),
])
def test_who_moves_users_by_hand_is_told_which_hooks_were_not_run(
    weight: int, change: Change, is_told: bool
) -> None:
    """Every stage that is passed by hand."""
    state = RoutingState("shop", mode=Mode.GRADUAL, weight=weight)
    found = not_run_by_hand(PLAN, state, change)
    assert [each.startswith("the hooks of gradual 50 % were not run: before lever up")
            for each in found] == [True] * is_told
