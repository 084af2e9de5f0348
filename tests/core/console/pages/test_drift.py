"""Whether users are where they were decided to be."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.histogram import Histogram
from changeover.analysis.summing import combined
from changeover.analysis.window import MOST_USERS, Sample, Window, combine, fewest
from changeover.console.pages import drift

SEED = 7


def window(users: list[int], *, requests: int = 0, seconds: int = 10) -> Window:
    """Return a window in which users came."""
    kept = {"answer": fewest(users)} if users else {}
    return combine([Sample("baseline", 0, seconds, requests=requests, users=kept)],
                   seconds=seconds)


def some_users(number: int) -> list[int]:
    """Return numbers of users whom the split decided about."""
    drawn = random.Random(SEED)
    return [drawn.randrange(drift.NUMBERS) | 1 for _ in range(number)]


@pytest.mark.parametrize(("groups", "weight", "says", "measured"), [
    (None, 0, "nothing is split", None), ((0, 0), 500, "no data", None),
    ((5, 100), 500, "too few users", 5.0), ((510, 10_000), 500, "as decided", 5.1),
    ((100, 10_000), 500, "drift", 1.0), ((50, 100), 500, "drift", 50.0)])
def test_users_who_are_not_where_they_should_be_are_drift(
    groups: tuple[int, int] | None, weight: int, says: str, measured: float | None
) -> None:
    """What cannot be told is not called good; a gross mismatch needs few users."""
    found = drift.drift(groups, weight)
    assert found.says == says
    assert found.measured == (measured if measured is None else pytest.approx(measured))
    assert (found.tone == "pass") == (says == "as decided")
    assert found.text.endswith(".")


def test_few_users_are_counted_and_many_are_estimated() -> None:
    """Up to 64 are remembered; of more, the spread of the smallest numbers tells how many."""
    assert drift.users_seen(window([])) == 0
    assert drift.users_seen(window(some_users(40))) == 40
    assert drift.users_seen(window(some_users(20_000))) == pytest.approx(20_000, rel=0.4)


def test_the_share_of_users_is_that_of_those_whom_the_split_decided() -> None:
    """Both lists are cut where the fuller one ends, or the smaller system would seem larger."""
    everyone = some_users(8_000)
    mine, theirs = everyone[:800], everyone[800:]
    assert drift.split_share(window(theirs), window(mine)) == pytest.approx(10, abs=8)
    moved_by_segment = [user & ~1 for user in mine]
    assert drift.split_share(window(theirs), window(moved_by_segment)) == 0
    assert drift.split_share(window([]), window([])) is None


def test_the_share_of_requests_is_not_known_without_any() -> None:
    assert drift.request_share(window([], requests=30), window([], requests=10)) == 25
    assert drift.request_share(window([]), window([])) is None


@given(st.dictionaries(st.integers(0, 5000), st.integers(0, 50), max_size=80))
def test_no_request_is_lost_when_windows_are_summed_up(counts: dict[int, int]) -> None:
    """Every step but the newest has all that is of it; that one is shown when it is complete."""
    windows = {}
    for at, number in sorted(counts.items()):
        windows[at] = window([], requests=number, seconds=1)
    found = drift.in_steps(windows, most=10)
    assert len(found) <= 11
    assert list(found) == sorted(found)
    summed = sum(each.requests for each in found.values())
    everything = [counts[at] for at in sorted(counts)]
    # what is left out is the end, and nothing else
    ends = [sum(everything[:place]) for place in range(len(everything) + 1)]
    assert summed in ends


def test_a_step_that_has_only_begun_is_left_out() -> None:
    """It would look like a fall at the end of every chart."""
    windows = {at: window([], requests=5, seconds=1) for at in range(25)}
    found = drift.in_steps(windows, most=5)
    assert {at: each.requests for at, each in found.items()} == {
        0: 25, 5: 25, 10: 25, 15: 25, 20: 25}
    del windows[24]
    assert 20 not in drift.in_steps(windows, most=5)


def test_a_user_who_came_before_and_after_the_split_is_one() -> None:
    """The bit that says who decided is no part of the user."""
    users = some_users(30)
    assert drift.users_seen(window([*users, *(user & ~1 for user in users)])) == 30


def test_windows_that_follow_each_other_are_one_of_their_whole_time() -> None:
    """Durations, users and seconds add up; memory is the highest."""
    rows = []
    for memory in (300, 500):
        rows.append(combine([Sample(
            "baseline", 0, 60, requests=6, latency=Histogram({3: 2}), memory_bytes=memory,
            cpu_cores=1.0, users={"answer": (2, memory)})], seconds=60))
    found = combined(rows)
    assert (found.seconds, found.watched, found.requests) == (120, 120, 12)
    assert (found.memory_bytes, found.cpu_cores, found.latency.total) == (500, 1.0, 4)
    assert found.users == {"answer": (2, 300, 500)}
    assert len(found.users["answer"]) <= MOST_USERS


def test_a_decision_holds_from_its_moment_on() -> None:
    """Before the first one nothing is known."""
    changes = [(10.0, 0.0), (20.5, 5.0)]
    assert drift.at_times(changes, [5, 10, 20, 21, 99]) == {
        5: None, 10: 0.0, 20: 0.0, 21: 5.0, 99: 5.0}
