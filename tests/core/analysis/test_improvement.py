"""By how much the candidate is better, in numbers with the right sign."""

from __future__ import annotations

import pytest

from changeover.analysis.histogram import Histogram
from changeover.analysis.improvement import improvements
from changeover.analysis.window import Window


def _window(failures: int, seconds: float, **quality: tuple[int, float]) -> Window:
    return Window(seconds=60, outcomes=10, failures=failures, quality=quality,
                  durations=Histogram.of([int(seconds * 1e6)] * 10))


def test_more_success_less_time_and_higher_quality_are_better() -> None:
    """Success in points, time saved in seconds, quality as the difference of means."""
    old = _window(3, 8.0, quality_score=(10, 7.0), only_here=(1, 1.0))
    new = _window(1, 2.0, quality_score=(10, 9.0))
    found = {each.name: each for each in improvements(old, new)}
    assert found.keys() == {"success_rate", "duration", "quality_score"}
    assert found["success_rate"].by == pytest.approx(0.2)
    assert found["success_rate"].texts == ("70.0%", "90.0%", "+20.0 points")
    assert found["duration"].by == pytest.approx(6.0, rel=0.05)
    assert found["duration"].texts[2].endswith("s faster")
    assert found["quality_score"].by == pytest.approx(0.2)


def test_a_worse_candidate_is_said_to_be_worse() -> None:
    """Below 0 where it is worse."""
    found = {each.name: each for each in improvements(_window(0, 1.0), _window(5, 2.0))}
    assert found["success_rate"].by == -0.5 and found["duration"].by < 0
    assert found["duration"].texts[2].endswith("s slower")


def test_without_outcomes_of_both_there_is_nothing_to_compare() -> None:
    """No number is made up."""
    assert improvements(_window(0, 1.0), Window(seconds=60)) == ()
