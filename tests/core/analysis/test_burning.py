"""Error budgets: fast burning shows in minutes, slow burning in days; little traffic waits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.burning import BurnCounts, Burnt, judge_budget
from changeover.analysis.trigger import Judged
from changeover.plan.triggers import TriggerSpec

HOUR = 3600


def trigger(action: str = "rollback", **budget: object) -> TriggerSpec:
    """Return a trigger on the budget of 99.9 % over 30 days."""
    return TriggerSpec.model_validate({
        "name": "budget", "metric": "error_rate", "action": action,
        "budget": {"objective": "99.9%", **budget}})


def judged(long: tuple[int, int], short: tuple[int, int], **budget: object) -> Judged:
    """Judge one pair of windows with the bound 14.4, that is 1.44 % bad."""
    return judge_budget(trigger(**budget), [Burnt(HOUR, 300, 14.4, long, short)])


@pytest.mark.parametrize(("long", "short", "is_true"), [
    ((200, 10_000), (20, 1_000), True),
    ((143, 10_000), (20, 1_000), False),
    ((200, 10_000), (14, 1_000), False),
    ((4, 100), (4, 100), False),
    ((9, 9), (9, 9), None),
    ((200, 10_000), (0, 0), None),
    ((0, 0), (0, 0), None),
], ids=["both", "long is slower", "it is over", "few failures", "few requests",
        "nobody now", "nobody"])
def test_budget_burns_when_enough_was_burnt_and_it_goes_on(
    long: tuple[int, int], short: tuple[int, int], is_true: bool | None
) -> None:
    """Both windows must say so, and at little traffic nothing is known."""
    assert judged(long, short).is_true is is_true


@pytest.mark.parametrize(("short", "is_back"), [((0, 1_000), True), ((14, 1_000), False)])
def test_it_is_over_when_it_burns_well_slower(short: tuple[int, int], is_back: bool) -> None:
    """At nine tenths of what fires; the short window tells it first."""
    assert judged((200, 10_000), short).is_back is is_back


def test_sentence_and_numbers_say_how_fast_it_burns() -> None:
    """For people, and for the audit of a firing."""
    found = judged((200, 10_000), (40, 1_000))
    assert found.reason == (
        "error_rate of candidate 2.000 % in 10000 requests burns the budget of 99.9 % 20.0 times "
        "as fast as allowed in 1h and 40.0 times in 5m (bound 14.4)")
    (pair,) = found.numbers["windows"]
    assert (pair["long_burn"], pair["bad"], pair["requests"]) == (pytest.approx(20), 200, 10_000)
    assert found.numbers["objective"] == pytest.approx(0.999)


def test_recommended_windows_are_those_of_the_workbook() -> None:
    """A rollback has the two urgent ones, an alert the slow one as well."""
    urgent = [(each.long.total_seconds() / HOUR, each.lasting.total_seconds() / 60, each.burn)
              for each in trigger().burning]
    assert urgent == [(1, 5, 14.4), (6, 30, 6)]
    assert [each.burn for each in trigger("alert").burning] == [14.4, 6, 1]
    week = trigger(over="7d").burning[0]
    assert week.long.total_seconds() == 840  # the same part of the objective's time


EVENTS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), st.integers(3, 9)),
                  max_size=60)


@given(EVENTS, st.integers(1, 3), st.integers(300, 400))
def test_counts_of_a_window_are_those_of_its_seconds(
    events: list[tuple[int, int, int]], shortest: int, at: int
) -> None:
    """Whatever the order in which seconds come, and however late."""
    counts = BurnCounts(shortest=shortest, longest=450)
    for second, bad, total in events:
        counts.add(second, bad, total)
    for seconds in (1, 60, 400):
        inside = [each for each in events if at - seconds < each[0] <= at]
        expected = sum(each[1] for each in inside), sum(each[2] for each in inside)
        assert counts.within(seconds, at=at, since=0) == expected


def test_windows_begin_when_users_came_and_not_before() -> None:
    """What failed before is about others."""
    counts = BurnCounts(shortest=5, longest=60)
    counts.add(10, 5, 5)
    counts.add(20, 1, 5)
    assert counts.within(60, at=30, since=15) == (1, 5)


@pytest.mark.parametrize(("changes", "message"), [
    ({"budget": {"objective": "100%"}}, "leaves no budget to burn"),
    ({"budget": {"objective": "90%"}}, "would need 144% of the requests to be bad"),
    ({"budget": {"objective": "99.9%", "windows": [{"long": "5m", "short": "1h", "burn": 2}]}},
     "short 1h must be shorter than long 5m"),
    ({"metric": "latency_p95"}, "does not work with latency_p95, only with shares of bad"),
    ({"metric": "similarity"}, "does not work with similarity"),
    ({"over": "5m"}, "`over` does not work with `budget`"),
    ({"clear_at": "1%"}, "`clear_at` does not work with `budget`"),
    ({"above": "1%"}, "exactly one bound is required of below, .*, budget; found above, budget"),
])
def test_budget_that_cannot_work_is_refused(changes: dict[str, object], message: str) -> None:
    """With what is allowed."""
    with pytest.raises(ValueError, match=message):
        TriggerSpec.model_validate({
            "name": "b", "metric": "error_rate", "action": "alert",
            "budget": {"objective": "99.9%"}, **changes})
