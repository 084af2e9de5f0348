"""Triggers: a condition must hold for the whole of its duration."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.trigger import Firing, TriggerState, step
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
        "min_samples": 10, "action": "rollback", **changes,
    })


def fired(spec: TriggerSpec, looks: Sequence[str], start: int = 1000) -> list[Firing]:
    """Step a trigger through one look each second; return its firings."""
    state, firings = TriggerState(), []
    for offset, look in enumerate(looks):
        state, firing = step(spec, state, WINDOWS[look], None, at=start + offset)
        if firing is not None:
            firings.append(firing)
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
    _, firing = step(spec, TriggerState(), windows[0], windows[1], at=5)
    assert (firing is not None) == is_fired


def test_up_trigger_fires_on_one_failed_probe_in_a_window_of_one_second() -> None:
    """`up below 1, for 0s, over 1s` is literal: one failed probe is enough."""
    spec = trigger(0, metric="up", above=None, below=1, over="1s")
    _, firing = step(spec, TriggerState(), Window(seconds=1, probes=1), None, at=5)
    assert firing is not None
