"""Triggers: a condition must hold for the whole of its duration."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.trigger import Firing, TriggerState, judge_windows, step
from changeover.analysis.window import Window
from changeover.plan.triggers import TriggerSpec

BAD, GOOD, UNKNOWN = "bad", "good", "unknown"
WINDOWS = {
    BAD: Window(seconds=10, requests=100, errors={"timeout": 9}),
    GOOD: Window(seconds=10, requests=100),
    UNKNOWN: Window(seconds=10, requests=3, errors={"timeout": 3}),
}
LOOKS = st.lists(st.sampled_from([BAD, GOOD, UNKNOWN]), max_size=40)


def trigger(seconds: int, **changes: object) -> TriggerSpec:
    """Return a trigger on more than 5 % errors for so many seconds."""
    return TriggerSpec.model_validate({
        "name": "errors", "metric": "error_rate", "above": "5%", "for": f"{seconds}s",
        "min_samples": 10, "action": "rollback", "clear_for": "0s", **changes,
    })


def fired(spec: TriggerSpec, looks: Sequence[str], start: int = 1000) -> list[Firing]:
    """Step a trigger through one look each second; return its firings."""
    state, firings = TriggerState(), []
    for offset, look in enumerate(looks):
        judged = judge_windows(spec, WINDOWS[look], None)
        state, told = step(spec, state, judged, at=start + offset)
        if isinstance(told, Firing):
            firings.append(told)
    return firings


def expected(looks: Sequence[str], duration: int) -> list[int]:
    """Return the seconds of firings by the rule as people read it, without a state machine."""
    seconds = []
    runs: list[list[int]] = [[]]
    for at, look in enumerate(looks):
        if look == GOOD:
            runs.append([])
        if look == BAD:
            runs[-1].append(at)
    for run in runs:
        held = [sum(1 for a in run if a + 1 in run and a + 1 <= at) for at in run]
        seconds += [at for at, length in zip(run, held, strict=True) if length >= duration][:1]
    return seconds


@given(LOOKS, st.integers(0, 6))
def test_trigger_fires_exactly_when_the_rule_says(looks: list[str], duration: int) -> None:
    """Known-true seconds add up until a false one; each hold fires once, when it is complete."""
    at = [firing.at - 1000 for firing in fired(trigger(duration), looks)]
    assert at == expected(looks, duration)


@given(LOOKS)
def test_trigger_with_no_duration_fires_on_the_first_true_look(looks: list[str]) -> None:
    """`for: 0s` means at once."""
    firings = fired(trigger(0), looks)
    assert bool(firings) == (BAD in looks)
    if firings:
        assert firings[0].at == 1000 + looks.index(BAD)


@given(st.integers(1, 20), st.integers(1, 50))
def test_unknown_seconds_do_not_complete_a_hold(held: int, gap: int) -> None:
    """However long nothing is known, it does not count as time that the condition held."""
    looks = [BAD] * held + [UNKNOWN] * gap
    assert fired(trigger(held), looks) == []
    assert fired(trigger(held), [*looks, BAD]) == []


def test_unknown_seconds_do_not_end_a_hold() -> None:
    """What was held before a gap in the data still counts after it."""
    looks = [BAD, BAD, BAD, UNKNOWN, UNKNOWN, BAD, BAD]
    assert [firing.at for firing in fired(trigger(3), looks)] == [1006]


def test_one_good_second_starts_the_hold_anew() -> None:
    """An interruption loses everything that was held."""
    assert fired(trigger(3), [BAD, BAD, BAD, GOOD, BAD, BAD, BAD]) == []


def test_trigger_fires_again_only_after_the_condition_was_false() -> None:
    """A condition that stays true fires once."""
    looks = [BAD] * 10 + [UNKNOWN] * 3 + [BAD] * 5 + [GOOD] + [BAD] * 3
    assert [firing.at for firing in fired(trigger(2), looks)] == [1002, 1021]


def test_firing_says_what_held_and_for_how_long() -> None:
    """The reason carries value, relation, bound, samples and duration."""
    (firing,) = fired(trigger(2), [BAD] * 3)
    assert firing.reason == (
        "error_rate of candidate 9.000 % is above 5.000 % in 100 samples, for 2 s"
    )
    assert (firing.evidence["held_since"], firing.evidence["second"]) == (1000, 1002)


@pytest.mark.parametrize(
    ("own", "baseline", "is_fired"),
    [(30, 10, True), (10, 10, False), (30, 0, False), (0, 0, False)],
    ids=["three times", "equal", "no ratio to zero", "both zero"],
)
def test_ratio_trigger_fires_when_the_ratio_is_exceeded(
    own: int, baseline: int, is_fired: bool
) -> None:
    """For a ratio the condition that fires is that the bound is broken."""
    spec = trigger(0, above=None, ratio_to_baseline=2)
    windows = [
        Window(seconds=10, requests=100, errors={"reset": n} if n else {}) for n in (own, baseline)
    ]
    _, firing = step(spec, TriggerState(), judge_windows(spec, windows[0], windows[1]), at=5)
    assert (firing is not None) == is_fired


def test_up_trigger_fires_on_one_failed_probe_in_a_window_of_one_second() -> None:
    """`up below 1, for 0s, over 1s` is literal: one failed probe is enough."""
    spec = trigger(0, metric="up", above=None, below=1, over="1s")
    judged = judge_windows(spec, Window(seconds=1, probes=1), None)
    _, firing = step(spec, TriggerState(), judged, at=5)
    assert firing is not None


def value(percent: float) -> Window:
    """Return a window with so many errors."""
    return Window(seconds=10, requests=1000, errors={"timeout": round(percent * 10)})


def told(spec: TriggerSpec, percents: Sequence[float]) -> list[str]:
    """Step a trigger through one value each second; return what it told, by name."""
    state, found = TriggerState(), []
    for at, percent in enumerate(percents):
        state, event = step(spec, state, judge_windows(spec, value(percent), None), at=at)
        found += [type(event).__name__] if event else []
    return found


def test_trigger_is_over_only_when_the_value_is_well_back_and_for_long_enough() -> None:
    """A value that only just holds its bound is not back; neither is one that is back shortly."""
    spec = trigger(0, clear_for="2s")  # above 5 %: back at 4.5 %
    assert told(spec, [6, 4.8, 4.8, 4.8, 4.8]) == ["Firing"]
    assert told(spec, [6, 4, 4, 4.8, 4, 4]) == ["Firing"]
    assert told(spec, [6, 4, 4, 4]) == ["Firing", "Cleared"]


@given(st.lists(st.sampled_from([4.6, 5.5]), max_size=60))
def test_value_that_flaps_around_its_bound_is_told_once(percents: list[float]) -> None:
    """Every crossing of the bound would be a message; there is one, and none that it is over."""
    assert told(trigger(0, clear_for="0s"), percents) in ([], ["Firing"])


@given(st.lists(st.sampled_from([0.0, 4.6, 5.5, 9.0]), max_size=60), st.integers(0, 4))
def test_firing_and_clearing_alternate(percents: list[float], seconds: int) -> None:
    """A trigger fires once, is over once, and then may fire again."""
    found = told(trigger(1, clear_for=f"{seconds}s"), percents)
    assert found == ["Firing", "Cleared"] * (len(found) // 2) + ["Firing"] * (len(found) % 2)


@pytest.mark.parametrize(("changes", "bound"), [
    ({}, 0.045),
    ({"clear_at": "1%"}, 0.01),
    ({"above": None, "ratio_to_baseline": 2}, 1.9),
    ({"above": None, "difference_to_baseline": "1%"}, 0.009),
    ({"metric": "up", "above": None, "below": 1}, 1.0),
    ({"metric": "match_rate", "above": None, "below": "90%"}, 0.91),
    ({"metric": "request_rate", "above": None, "at_most": 10}, 11.0),
], ids=["above", "given", "ratio", "difference", "up", "share", "rate"])
def test_value_must_be_back_by_a_tenth_of_its_bound(
    changes: dict[str, object], bound: float
) -> None:
    """Unless the plan says where; a share that must rise by a tenth of what is missing."""
    assert trigger(0, **changes).clear_bound == pytest.approx(bound)


@pytest.mark.parametrize(("changes", "message"), [
    ({"clear_at": "6%"}, "it must be at most 5%, the value of above"),
    ({"above": None, "below": "5%", "clear_at": "4%"}, "it must be at least 5%"),
    ({"above": None, "between": ["1%", "2%"], "clear_at": "1%"}, "does not work with `between`"),
    ({"above": None, "ratio_to_baseline": 2, "clear_at": "much"}, "is not a number"),
])
def test_clearing_bound_that_makes_no_sense_is_refused(
    changes: dict[str, object], message: str
) -> None:
    """A trigger cannot be over while it still fires."""
    with pytest.raises(ValueError, match=message):
        trigger(0, **changes)


def test_trigger_stays_over_for_a_minute_or_as_long_as_it_had_to_hold() -> None:
    """The default of `clear_for`."""
    assert [trigger(seconds, clear_for=None).quiet_for.total_seconds()
            for seconds in (5, 300)] == [60, 300]
