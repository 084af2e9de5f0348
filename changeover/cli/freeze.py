"""Commands for times in which nobody is moved to the candidate."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import click

from changeover import clock
from changeover.cli.common import Session, site_command
from changeover.cli.saying import why_option
from changeover.domain.audit import Author
from changeover.domain.freezes import Freeze
from changeover.errors import InvalidInput
from changeover.plan.units import parse_duration
from changeover.procedures import steering
from changeover.store import cutovers, freezes

FORMS = "a time as 2026-12-27T08:00+01:00, '2026-12-27 08:00 Europe/Warsaw', or a duration as 2d"


@click.group()
def freeze() -> None:
    """Keep everybody where they are for a time: no promotion, rollback always."""


@freeze.command("on", epilog="\b\nExamples:\n  changeover freeze on --reason 'year-end closing'\n"
                "  changeover freeze on --reason holidays --until '2026-12-27 08:00 Europe/Warsaw'")
@why_option
@click.option("--until", help=f"When it ends by itself: {FORMS}. Default: with `freeze off`.")
@site_command
def freeze_on(session: Session, reason: str, until: str | None) -> None:
    """Promote nothing until further notice; given again, the new end and reason count."""
    now = clock.now()
    ends = parse_until(until, now) if until is not None else None
    site = session.site
    wanted = Freeze(site.migration, session.actor, reason, now, ends)
    made = freezes.begin(site.store, wanted)
    session.show(f"{site.migration} is {made.text}", made.text)


@freeze.command("off", epilog="\b\nExample:\n  changeover freeze off --reason 'the year is closed'")
@why_option
@site_command
def freeze_off(session: Session, reason: str) -> None:
    """End the freeze; a cutover that waited for it goes on."""
    site = session.site
    author = Author(session.actor, reason)
    freezes.end(site.store, site.migration, author, now=clock.now())
    # its run sleeps until the freeze would have ended
    cutover = cutovers.active(site.store, site.migration)
    if cutover is not None:
        steering.wake(site, cutover)
    session.show(f"{site.migration} is not frozen any more", {"frozen": False})


def parse_until(text: str, now: datetime) -> datetime:
    """Return the end of a freeze.

    Raises:
        InvalidInput: It is none, has no zone, or is over.
    """
    found = _moment(text.strip(), now)
    if found is None:
        raise InvalidInput(
            f"{text!r} says no end", where="--until", allowed=FORMS)
    if found <= now:
        raise InvalidInput(
            f"{text!r} is over already",
            where="--until", allowed="a later time")
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
