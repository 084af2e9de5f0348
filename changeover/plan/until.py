"""Until when something holds: a time with its zone, or a duration from now. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from changeover.errors import InvalidInput
from changeover.plan.units import parse_duration

FORMS = "a time as 2026-12-27T08:00+01:00, '2026-12-27 08:00 Europe/Warsaw', or a duration as 2d"


def longer_by(text: str, *, where: str) -> timedelta:
    """Return by how much a soak is to be extended.

    Raises:
        InvalidInput: It is no duration, or not more than nothing.
    """
    try:
        by = parse_duration(text)
    except ValueError as error:
        raise InvalidInput(str(error), where=where) from error
    if by <= timedelta(0):
        raise InvalidInput(
            f"a soak cannot be extended by {text}",
            where=where, allowed="more than 0")
    return by


def parse_until(text: str, now: datetime, *, where: str) -> datetime:
    """Return the end of a freeze.

    Args:
        text: A time with its zone, or a duration.
        now: The present moment, aware.
        where: Where somebody wrote it, for messages.

    Raises:
        InvalidInput: It is none, has no zone, or is over.
    """
    found = _moment(text.strip(), now)
    if found is None:
        raise InvalidInput(
            f"{text!r} says no end", where=where, allowed=FORMS)
    if found <= now:
        raise InvalidInput(
            f"{text!r} is over already",
            where=where, allowed="a later time")
    return found


def _moment(text: str, now: datetime) -> datetime | None:
    try:
        return now + parse_duration(text)
    except ValueError:
        pass  # no duration: a time, then
    when, _, zone = text.rpartition(" ")
    try:
        # a zone by its name: the end is then right on both sides of a change of the clocks
        if "/" in zone or zone == "UTC":
            there = datetime.fromisoformat(when)
            # a time that says its zone twice says perhaps two different ones
            if there.tzinfo is not None:
                return None
            found = there.replace(tzinfo=ZoneInfo(zone))
        else:
            found = datetime.fromisoformat(text)
        # without a zone nobody knows whose eight o'clock is meant
        return found.astimezone(UTC) if found.tzinfo else None
    except (ValueError, KeyError, OSError, OverflowError):
        return None
