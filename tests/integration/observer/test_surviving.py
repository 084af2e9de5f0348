"""Killed, frozen, locked out: the observer loses nothing and counts nothing twice."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter

import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.routing import Change, Mode
from changeover.gateway.accesslog import classify
from changeover.site.home import Home
from changeover.store import (
    audit,
    firings,
    gateway_seconds,
    messages,
    rollbacks,
    routing,
    trigger_standings,
)
from tests.integration.observer.conftest import ERRORS, Start, Watched
from tests.support.processes import LONGEST_PAUSE, kill, wait_for

pytestmark = pytest.mark.integration


def failing(watched: Watched, seconds: int) -> range:
    """Wait for so many seconds in a row in which `ERRORS` sees failures; return them.

    In the first two of them there may be good answers as well.
    """
    enough = ERRORS["min_samples"]

    def row() -> range | None:
        outcomes = ((int(entry.end), classify(entry)) for entry in watched.entries())
        count = Counter(at for at, outcome in outcomes if outcome and outcome.error)
        rows = (range(at, at + seconds) for at in sorted(count))
        return next((each for each in rows
                     if all(count[at - 1] + count[at] >= enough for at in each)), None)

    found = wait_for(row, what=f"{seconds} seconds of errors")
    assert isinstance(found, range)
    return found


def test_killed_observer_counts_every_request_once(start: Start) -> None:
    """Killed again and again under load, the samples add up to the requests that were sent."""
    watched = start()
    watched.move(Mode.GRADUAL, 5000)
    with watched.load():
        for _ in range(3):
            before = watched.measured()
            wait_for(lambda low=before: watched.measured() > low + 100, what="samples")
            watched.kill_observer()
            sent = watched.sent
            wait_for(lambda low=sent: watched.sent > low + 50, what="requests meanwhile")
            watched.start_observer()
    wait_for(lambda: watched.measured() >= watched.logged() >= watched.sent, what="all samples")
    assert watched.measured() == watched.logged() == watched.sent
    wait_for(lambda: watched.compared() >= watched.sent, what="all sums by bucket")
    assert watched.compared() == watched.sent
    assert watched.failed == 0


def test_long_absence_is_read_from_the_log_in_full(start: Start) -> None:
    """What happened while nobody observed is measured when the observer comes."""
    watched = start(observe=False)
    path = watched.gateway.files.access_log
    ago = int(time.time()) - 1600  # more than the tailer reads at once, over half an hour
    lines = [
        f'{{"t": "{ago + n // 40}.{n % 40:02d}0000", "us": 900, "s": 200, "f": "-", '
        f'"r": "baseline:0:safe", "c": "baseline", "h": "x", "n": 1, "k": "{n:0120d}"}}\n'
        for n in range(60_000)
    ]
    assert sum(map(len, lines)) > 12 << 20
    with path.open("a") as file:
        file.writelines(lines)
    watched.start_observer()
    wait_for(lambda: watched.measured() == watched.sent + 60_000, what="all samples")


def test_hold_survives_a_kill_of_the_observer(start: Start) -> None:
    """A condition that held before the kill completes as if nothing had happened."""
    watched = start({**ERRORS, "for": "6s"})
    watched.move(Mode.GRADUAL, 5000)
    with watched.load():
        wait_for(lambda: watched.measured() > 50, what="samples")
        watched.bench.fault("503")
        before = failing(watched, seconds=3)
        watched.kill_observer()
        wait_for(lambda: time.time() > before[-1] + 4, what="a time without observer")
        watched.start_observer()
        wait_for(lambda: watched.state().mode is Mode.EMERGENCY_ROLLBACK, what="rollback")
        wait_for(watched.firings, what="firing")
    (firing,) = firings.all_of(watched.store, "bench")
    assert firing.evidence["held_since"] <= before[-1]  # it did not begin anew


def test_hold_that_completed_while_nobody_watched_rolls_back_at_the_start(start: Start) -> None:
    """Evidence that completed during an absence counts: the log has it."""
    watched = start({**ERRORS, "for": "2s"})
    watched.move(Mode.GRADUAL, 5000)
    with watched.load():
        wait_for(lambda: watched.measured() > 50, what="samples")
        watched.kill_observer()
        watched.bench.fault("503")
        absence = failing(watched, seconds=6)
        watched.start_observer()
        wait_for(lambda: watched.state().mode is Mode.EMERGENCY_ROLLBACK, what="rollback")
        wait_for(lambda: watched.firings() == [("errors", "rollback")], what="firing")
    (firing,) = firings.all_of(watched.store, "bench")
    assert firing.evidence["second"] < absence[-1]


def test_killed_observer_announces_nothing_again(start: Start) -> None:
    """A trigger that fires still does after the kill: it is not told twice, and ends once."""
    watched = start({**ERRORS, "action": "alert", "clear_for": "2s"})
    watched.move(Mode.GRADUAL, 5000)
    with watched.load():
        watched.bench.fault("503")
        wait_for(lambda: stands(watched) == "firing", what="the trigger's standing")
        watched.kill_observer()
        watched.start_observer()
        known = noted(watched)
        wait_for(lambda: noted(watched) > known, what="the new observer's notes")
        assert stands(watched) == "firing"
        watched.bench.fault("none")
        wait_for(lambda: stands(watched) == "cleared", what="the end")
    wait_for(lambda: "trigger.cleared" in kinds(watched), what="the audit")
    assert watched.firings() == [("errors", "alert")]
    assert kinds(watched).count("trigger.cleared") == 1
    titles = [each.title for each in messages.newest(watched.store, "bench")]
    assert titles == ["trigger errors of bench fired (alert)", "trigger errors of bench is over"]


def stands(watched: Watched) -> str:
    """Return how the one trigger stands in the store."""
    return next((str(each.stands) for each in trigger_standings.all_of(watched.store, "bench")), "")


def noted(watched: Watched) -> float:
    """Return up to when the one trigger was judged."""
    (found,) = trigger_standings.all_of(watched.store, "bench")
    return found.at.timestamp()


def kinds(watched: Watched) -> list[str]:
    """Return the kinds of all events of the audit."""
    return [event.kind for event in audit.events(watched.store, "bench")]


def test_killed_publisher_is_finished_by_the_observer(start: Start) -> None:
    """A state in the store that no gateway got is published; a rollback without row gets one."""
    watched = start()
    watched.move(Mode.GRADUAL, 5000)
    routing.change(
        watched.store, "bench", Change(mode=Mode.EMERGENCY_ROLLBACK), Author("ann", "it burns"),
        now=clock.now())
    wait_for(lambda: watched.gateway.served() == watched.state().order, what="routes")
    wait_for(lambda: rollbacks.all_of(watched.store, "bench"), what="row")
    (rollback,) = rollbacks.all_of(watched.store, "bench")
    assert (rollback.reason, rollback.actor) == ("it burns", "ann")


def test_dead_envoy_delays_neither_samples_nor_the_rollback(start: Start) -> None:
    """With Envoy dead the rollback is written, and serves when Envoy is back."""
    down = {"name": "down", "metric": "up", "below": 1, "for": "1s", "over": "1s",
            "action": "rollback"}
    watched = start(down, health_timeout="60s")
    watched.move(Mode.GRADUAL, 5000)
    kill(watched.bench.processes["envoy"])
    watched.bench.fault("503")
    wait_for(lambda: watched.firings() == [("down", "rollback")], what="rollback")
    wait_for(lambda: watched.gateway.on_disk() == watched.state().order, what="routes on disk")
    newest = time.time()
    wait_for(lambda: gateway_seconds.recent(
        watched.store, "bench", since=clock.from_timestamp(newest)), what="samples go on")
    wait_for(lambda: watched.gateway.journal() is None, what="reconciled")


def test_locked_store_loses_no_sample(start: Start) -> None:
    """Measurements of a time in which the store was locked are written when it is free."""
    kept, again = "ERROR measurements stay in memory", "the store works again"
    watched = start()
    with watched.load():
        with watched.locked_store():
            began, before = time.time(), watched.log.count(kept)
            wait_for(lambda: time.time() - began > 3 and watched.log.count(kept) > before,
                     what="three seconds")
            assert watched.log.count(kept) == before + 1, "told at every try"
        wait_for(lambda: watched.measured() > 200, what="samples")
    wait_for(lambda: watched.measured() == watched.logged() == watched.sent, what="all samples")
    wait_for(lambda: watched.log.rfind(again) > watched.log.rfind(kept), what="log")


def test_observer_ends_cleanly_when_told(start: Start) -> None:
    """SIGTERM ends it at once with exit code 0, even while a system hangs."""
    watched = start()
    watched.bench.fault("hang")
    assert watched.stop_observer() == 0
    assert "Traceback" not in watched.log


def test_observer_of_an_unknown_migration_says_which_there_are(start: Start) -> None:
    """One clear message and the exit code of a wrong value, no traceback."""
    watched = start(observe=False)
    done = subprocess.run(
        [sys.executable, "-m", "changeover.observer", "--home", str(watched.home.root),
         "--migration", "unknown"], capture_output=True, text=True, check=False,
        timeout=LONGEST_PAUSE,
    )
    assert done.returncode == 2
    assert "bench" in done.stderr
    assert "Traceback" not in done.stderr


def test_observer_without_store_says_what_to_do(tmp_path: object) -> None:
    """A home that was never started: one message, the store's exit code."""
    home = Home(tmp_path)  # type: ignore[arg-type]
    done = subprocess.run(
        [sys.executable, "-m", "changeover.observer", "--home", str(home.root),
         "--migration", "bench"], capture_output=True, text=True, check=False,
        timeout=LONGEST_PAUSE,
    )
    assert done.returncode == 5
    assert "Traceback" not in done.stderr
