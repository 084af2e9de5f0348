"""When users may be moved: `{days: mon-thu, hours: "08-16", zone: Europe/Warsaw}`. Pure.

Times are those of the clock on the wall in the zone. Where the clock is set back, an hour comes
twice and counts both times; an hour that is left out is in no window.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, PlainSerializer

from changeover.plan.fields import Part

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_FORMS = f"{', '.join(DAYS)}, ranges as mon-thu, and several as mon,wed-fri"
MINUTES_OF_DAY = 24 * 60
STEP_MINUTES = 5
"""Windows begin and end at multiples of it; clocks are set at multiples of it everywhere."""
AHEAD = timedelta(days=15)
"""A weekly window opens within it, even when the clock leaves one of them out."""
_TIME = "([0-9]{1,2})(?::([0-5][0-9]))?"
_HOURS = re.compile(f"{_TIME}-{_TIME}")


def parse_days(value: object) -> tuple[int, ...]:
    """Return days, 0 for Monday, of `mon-thu`, `sat`, `mon,wed-fri` or a list of these.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, tuple) and all(isinstance(each, int) for each in value):
        return value  # parsed before
    parts = value if isinstance(value, list) else str(value).split(",")
    if not parts:
        raise ValueError(f"no day is named; allowed are {_DAY_FORMS}")
    found: set[int] = set()
    for part in parts:
        first, _, last = str(part).strip().lower().partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise ValueError(f"{part!r} is no day; allowed are {_DAY_FORMS}")
        start, end = DAYS.index(first), DAYS.index(last or first)
        # backwards is over the weekend: `sat-mon`
        found |= {(start + number) % 7 for number in range((end - start) % 7 + 1)}
    return tuple(sorted(found))


def parse_hours(value: object) -> tuple[int, int]:
    """Return the minutes of the day of `08-16` or `08:30-16:15`; `22-06` goes past midnight.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, tuple):
        return value  # parsed before
    found = _HOURS.fullmatch(str(value).replace(" ", ""))
    if found is None:
        raise ValueError(f"{value!r} is no time of day; allowed are 08-16 and 08:30-16:15")
    start, end = (int(found[n]) * 60 + int(found[n + 1] or 0) for n in (1, 3))
    is_possible = start < MINUTES_OF_DAY and 0 < end <= MINUTES_OF_DAY and start != end
    if not is_possible or start % STEP_MINUTES or end % STEP_MINUTES:
        raise ValueError(f"{value!r} is no time of day; allowed are 00:00 to 24:00 in steps of "
                         f"{STEP_MINUTES} minutes, with an end that is not the start")
    return start, end


def _zone(value: object) -> str:
    try:
        return ZoneInfo(str(value)).key
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(
            f"{value!r} is no time zone; allowed are names as Europe/Warsaw and UTC") from error


def _days_text(days: tuple[int, ...]) -> str:
    return ",".join(DAYS[each] for each in days)


def _hours_text(hours: tuple[int, int]) -> str:
    return "-".join(f"{each // 60:02}:{each % 60:02}" for each in hours)


class WindowSpec(Part):
    """Hours of the week in which users may be moved to the candidate."""

    days: Annotated[
        tuple[int, ...], BeforeValidator(parse_days),
        PlainSerializer(_days_text, return_type=str),
    ] = Field(json_schema_extra={
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        "examples": ["mon-thu"]}, description="Days, as mon-thu or [mon, wed].")
    hours: Annotated[
        tuple[int, int], BeforeValidator(parse_hours),
        PlainSerializer(_hours_text, return_type=str),
    ] = Field((0, MINUTES_OF_DAY), json_schema_extra={
        "anyOf": [{"type": "string"}], "examples": ["08-16"]},
        description="From and until when, as 08-16; 22-06 goes past midnight.")
    zone: Annotated[str, BeforeValidator(_zone)] = Field(
        description="Time zone by its IANA name, as Europe/Warsaw.")

    @property
    def text(self) -> str:
        """The window for people."""
        return f"{_days_text(self.days)} {_hours_text(self.hours)} {self.zone}"

    def has(self, moment: datetime) -> bool:
        """Whether a moment is in the window.

        Args:
            moment: An aware datetime.
        """
        there = moment.astimezone(ZoneInfo(self.zone))
        minute, day = there.hour * 60 + there.minute, there.weekday()
        start, end = self.hours
        if start < end:
            return day in self.days and start <= minute < end
        # past midnight, the window is that of the day before
        is_evening = day in self.days and minute >= start
        return is_evening or ((day - 1) % 7 in self.days and minute < end)


def is_open(windows: Sequence[WindowSpec], moment: datetime) -> bool:
    """Whether users may be moved at a moment; without windows always."""
    return not windows or any(window.has(moment) for window in windows)


def next_open(windows: Sequence[WindowSpec], moment: datetime) -> datetime | None:
    """Return the first moment from `moment` on at which users may be moved; None within 15 days.

    Args:
        windows: The windows; any of them will do.
        moment: An aware datetime.
    """
    if is_open(windows, moment):
        return moment
    step = timedelta(minutes=STEP_MINUTES)
    # steps of UTC, on whole steps: they meet each hour once, however clocks are set
    utc = moment.astimezone(UTC)
    since = utc - utc.replace(hour=0, minute=0, second=0, microsecond=0)
    at = utc + (step - since % step)
    while at <= moment + AHEAD:
        if is_open(windows, at):
            return at
        at += step
    return None
