"""Users return in steps: who goes when, whoever is killed, and nobody twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from changeover.domain.gradual_return import Return, of_document
from changeover.domain.routing import (
    BUCKETS,
    Change,
    Mode,
    RoutingState,
    System,
    apply,
    decide,
    explain,
)

START = datetime(2026, 5, 4, 3, 0, tzinfo=UTC)


@st.composite
def returns(draw: st.DrawFn) -> Return:
    """Any return that a plan may ask for."""
    steps = draw(st.integers(2, 100))
    over = timedelta(seconds=draw(st.integers(steps - 1, 86_400)))
    return Return(START, over, steps, draw(st.integers(0, BUCKETS)))


def begun(plan: Return, segments: tuple[str, ...] = ()) -> RoutingState:
    """The state before the first step."""
    if plan.weight == BUCKETS:
        return RoutingState("m", Mode.CANDIDATE_ONLY, BUCKETS)
    return RoutingState("m", Mode.GRADUAL, plan.weight, segments)


def stepped(plan: Return, state: RoutingState, seconds: list[float]) -> list[RoutingState]:
    """Every state that whoever looks at these moments makes of it."""
    found = [state]
    for second in seconds:
        change = plan.change_at(found[-1], START + timedelta(seconds=second))
        if change is not None:
            found.append(apply(found[-1], change))
    return found


@given(plan=returns(), looks=st.lists(st.floats(0, 90_000), max_size=30))
def test_shares_only_fall_and_end_at_nobody(plan: Return, looks: list[float]) -> None:
    """However late or unordered somebody looks: also with a clock that was set back."""
    states = stepped(plan, begun(plan, ("beta",)), looks)
    for before, after in pairwise(states):
        assert after.weight <= before.weight
        assert after.segment_weight <= before.segment_weight or after.mode is not Mode.RETURNING
    last = stepped(plan, states[-1], [plan.over.total_seconds()])[-1]
    assert (last.mode, last.weight, last.segments) == (Mode.EMERGENCY_ROLLBACK, 0, ())
    assert last.epoch == 1


@given(plan=returns(), killed=st.floats(0, 86_400), later=st.floats(0, 86_400))
def test_whoever_goes_on_after_a_kill_does_what_was_due(
    plan: Return, killed: float, later: float
) -> None:
    """The time between is not added: at the same moment the share is the same as without a kill."""
    away, back = sorted((killed, later))
    watched = stepped(plan, begun(plan), [0, *range(0, int(back), 600), away, back])[-1]
    known = of_document(plan.start, plan.document())
    was_killed = stepped(known, stepped(plan, begun(plan), [0])[-1], [back])[-1]
    assert (was_killed.mode, was_killed.weight) == (watched.mode, watched.weight)


@given(plan=returns())
def test_steps_are_equal(plan: Return) -> None:
    """No step takes more than its part of the users, and the first one is at once."""
    lefts = [plan.weight] + [plan.left_after(step).weight for step in range(1, plan.steps + 1)]
    parts = [before - after for before, after in pairwise(lefts)]
    assert max(parts) - min(parts) <= 1
    assert plan.due_at(1) == plan.start
    assert plan.due_at(plan.steps) == plan.end
    for step in range(1, plan.steps + 1):
        assert plan.step_at(plan.due_at(step)) == step


@given(plan=returns(), key=st.text(min_size=1, max_size=20), is_in=st.booleans())
def test_who_is_back_stays_back(plan: Return, key: str, is_in: bool) -> None:
    """Users and users of segments alike: once at the baseline, never at the candidate again."""
    segments = frozenset({"beta"}) if is_in else frozenset()
    looks = [plan.over.total_seconds() * part / 20 for part in range(21)]
    states = stepped(plan, begun(plan, ("beta",)), looks)
    systems = [decide(state, key, segments) for state in states]
    back = systems.index(System.BASELINE)
    assert set(systems[back:]) == {System.BASELINE}


def test_nobody_is_left_at_the_candidate_by_a_segment_that_is_kept() -> None:
    """A segment that was rolled back alone stays at the baseline while the others return."""
    state = RoutingState("m", Mode.GRADUAL, 10_000, ("beta",), kept=("vip",))
    state = apply(state, Change(mode=Mode.RETURNING, weight=9_000, segment_weight=9_000))
    assert decide(state, "anna", frozenset({"vip"})) is System.BASELINE


def test_a_user_without_a_key_returns_with_the_first_step() -> None:
    """Without a key there is no bucket, and nothing would keep such a user at one system."""
    state = RoutingState("m", Mode.GRADUAL, 5_000, ("beta",))
    assert decide(state, None, frozenset({"beta"})) is System.CANDIDATE
    state = apply(state, Change(mode=Mode.RETURNING, weight=4_500, segment_weight=9_000))
    found = explain(state, None, frozenset({"beta"}))
    assert found.system is System.BASELINE
    assert found.because == "a request without a key stays at the baseline (returning 45 %)"
    assert state.describe() == "returning 45 % + beta (90 %) (version 1, epoch 1)"


def test_what_is_urgent_ends_a_return_in_the_epoch_that_it_began() -> None:
    """One rollback, one record, one `rollback/main`: whoever makes it immediate adds none."""
    state = RoutingState("m", Mode.GRADUAL, 5_000, epoch=3)
    state = apply(state, Change(mode=Mode.RETURNING, weight=4_500, segment_weight=9_000))
    assert state.epoch == 4
    state = apply(state, Change(mode=Mode.EMERGENCY_ROLLBACK))
    assert (state.mode, state.weight, state.epoch) == (Mode.EMERGENCY_ROLLBACK, 0, 4)
