"""A candidate that answers nobody is found within two seconds, and nothing else is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.fast_path import RECENT_SECONDS, Alarm, Ended, FastPath

START = 1_000.0
TIMES = st.lists(st.floats(0, 0.4), min_size=1, max_size=40)


def well() -> FastPath:
    """Return a path whose baseline answers its probes."""
    path = FastPath()
    path.add_probe("baseline", START, is_up=True)
    return path


def fail(path: FastPath, times: Sequence[float], users: int = 3) -> Alarm | None:
    """Let requests of the candidate fail at these seconds; return the first alarm."""
    for number, at in enumerate(times):
        request = Ended(START + at, True, user=f"u{number % users}" if users else "")
        path.add("candidate", request)
        if alarm := path.alarm(START + at):
            return alarm
    return None


def every(pause: float, until: float) -> list[float]:
    """Return times from 0 on."""
    return [number * pause for number in range(int(until / pause) + 1)]


@pytest.mark.parametrize("pause", [0.01, 0.1, 0.25])
def test_candidate_that_fails_everything_is_found_after_a_second(pause: float) -> None:
    """At any traffic of at least a few requests a second."""
    alarm = fail(well(), every(pause, 5))
    assert alarm is not None
    assert alarm.guardrail == "errors"
    assert START + 1 <= alarm.at <= START + 1 + pause + 1e-6
    assert alarm.requests >= 5


@pytest.mark.parametrize(("times", "users"), [
    (every(0.9, 20), 3), ([0, 0.1, 0.2, 0.3, 0.4, 0.5], 3), (every(0.1, 5), 2),
], ids=["few requests", "less than a second", "two users"])
def test_too_little_is_no_alarm(times: list[float], users: int) -> None:
    """The slower guardrails and triggers see to that."""
    assert fail(well(), times, users) is None


def test_requests_without_keys_count_as_well() -> None:
    """Nobody knows whose they are."""
    assert fail(well(), every(0.1, 5), users=0) is not None


@given(TIMES, st.integers(0, 39))
def test_one_success_begins_the_second_anew(pauses: list[float], which: int) -> None:
    """An alarm is about a second in which nothing succeeded."""
    path, at = well(), 0.0
    succeeded = -RECENT_SECONDS
    for number, pause in enumerate(pauses):
        at += pause
        is_failed = number != which
        succeeded = succeeded if is_failed else at
        path.add("candidate", Ended(START + at, is_failed, user=f"u{number}"))
        alarm = path.alarm(START + at)
        if alarm is not None:
            assert at - succeeded >= 1
            return


def test_alarm_is_told_once_until_something_succeeds() -> None:
    """What goes on failing is no news."""
    path = well()
    assert fail(path, every(0.1, 2)) is not None
    assert fail(path, [2 + each for each in every(0.1, 2)]) is None
    path.add("candidate", Ended(START + 5, False))
    assert fail(path, [5 + each for each in every(0.1, 2)]) is not None


def test_nothing_is_done_when_the_baseline_fails_too_or_is_unknown() -> None:
    """There would be no way back that helps."""
    assert fail(FastPath(), every(0.1, 5)) is None
    down = FastPath()
    down.add_probe("baseline", START, is_up=False)
    assert fail(down, every(0.1, 5)) is None
    failing = well()
    for at in every(0.1, 1):
        failing.add("baseline", Ended(START - 1 + at, True))
    assert fail(failing, every(0.1, 5)) is None


@pytest.mark.parametrize(("failed", "requests", "users"), [
    (0, 5, 3), (1, 6, 3), (5, 9, 3), (10, 13, 5), (25, 30, 10)])
def test_more_must_fail_where_failures_are_usual(failed: int, requests: int, users: int) -> None:
    """A system that fails one in five fails five in a row every few thousand requests."""
    def alarm(number: int, of: int) -> Alarm | None:
        path = well()
        for index in range(50):
            path.add("baseline", Ended(START, index < failed))
        # 1.5 seconds in all: long enough, and within the last three
        return fail(path, [1.5 * n / (number - 1) for n in range(number)], users=of)

    assert alarm(requests, users) is not None
    assert alarm(requests - 1, users) is None
    assert alarm(requests, users - 1) is None


def test_candidate_that_is_down_is_found_by_its_probes_at_little_traffic() -> None:
    """Two failed probes, and three failed requests."""
    path = well()
    assert fail(path, [0.5, 1.2, 1.4]) is None
    path.add_probe("candidate", START + 1, is_up=False)
    assert path.alarm(START + 1.5) is None
    path.add_probe("candidate", START + 2, is_up=False)
    alarm = path.alarm(START + 2)
    assert alarm is not None
    assert (alarm.guardrail, alarm.requests) == ("down", 3)


def test_failed_probes_alone_or_beside_successes_are_no_alarm() -> None:
    """A health address may fail while users are served, and nobody may be there."""
    path = well()
    for at in (1, 2):
        path.add_probe("candidate", START + at, is_up=False)
    assert path.alarm(START + 2) is None
    assert fail(path, [1.2, 2.1]) is None
    path.add("candidate", Ended(START + 2.2, False))
    assert fail(path, [2.3, 2.4]) is None


@given(st.floats(RECENT_SECONDS + 0.1, 10_000), st.booleans())
def test_a_step_of_the_clock_or_a_gap_is_no_second_of_failures(by: float, is_back: bool) -> None:
    """Some failures before it and some after it, each within a moment."""
    path, step = FastPath(), -by if is_back else by
    path.add_probe("baseline", START, is_up=True)
    assert fail(path, every(0.05, 0.2)) is None
    path.add_probe("baseline", START + step, is_up=True)
    later = [step + each for each in every(0.05, 0.15)]
    assert fail(path, later) is None


def test_old_failures_are_no_alarm() -> None:
    """An observer that comes back after a pause reads them, and they are over."""
    path = well()
    for number, at in enumerate(every(0.1, 2)):
        path.add("candidate", Ended(START + at, True, user=f"u{number}"))
    assert path.alarm(START + 2 + RECENT_SECONDS + 1) is None


def test_guardrails_that_are_off_stay_quiet() -> None:
    """The plan said so, with a reason."""
    path = FastPath(frozenset())
    path.add_probe("baseline", START, is_up=True)
    assert fail(path, every(0.1, 5)) is None
