"""Points of the charts and what users noticed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.window import Sample
from reports import measures
from tests.core.reports.hand_made import AT, after, sample

FIRST = int(AT.timestamp())


@given(st.lists(st.integers(0, 599), unique=True, max_size=80), st.integers(5, 200))
def test_points_keep_every_request(seconds: list[int], limit: int) -> None:
    """Merging samples loses and doubles nothing, and makes no more points than asked for."""
    rows = [sample("baseline", second, requests=second % 7) for second in seconds]
    points = measures.points(rows, start=AT, end=after(600), limit=limit)
    assert sum(point.requests for point in points) == sum(row.requests for row in rows)
    assert len(points) <= limit + 1


def test_points_are_all_of_one_length_but_the_last() -> None:
    """A last point that the end cuts short has its own length, so its rate is right."""
    rows = [sample("baseline", second) for second in range(25)]
    points = measures.points(rows, start=AT, end=after(25), limit=3)
    assert [point.seconds for point in points] == [9, 9, 7]
    assert [point.request_rate for point in points] == [10, 10, 10]


def test_points_of_minutes_are_whole_minutes() -> None:
    """Rollups are never split into seconds that nobody measured."""
    rows = [Sample("baseline", FIRST + 60 * n, resolution=60, requests=600) for n in range(10)]
    points = measures.points(rows, start=after(20), end=after(600), limit=150)
    assert {point.request_rate for point in points} == {10}
    assert points[0].at == AT


def test_points_without_requests_have_no_rate_of_errors() -> None:
    """Nothing measured is a gap in the line, never zero errors."""
    (point,) = measures.points([sample("baseline", 0, requests=0)], start=AT, end=after(1))
    assert (point.error_rate, point.latency_p95_seconds, point.requests) == (None, None, 0)


def test_points_of_nothing_are_none() -> None:
    """A system without samples has no points."""
    assert measures.points([], start=AT, end=after(10)) == ()


def test_outage_counts_a_second_as_down_only_when_everyone_failed() -> None:
    """One good answer of either system means that it was not down."""
    rows = [
        sample("baseline", 0, requests=5, user_errors=5),
        sample("candidate", 0, requests=5, user_errors=5),  # second 0: all failed
        sample("baseline", 1, requests=5, user_errors=5),
        sample("candidate", 1, requests=5),  # second 1: the candidate answered
        sample("baseline", 2, requests=0),  # second 2: nobody asked
    ]
    outage = measures.outage(rows)
    assert (outage.down_seconds, outage.seconds_with_errors) == (1, 2)
    assert (outage.requests, outage.user_errors) == (20, 15)


def test_outage_says_how_coarse_it_is() -> None:
    """Where only minutes are kept, times are multiples of a minute and say so."""
    outage = measures.outage([Sample("baseline", FIRST, resolution=60, requests=9, user_errors=1)])
    assert (outage.resolution_seconds, outage.seconds_with_errors) == (60, 60)
