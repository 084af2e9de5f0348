"""Two weeks around every change of the clock: users move in office hours only, back at any time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from changeover.domain.audit import Author
from changeover.domain.freezes import Freeze
from changeover.domain.routing import Change, Mode
from changeover.errors import Refused
from changeover.plan.windows import WindowSpec
from changeover.procedures import waiting
from changeover.site.site import Site
from changeover.store import freezes, routing
from tests.core.procedures.conftest import begun

DAY = timedelta(days=1)
STEP = timedelta(minutes=110)
CHANGES = [
    ("Europe/Warsaw", "2027-03-28"), ("Europe/Warsaw", "2027-10-31"),
    ("America/New_York", "2027-03-14"), ("America/New_York", "2027-11-07"),
    ("Australia/Lord_Howe", "2027-04-04"), ("Australia/Lord_Howe", "2027-10-03"),
]


@pytest.mark.parametrize(("zone", "sunday"), CHANGES)
def test_users_may_be_moved_in_office_hours_and_outside_the_freeze_only(
    site: Site, zone: str, sunday: str
) -> None:
    """Asked at all times of the day; whoever waits is told to look again when it may go on."""
    changes = datetime.fromisoformat(sunday).replace(tzinfo=ZoneInfo(zone))
    office = WindowSpec(days="mon-fri", hours="08-16", zone=zone)  # type: ignore[arg-type]
    planned = Site(site.home, site.plan.model_copy(update={"allowed": [office]}), site.store)
    run = begun(planned)
    frozen_from, frozen_until = changes + DAY + STEP, (changes + 3 * DAY).replace(hour=12)
    freeze = Freeze(site.migration, "ann", "closing the books", frozen_from.astimezone(UTC),
                    frozen_until.astimezone(UTC))
    names, now = set(), (changes - 6 * DAY).astimezone(UTC)
    while now < (changes + 8 * DAY).astimezone(UTC):
        there = now.astimezone(ZoneInfo(zone))
        is_frozen = frozen_from <= now < frozen_until
        if is_frozen:
            freezes.begin(site.store, freeze)  # the same again changes nothing
        is_open = not is_frozen and there.weekday() < 5 and 8 <= there.hour < 16
        wait = waiting.why_wait(run, None, now)
        names.add(wait.name if wait else "")
        assert (wait is None) is is_open, (there, wait)
        assert wait is None or now < wait.until <= now + 3 * DAY
        check_by_hand(planned, now, is_open=is_open)
        now += STEP
    assert names == {"", waiting.FROZEN, waiting.OUTSIDE}


def check_by_hand(site: Site, now: datetime, *, is_open: bool) -> None:
    """Moving users by hand is refused as a cutover waits; a rollback never is."""
    if is_open:
        waiting.refuse_now(site, "nothing was changed", now)
        return
    with pytest.raises(Refused, match="because"):
        waiting.refuse_now(site, "nothing was changed", now)


@pytest.mark.parametrize("is_frozen", [True, False])
def test_a_rollback_is_done_at_any_time(site: Site, is_frozen: bool) -> None:
    """At night, in a freeze: the state changes at once, and the way back is open again."""
    never = WindowSpec(days="sun", hours="02-03", zone="Europe/Warsaw")  # type: ignore[arg-type]
    planned = Site(site.home, site.plan.model_copy(update={"allowed": [never]}), site.store)
    now = datetime(2027, 3, 28, 1, 30, tzinfo=UTC)  # the hour that the clock left out
    if is_frozen:
        freezes.begin(site.store, Freeze(site.migration, "ann", "holidays", now))
    for change in (Change(mode=Mode.GRADUAL, weight=5000), Change(mode=Mode.EMERGENCY_ROLLBACK)):
        state = routing.change(
            site.store, site.migration, change, Author("test", "test"), now=now)
    assert state.mode is Mode.EMERGENCY_ROLLBACK
    assert waiting.why_wait(begun_after(planned), None, now) is not None


def begun_after(site: Site) -> waiting.CutoverRun:
    """Recover, and begin anew."""
    routing.change(site.store, site.migration, Change(mode=Mode.BASELINE_ONLY, is_by_person=True),
                   Author("test", "mended"), now=datetime(2027, 3, 28, 2, tzinfo=UTC))
    return begun(site)
