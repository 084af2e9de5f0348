"""When users may be moved: hours of the week by the clock on the wall."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from changeover.plan.windows import DAYS, WindowSpec, is_open, next_open
from tests.core.plan.test_load import GOOD

ZONES = ("Europe/Warsaw", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kathmandu")


def window(days: Any = "mon-thu", hours: str = "08-16", zone: str = "Europe/Warsaw") -> WindowSpec:
    return WindowSpec(days=days, hours=hours, zone=zone)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(("days", "found"), [
    ("mon-thu", "mon,tue,wed,thu"), ("sat", "sat"), ("mon, wed-fri", "mon,wed,thu,fri"),
    (["fri", "mon"], "mon,fri"), ("sat-mon", "mon,sat,sun"), ("Mon-Sun", ",".join(DAYS)),
])
def test_days_are_said_as_people_say_them(days: Any, found: str) -> None:
    """Ranges, several, over the weekend."""
    assert window(days).model_dump()["days"] == found


@pytest.mark.parametrize(("moment", "is_in"), [
    ("2026-03-26T08:00+01:00", True), ("2026-03-26T15:59+01:00", True),
    ("2026-03-26T16:00+01:00", False), ("2026-03-26T07:59+01:00", False),
    ("2026-03-27T10:00+01:00", False), ("2026-03-30T08:00+02:00", True),
    ("2026-03-30T06:30Z", True), ("2026-03-26T06:30Z", False),
])
def test_hours_are_those_of_the_zone_before_and_after_the_clock_is_set(
    moment: str, is_in: bool
) -> None:
    """Europe's clocks go forward on 29 March 2026; eight o'clock stays eight o'clock."""
    assert window().has(at(moment)) is is_in


@pytest.mark.parametrize(("moment", "is_in"), [
    ("2026-03-26T23:00+01:00", True), ("2026-03-27T05:55+01:00", True),
    ("2026-03-27T06:00+01:00", False), ("2026-03-27T22:00+01:00", False),
])
def test_a_window_past_midnight_belongs_to_the_day_on_which_it_begins(
    moment: str, is_in: bool
) -> None:
    """The night from Thursday to Friday is Thursday's."""
    assert window(hours="22-06").has(at(moment)) is is_in


@pytest.mark.parametrize(("hours", "now", "opens"), [
    ("08-16", "2026-03-26T16:00+01:00", "2026-03-30T08:00+02:00"),  # over the weekend and the clock
    ("08-16", "2026-10-22T20:00+02:00", "2026-10-26T08:00+01:00"),
    ("08:30-16", "2026-03-26T05:02:03+01:00", "2026-03-26T08:30+01:00"),
    ("08-16", "2026-03-26T09:00+01:00", "2026-03-26T09:00+01:00"),
])
def test_the_next_opening_is_found_across_a_change_of_the_clock(
    hours: str, now: str, opens: str
) -> None:
    """To the minute, in both directions."""
    assert next_open([window(hours=hours)], at(now)) == at(opens)


def test_an_hour_that_is_left_out_opens_nothing_and_one_that_comes_twice_opens_twice() -> None:
    """In the night on which Europe's clocks are set."""
    early = window("sun", "02-03")
    assert next_open([early], at("2026-03-28T12:00+01:00")) == at("2026-04-05T02:00+02:00")
    assert early.has(at("2026-10-25T02:30+02:00"))
    assert early.has(at("2026-10-25T02:30+01:00"))


MOMENTS = st.integers(0, 2 * 365 * 24 * 60).map(
    lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes))


@given(
    moment=MOMENTS, zone=st.sampled_from(ZONES), days=st.sets(st.sampled_from(DAYS), min_size=1),
    start=st.integers(0, 287), length=st.integers(1, 287))
def test_an_opening_is_open_and_nothing_before_it_is(
    moment: datetime, zone: str, days: set[str], start: int, length: int
) -> None:
    """In every zone, at any time of the year, also past midnight."""
    end = (start + length) % 288 or 288
    hours = f"{start // 12:02}:{start % 12 * 5:02}-{end // 12:02}:{end % 12 * 5:02}"
    spec = window(sorted(days), hours, zone)
    opens = next_open([spec], moment)
    if opens is None:  # an hour of one day that the clock leaves out, twice a fortnight apart
        pytest.fail(f"{spec.text} never opens after {moment}")
    assert is_open([spec], opens)
    if opens > moment:
        assert not is_open([spec], moment)
        assert not is_open([spec], opens - timedelta(minutes=1))
        there = opens.astimezone(ZoneInfo(zone))
        assert DAYS[there.weekday()] in days or length + start > 288


def test_without_windows_users_may_be_moved_at_any_time() -> None:
    """Who says nothing is asked nothing."""
    assert is_open([], at("2026-03-26T03:00Z"))


def test_a_stage_has_its_own_windows_or_its_phases() -> None:
    """The plan's own count where neither has any."""
    from changeover.plan.load import parse_plan

    text = GOOD.replace("{percent: 10, soak: 1h}",
                        "{percent: 10, soak: 1h, allowed: [{days: tue, zone: UTC}]}")
    text = text.replace("- {phase: full,", "- {phase: full, allowed: [{days: wed, zone: UTC}],")
    stages = {each.key: [one.days for one in each.allowed]
              for each in parse_plan(text, "test").stages()}
    assert stages == {"beta-5": [], "gradual-10": [(1,)], "gradual-50": [], "full": [(2,)]}
    with pytest.raises(ValidationError):
        WindowSpec.model_validate({"days": "mon", "zone": "UTC", "until": "x"})
