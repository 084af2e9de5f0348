"""What users felt, as the page of user experience shows it."""

from __future__ import annotations

import pytest

from changeover.analysis.histogram import Histogram
from changeover.analysis.window import Sample, Window, combine, outcomes_of
from changeover.console.pages import felt


def answered(**fields: object) -> Window:
    """Return a window of requests."""
    return combine([Sample("baseline", 0, 60, **fields)], seconds=60)  # type: ignore[arg-type]


def reported(number: int, failed: int, **quality: tuple[int, float]) -> Window:
    """Return a window of outcomes."""
    row = Sample(
        outcomes_of("baseline"), 0, 60, outcomes=number, failures=failed, quality=quality,
        durations=Histogram({5: number}))
    return combine([row], seconds=60)


def test_what_users_felt_has_units_and_the_number_behind_it() -> None:
    """A system without requests has no data, which is no zero."""
    found = dict(felt.felt([
        answered(requests=1000, user_errors=3, redirects=10), answered(probes=1)]))
    assert found["requests"] == ["1\u202f000", "0"]
    assert found["errors that users saw"] == ["0.300 %", "no data"]
    assert found["redirects"] == ["1.000 %", "no data"]
    # nobody measured it: no line of it
    assert "latency of 95 %" not in found
    assert felt.felt([answered(), answered()]) == []


def test_outcomes_are_told_by_success_duration_and_quality() -> None:
    """The quality numbers of either system have a line."""
    found = dict(felt.outcomes([reported(200, 3, confidence=(200, 180.0)), reported(0, 0)]))
    assert found["outcomes reported"] == ["200", "0"]
    assert found["with success"] == ["98.500 %", "no data"]
    assert found["without success"] == ["3", "0"]
    assert found["mean confidence of outcomes"] == ["0.9", "no data"]
    assert "median duration of outcomes" in found
    assert felt.outcomes([reported(0, 0), answered(requests=5)]) == []


@pytest.mark.parametrize(("code", "is_shown"), [
    ("200", False), ("204", False), ("304", False), ("302", True), ("404", True), ("503", True)])
def test_an_answer_that_was_no_plain_success_is_shown(code: str, is_shown: bool) -> None:
    """A page that was not modified is a success."""
    assert (code in felt.unusual({code: 3})) == is_shown


def test_a_segment_is_told_by_what_is_known_of_it() -> None:
    """Where its requests are not counted apart, outcomes may still tell of it."""
    assert felt.of_segment([answered(), answered()]) == []
    rows = felt.of_segment([reported(4, 1), reported(2, 0)])
    assert rows == [("outcomes reported", ["4", "2"]), ("with success", ["75.000 %", "100.000 %"])]
    counted = dict(felt.of_segment([answered(requests=7), answered(requests=9)]))
    assert counted["requests"] == ["7", "9"]
