"""Back-pressure: what it does for any sequence of probes, and what it never does."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.back_pressure import (
    MOST_DOUBLINGS,
    RELAPSE_SECONDS,
    Action,
    BackPressureState,
    Level,
    decide,
    judge,
)
from changeover.plan.health import BackPressureSpec

SPEC = BackPressureSpec()
GOOD, SLOW, NONE = 0.01, 0.25, None
probes = st.lists(st.sampled_from([GOOD, SLOW, NONE]), max_size=300)
Acted = list[tuple[float, Action]]


def run(
    answers: list[float | None], spec: BackPressureSpec = SPEC,
    state: BackPressureState | None = None, start: float = 0.0,
) -> tuple[BackPressureState, Acted]:
    """Take a probe each second; return the last state and what was done when."""
    state, acted = state or BackPressureState(), []
    for number, seconds in enumerate(answers):
        state, action = decide(spec, state, seconds, start + number)
        if action is not None:
            acted.append((start + number, action))
    return state, acted


@pytest.mark.parametrize(("seconds", "level"), [
    (0.0, Level.NORMAL), (0.2, Level.NORMAL), (0.2001, Level.SLOW), (0.2999, Level.SLOW),
    (0.3, Level.FROZEN), (None, Level.FROZEN),
])
def test_a_probe_is_slow_above_200_ms_and_frozen_at_300(
    seconds: float | None, level: Level
) -> None:
    """The limits of the plan's defaults."""
    assert judge(SPEC, seconds) is level


def test_slow_answers_bring_back_pressure_and_good_ones_end_it() -> None:
    """Two slow probes, then five seconds of good ones."""
    _, acted = run([SLOW, SLOW, *[GOOD] * 7])
    assert [(at, str(action.level), action.reason) for at, action in acted] == [
        (1, "slow", "slower than 200 ms in 2 probes in a row"),
        (7, "normal", "good probes for 5 s"),
    ]


def test_no_answers_bring_the_emergency_also_during_back_pressure() -> None:
    """Slow becomes frozen when answers stay away, and never the other way round."""
    _, acted = run([SLOW, SLOW, NONE, NONE, SLOW, SLOW, SLOW])
    assert [str(action.level) for _, action in acted] == ["slow", "frozen"]


@given(probes)
def test_one_bad_probe_alone_does_nothing(answers: list[float | None]) -> None:
    """Whoever is relieved was bad `bad_probes` times in a row."""
    _, acted = run(answers)
    for at, action in acted:
        if action.level is not Level.NORMAL:
            assert all(answers[int(at) - back] is not GOOD for back in range(SPEC.bad_probes))


@given(probes)
def test_nothing_is_undone_before_five_good_seconds(answers: list[float | None]) -> None:
    """Every probe of the last five seconds was good, at least six of them."""
    _, acted = run(answers)
    for at, action in acted:
        if action.level is Level.NORMAL:
            assert all(answers[int(at) - back] is GOOD for back in range(6))


@given(probes)
def test_levels_only_worsen_until_they_are_normal_again(answers: list[float | None]) -> None:
    """No action repeats the one before, and frozen never becomes merely slow."""
    _, acted = run(answers)
    levels = [Level.NORMAL, *(action.level for _, action in acted)]
    for before, after in pairwise(levels):
        assert after is Level.NORMAL or list(Level).index(after) > list(Level).index(before)


@given(probes)
def test_a_good_system_is_let_go_whatever_was_before(answers: list[float | None]) -> None:
    """No sequence leaves it relieved for ever."""
    state, _ = run(answers)
    needed = int(SPEC.good_for.total_seconds() * 2**MOST_DOUBLINGS) + 2
    state, _ = run([GOOD] * needed, state=state, start=len(answers))
    assert state.level is Level.NORMAL


def test_each_relapse_doubles_the_time_until_it_is_let_go() -> None:
    """A system that is well only while it has no work is not sent work every seven seconds."""
    state, now, waits = BackPressureState(), 0.0, []
    for _ in range(6):
        state, _ = run([SLOW, SLOW], state=state, start=now)
        assert state.level is Level.SLOW
        began, now = now + 2, now + 2
        while state.level is not Level.NORMAL:
            state, _ = decide(SPEC, state, GOOD, now)
            now += 1
        waits.append(now - began - 1)
    assert waits == [5, 10, 20, 40, 80, 80]


def test_relapses_are_forgotten_after_a_quiet_minute() -> None:
    """A system that was well for a minute starts anew."""
    state, _ = run([SLOW, SLOW, *[GOOD] * 7, SLOW, SLOW, *[GOOD] * 12])
    assert (state.level, state.relapses) == (Level.NORMAL, 1)
    quiet = int(RELAPSE_SECONDS) + 2
    state, _ = run([GOOD] * quiet + [SLOW, SLOW], state=state, start=23)
    assert (state.level, state.relapses) == (Level.SLOW, 0)


@pytest.mark.parametrize("jump", [100.0, -100.0], ids=["pause", "clock set back"])
def test_a_gap_between_probes_is_no_good_time(jump: float) -> None:
    """A machine that slept has not shown five good seconds; only its probes count."""
    state, _ = run([SLOW, SLOW, GOOD])
    state, action = decide(SPEC, state, GOOD, 2 + jump)
    assert action is None and state.level is Level.SLOW
    state, _ = run([GOOD] * 5, state=state, start=3 + jump)
    assert state.level is Level.NORMAL


def test_a_good_system_is_let_go_though_every_probe_is_late() -> None:
    """Whatever holds the probes up: each good one counts for a second."""
    state, _ = run([SLOW, SLOW])
    for number in range(1, 6):
        state, action = decide(SPEC, state, GOOD, 1 + 10.0 * number)
        assert action is None
    state, action = decide(SPEC, state, GOOD, 61.0)
    assert action is not None
    assert state.level is Level.NORMAL


def test_bad_probes_around_a_gap_are_not_in_a_row() -> None:
    """One bad answer before a pause and one after it are two single ones."""
    state, _ = run([SLOW])
    state, action = decide(SPEC, state, SLOW, 50.0)
    assert action is None
