"""Several observers on one store: one leads; killed or frozen, another one takes over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from changeover.domain.routing import Mode
from changeover.store import audit, firings, leading, messages, rollbacks
from tests.integration.node.conftest import Begin, Fleet
from tests.integration.observer.conftest import ERRORS, NO_FAST_PATH
from tests.store.conftest import admin
from tests.support.processes import LONGEST_PAUSE, kill, running, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.postgres]

ALERT = {**ERRORS, "name": "told", "action": "alert"}


@dataclass
class Judge:
    """An observer's process and its log."""

    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def wait_leads(self, times: int = 1) -> None:
        wait_for(lambda: self.log.count("observing bench") == times, what="it observes")

    def wait_waits(self) -> None:
        wait_for(lambda: "another observer of bench leads: this one waits" in self.log,
                 what="it waits")


def main_judge(fleet: Fleet, number: int = 1) -> Judge:
    """Start an observer with the main machine's home."""
    log = fleet.home.logs / f"observer-{number}.log"
    command = [sys.executable, "-m", "changeover.observer", "--home", str(fleet.home.root),
               "--migration", "bench"]
    return Judge(fleet.stack.enter_context(running(command, log)), log)


def spare_judge(fleet: Fleet) -> Judge:
    """Start a spare observer on another machine."""
    root = fleet.directory / "spare"
    root.mkdir()
    command = [sys.executable, "-m", "changeover.cli", "observer", "--store", fleet.url,
               "--migration", "bench", "--name", "spare-1", "--home", str(root / "home")]
    log = root / "observer.log"
    return Judge(fleet.stack.enter_context(running(command, log)), log)


def leader(fleet: Fleet) -> str:
    found = leading.latest(fleet.store, "bench")
    assert found is not None
    return found.name


def wait_rolled_back(fleet: Fleet) -> None:
    wait_for(lambda: fleet.state().mode is Mode.EMERGENCY_ROLLBACK, seconds=30, what="rollback")


def wait_fired(fleet: Fleet, *names: str) -> None:
    """Wait until just these firings are recorded, each once."""
    wait_for(lambda: sorted(each.trigger for each in firings.all_of(fleet.store, "bench"))
             == sorted(names), what="what fired is recorded")


def test_a_spare_observer_takes_over_from_one_that_is_killed_and_gives_the_lead_back(
    begin: Begin,
) -> None:
    """It judges what the nodes measure; the rollback and its firing are there once."""
    fleet = begin(triggers=[ERRORS], guardrails=NO_FAST_PATH)
    edge, = fleet.start("edge-1")
    fleet.move(Mode.GRADUAL, 5000)
    main = main_judge(fleet)
    main.wait_leads()
    spare = spare_judge(fleet)
    spare.wait_waits()
    with fleet.load(edge):
        kill(main.process)
        spare.wait_leads()
        assert leader(fleet) == "spare-1"
        fleet.bench.fault("half")
        wait_rolled_back(fleet)
        wait_fired(fleet, "errors")
        wait_for(lambda: [each for each in messages.newest(fleet.store, "bench")
                          if "the main machine's gateway did not follow" in each.title],
                 what="people are told of the main gateway")
    assert fleet.bench.gateway.served() != fleet.state().order
    again = main_judge(fleet, 2)
    again.wait_leads()
    assert leader(fleet) == "main"
    wait_for(lambda: fleet.bench.gateway.served() == fleet.state().order,
             what="the main gateway follows")
    wait_for(lambda: spare.log.count("another observer of bench leads: this one waits") == 2,
             what="the spare waits again")
    assert spare.process.poll() is None
    assert len(rollbacks.all_of(fleet.store, "bench")) == 1
    wait_fired(fleet, "errors")
    assert audit.verify(fleet.store, "bench") == []


