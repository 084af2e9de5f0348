"""How long something takes, in words: one place for reports, pages and evidence."""

from __future__ import annotations

import pytest

from changeover.domain.time_words import exact, in_words


@pytest.mark.parametrize(("seconds", "text"), [
    (None, "–"), (0, "0 s"), (0.031, "31 ms"), (3.2, "3.2 s"), (9.0, "9 s"), (252, "4 min 12 s"),
    (3600, "1 h"), (3605, "1 h"), (604_800, "7 d"), (176_400, "2 d 1 h")])
def test_a_span_has_its_two_largest_units(seconds: float | None, text: str) -> None:
    assert exact(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [
    (None, "1 second"), (0.2, "1 second"), (40, "40 seconds"), (179, "179 seconds"),
    (180, "3 minutes"), (6000, "100 minutes"), (10_800, "3 hours"), (255_600, "71 hours"),
    (259_200, "3 days"), (8_640_000, "100 days")])
def test_people_say_a_time_in_the_unit_in_which_it_is_not_too_coarse(
    seconds: float | None, text: str
) -> None:
    assert in_words(seconds) == text
