"""Gaps, late seconds, steps of the clock and restarts: they neither reset a trigger nor fire it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.trigger import TriggerState
from changeover.analysis.window import Sample
from changeover.observer.seconds import Seconds
from changeover.observer.watch import Watch
from tests.core.observer.test_watch import plan

BAD, GOOD, NOTHING = "bad", "good", "nothing"
RUN = st.lists(st.sampled_from([BAD, GOOD]), min_size=1, max_size=30)
WITH_GAPS = st.lists(st.sampled_from([BAD, GOOD, NOTHING]), min_size=1, max_size=30)
START = 1000
Told = list[tuple[str, int]]


def watching(seconds: int = 3) -> Watch:
    """Return a watch of one trigger that fires after some bad seconds, and is over after two."""
    return Watch(plan(**{"for": f"{seconds}s", "over": "1s", "clear_for": "2s"}))


def sample(look: str, at: int) -> list[Sample]:
    """Return what a second measured; nothing in a gap."""
    errors = {"timeout": 10} if look == BAD else {}
    return [] if look == NOTHING else [Sample("candidate", at, requests=20, errors=errors)]


def run(watch: Watch, looks: Sequence[str], start: int = START) -> Told:
    """Step through one look each second; return what was told, with its second."""
    told: Told = []
    for at, look in enumerate(looks, start):
        watch.feed(sample(look, at))
        told += [("fired", firing.at) for _, firing in watch.step(at)]
        told += [("over", cleared.at) for cleared in watch.pop_cleared()]
    return told


def remembered(watch: Watch) -> TriggerState:
    """Return what the trigger remembers, without which second it saw last."""
    return replace(watch.states["errors"], true_at=None, back_at=None)


@given(WITH_GAPS, st.integers(0, 30), st.integers(0, 4))
def test_a_restart_at_any_second_changes_nothing(
    looks: list[str], killed_after: int, seconds: int
) -> None:
    """An observer that goes on from what was noted tells what the one that was killed would."""
    whole = run(watching(seconds), looks)
    first, second = looks[:killed_after], looks[killed_after:]
    killed = watching(seconds)
    told = run(killed, first)
    successor = watching(seconds)
    successor.feed(each for at, look in enumerate(looks, START) for each in sample(look, at))
    successor.resume(killed.states, since=killed.since)
    assert told + run(successor, second, START + len(first)) == whole


@given(RUN, st.integers(1, 100))
def test_a_gap_neither_resets_nor_fires(looks: list[str], gap: int) -> None:
    """However long nothing is measured: nothing is told, and nothing is forgotten."""
    watch = watching()
    run(watch, looks)
    before = remembered(watch)
    assert run(watch, [NOTHING] * gap, START + len(looks)) == []
    assert remembered(watch) == before


@given(RUN, RUN, st.integers(3, 4000))
def test_a_clock_that_steps_forwards_is_a_gap(
    before: list[str], after: list[str], skipped: int
) -> None:
    """The seconds that never were are judged as seconds without data."""
    watch, gapped = watching(), watching()
    seconds = Seconds(START)
    end = START + len(before)
    seconds.due(end, read_to=end, most=10_000)
    jumped = seconds.due(end + skipped, read_to=end + skipped, most=10_000)
    assert (jumped.set_back_to, len(jumped.seconds)) == (None, skipped)
    told = run(watch, [*before, *[NOTHING] * len(jumped.seconds), *after])
    known = run(gapped, [*before, NOTHING, *after])
    assert [kind for kind, _ in told] == [kind for kind, _ in known]


@given(RUN, st.integers(3, 4000))
def test_a_clock_that_steps_back_neither_resets_nor_fires(looks: list[str], by: int) -> None:
    """What was remembered stays, the step itself tells nothing, and seconds go on at once."""
    watch, seconds = watching(), Seconds(START - by)
    run(watch, looks)
    end = START + len(looks)
    seconds.due(end, read_to=end, most=10_000)
    before = remembered(watch)
    stepped = seconds.due(end - by, read_to=end, most=10_000)
    assert stepped.set_back_to == end - by
    watch.set_back(end - by)
    assert (list(stepped.seconds), remembered(watch)) == ([], before)
    assert list(seconds.due(end - by + 1, read_to=end, most=10_000).seconds) == [end - by]


@given(st.integers(3, 4000))
def test_a_hold_completes_over_a_step_back(by: int) -> None:
    """Three bad seconds before the step and some after it make up the whole."""
    watch = watching(6)
    assert run(watch, [BAD] * 4) == []
    watch.set_back(START + 4 - by)
    # the second after the step has no known one before it, and does not count
    assert run(watch, [BAD] * 5, START + 4 - by) == [("fired", START + 4 - by + 3)]


def test_what_was_measured_before_a_step_back_is_not_seen_again() -> None:
    """Seconds that come for a second time are judged by what happens in them now."""
    watch = watching(0)
    run(watch, [GOOD] * 5 + [BAD] * 5)
    watch.set_back(START + 3)
    assert run(watch, [NOTHING] * 10, START + 3) == []


@given(RUN, st.integers(0, 30), st.sampled_from([BAD, GOOD]))
def test_a_late_second_judges_nothing_again(looks: list[str], which: int, late: str) -> None:
    """A second that was judged stays judged, whatever the log brings of it later."""
    watch = watching()
    run(watch, looks)
    states = watch.states
    watch.feed(sample(late, START + which % len(looks)))
    assert watch.states == states
    assert watch.pop_cleared() == []


@given(st.lists(st.integers(1, 3), min_size=1, max_size=20))
def test_every_second_is_judged_once_and_in_order(steps: list[int]) -> None:
    """Whatever the pauses of the observer are."""
    seconds, now, found = Seconds(START), START, []
    for each in steps:
        now += each
        found += seconds.due(now, read_to=now, most=100).seconds
    assert found == list(range(START, now))


def test_a_clock_that_is_slewed_back_a_little_waits() -> None:
    """A second or two are caught up; no second is judged twice."""
    seconds = Seconds(START)
    seconds.due(START + 10, read_to=START + 10, most=100)
    assert seconds.due(START + 9, read_to=START + 10, most=100).set_back_to is None
    assert list(seconds.due(START + 11, read_to=START + 11, most=100).seconds) == [START + 10]


def test_firing_and_ending_are_told_apart() -> None:
    """It fires once, is over once, and may then fire again."""
    watch = watching()
    told = run(watch, [BAD] * 5 + [GOOD] * 5 + [BAD] * 5)
    assert told == [("fired", START + 3), ("over", START + 7), ("fired", START + 13)]
