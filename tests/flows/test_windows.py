"""Days of a cutover by a moved clock: users move in office hours only, back at any time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from changeover import clock
from changeover.domain.routing import Mode
from changeover.store import audit, freezes, routing
from tests.integration.conftest import make_plan
from tests.support import commands
from tests.support.clocks import live_at
from tests.support.kill_engine import MOVED_CLOCK
from tests.support.sop_site import ENDED, PrefectServer, SopSite, sop_site

pytestmark = [pytest.mark.integration]
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
REAL = clock.now


class MovedClock:
    """The clock of the test and of the flows' processes.

    Args:
        home: Where the flows' processes find it.
        patched: What takes it back after the test.
    """

    def __init__(self, home: Path, patched: pytest.MonkeyPatch) -> None:
        self._file, self._patched = home / MOVED_CLOCK, patched

    def set(self, moment: datetime) -> None:
        """Move it to a moment; it goes on from there."""
        live_at(self._patched, moment)
        self._file.write_text(str((clock.now() - REAL()).total_seconds()))


@contextmanager
def moved_site(
    server: PrefectServer, directory: Path, zone: str, patched: pytest.MonkeyPatch
) -> Iterator[tuple[SopSite, MovedClock]]:
    """Start a site whose users may be moved from Monday to Friday in a zone's office hours."""
    plan = make_plan(
        health_timeout="60s",
        allowed=[{"days": "mon-fri", "hours": "08-16", "zone": zone}],
        phases=[
            {"phase": "gradual", "stages": [
                {"percent": percent, "soak": "20h"} for percent in range(5, 95, 6)]},
            {"phase": "full", "soak": "1h"},
        ])
    with sop_site(server, plan, directory, is_measured=False) as site:
        site.home.save_settings({"migration": "bench", "api_url": server.url})
        yield site, MovedClock(site.home.root, patched)


@pytest.mark.parametrize(("zone", "sunday", "before", "after"), [
    ("Europe/Warsaw", "2027-03-28", 6, 8), ("America/New_York", "2027-11-07", 2, 4),
    ("Australia/Lord_Howe", "2027-10-03", 2, 4),  # by half an hour
])
def test_days_around_a_change_of_the_clock(
    server: PrefectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str,
    sunday: str, before: int, after: int,
) -> None:
    """Every move is in office hours and outside the freeze; the rollback is at night, frozen."""
    there = ZoneInfo(zone)
    changes = datetime.fromisoformat(sunday).replace(tzinfo=there)
    with moved_site(server, tmp_path, zone, monkeypatch) as (site, moved):
        moved.set((changes - before * DAY).replace(hour=3).astimezone(UTC))
        run_id = site.start("cutover")
        freeze_ends = (changes + 3 * DAY).replace(hour=12)
        is_frozen = False
        while clock.now() < (changes + after * DAY):
            # Prefect's server lives today
            site.api.schedule(run_id, at=REAL(), name="Due", message="by the moved clock")
            run = site.attempt("cutover", run_id)
            assert run.state_type not in ENDED
            assert run.scheduled_for is not None
            # frozen, it looks every hour; of these looks the test does without most
            seldom = clock.now() + 9 * HOUR if run.state_name == "Frozen" else run.scheduled_for
            moved.set(max(run.scheduled_for, min(seldom, freeze_ends.astimezone(UTC))))
            if not is_frozen and clock.now() > (changes + DAY).replace(hour=20):
                is_frozen = True
                commands.changeover(
                    site.home.root, "freeze", "on", "--reason", "closing the books", "--until",
                    f"{freeze_ends:%Y-%m-%d %H:%M} {zone}")
        assert is_frozen
        commands.changeover(site.home.root, "freeze", "on", "--reason", "nothing more")
        assert freezes.active(site.store, "bench", now=clock.now()) is not None
        moved.set((changes + after * DAY).replace(hour=3).astimezone(UTC))
        commands.changeover(site.home.root, "rollback", "--reason", "wrong totals")
        assert routing.read(site.store, "bench").mode is Mode.EMERGENCY_ROLLBACK
        site.api.schedule(run_id, at=REAL(), name="Due", message="by the moved clock")
        assert site.attempt("cutover", run_id).state_name == "RolledBack"
        commands.changeover(site.home.root, "recover", "--reason", "mended")
        assert "frozen" in commands.changeover(site.home.root, "advance", code=4)
        moves = [event for event in audit.events(site.store, "bench")
                 if event.kind in ("routing.changed", "stage.promoted")][:-2]
        assert len(moves) >= before + after - 2
        for event in moves:
            local = event.at.astimezone(there)
            assert local.weekday() < 5
            assert 8 <= local.hour < 16, local
            begun = (changes + DAY).replace(hour=20)
            assert not begun < event.at < freeze_ends, local
        days = {event.at.astimezone(there).date() for event in moves}
        assert (changes + DAY).date() in days  # the first working day after the clock was set