def test_an_observer_that_was_frozen_does_nothing_when_it_wakes_up(begin: Begin) -> None:
    """The trigger was about to fire in it; another one fired, and people went on after that."""
    slow_to_fire = {**ERRORS, "for": "8s"}
    fleet = begin(triggers=[slow_to_fire], guardrails=NO_FAST_PATH)
    edge, = fleet.start("edge-1")
    fleet.move(Mode.GRADUAL, 5000)
    main = main_judge(fleet)
    main.wait_leads()
    spare = spare_judge(fleet)
    spare.wait_waits()
    with fleet.load(edge):
        fleet.bench.fault("half")
        measured = edge.measured()
        wait_for(lambda: edge.measured() > measured + 50, what="the fault is measured")
        os.kill(main.process.pid, signal.SIGSTOP)
        try:
            spare.wait_leads()
            wait_rolled_back(fleet)
            fleet.bench.fault("none")
            fleet.move(Mode.BASELINE_ONLY)
            state = fleet.move(Mode.GRADUAL, 2500)
        finally:
            os.kill(main.process.pid, signal.SIGCONT)
        main.wait_leads(times=2)
        wait_for(lambda: leader(fleet) == "main", what="the main one leads again")
    assert "another observer leads: this one does nothing more" in main.log
    assert fleet.state() == state
    assert len(rollbacks.all_of(fleet.store, "bench")) == 1
    wait_fired(fleet, "errors")


def test_a_trigger_that_fired_is_not_announced_again_by_the_next_leader(begin: Begin) -> None:
    """Of two on one machine, too; and one that fires during the change is not lost."""
    fleet = begin(triggers=[ALERT], guardrails=NO_FAST_PATH)
    edge, = fleet.start("edge-1")
    fleet.move(Mode.GRADUAL, 5000)
    first = main_judge(fleet)
    first.wait_leads()
    second = main_judge(fleet, 2)
    second.wait_waits()
    with fleet.load(edge):
        fleet.bench.fault("half")
        wait_fired(fleet, "told")
        kill(first.process)
        second.wait_leads()
        third = main_judge(fleet, 3)
        third.wait_waits()
        # over, and wrong again while nobody leads
        fleet.bench.fault("none")
        wait_for(lambda: any(event.kind == "trigger.cleared" for event in audit.events(
            fleet.store, "bench")), seconds=30, what="the trigger is over")
        wait_fired(fleet, "told")
        kill(second.process)
        fleet.bench.fault("half")
        wait_fired(fleet, "told", "told")
    assert leader(fleet) == "main"


def test_a_leader_whose_session_ended_goes_on_when_nobody_else_led(begin: Begin) -> None:
    """A database that was started again is no reason to begin anew."""
    fleet = begin(triggers=[ERRORS], guardrails=NO_FAST_PATH)
    main = main_judge(fleet)
    main.wait_leads()
    with admin(fleet.url) as connection:
        ended = connection.execute(text(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"))
        assert len(ended.all()) >= 1
    locks = text("SELECT count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory'")

    def has_lock() -> bool:
        with admin(fleet.url) as connection:
            return connection.execute(locks).scalar() == 1

    wait_for(has_lock, what="it has the lock again")
    edge, = fleet.start("edge-1")
    fleet.move(Mode.GRADUAL, 5000)
    with fleet.load(edge):
        fleet.bench.fault("half")
        wait_rolled_back(fleet)
    assert main.process.poll() is None and main.log.count("observing bench") == 1


def test_a_spare_needs_a_home_and_a_database_of_its_own_kind(fleet: Fleet) -> None:
    """In words, before it waits for anything."""
    def refused(*options: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "changeover.cli", "observer", "--migration", "bench",
             *options], capture_output=True, text=True, timeout=LONGEST_PAUSE, check=False)
        return done.returncode, done.stderr

    home = str(fleet.directory / "own")
    code, said = refused("--store", "sqlite:///a.db", "--name", "spare-1", "--home", home)
    assert code == 2 and "another machine needs a database that it reaches" in said
    code, said = refused("--store", fleet.url, "--name", "main", "--home", home)
    assert code == 2 and "'main' is the machine of `changeover up`" in said
