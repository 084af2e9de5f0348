"""Back-pressure beside a real Envoy: a candidate that is slow or frozen costs users nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from changeover.analysis.window import ErrorClass
from changeover.domain.routing import Mode
from changeover.gateway.accesslog import Entry, classify
from changeover.store import audit
from tests.integration.gateway.load import load
from tests.integration.observer.conftest import Start, Watched
from tests.support.processes import LONGEST_PAUSE, wait_for

pytestmark = [pytest.mark.integration]

LEVERS = {"slow": "ease", "frozen": "stop", "normal": "resume"}
PATIENT = {"slow": "250ms", "frozen": "30s", "bad_probes": 4}
"""Sees that these systems are slow, which is 300 ms, and in no pause of a busy machine a fault."""


def relieved(
    start: Start, notes: Path, *, observe: bool = True, spec: dict[str, Any] = PATIENT,
    **parts: Any,
) -> Watched:
    """Start with back-pressure whose levers write their names into a file."""
    script = "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + ' ')"
    levers = {name: {"command": ["python", "-c", script, str(notes), name]}
              for name in LEVERS.values()}
    pressure = {
        "path": "/", **{f"on_{level}": [name] for level, name in LEVERS.items()}, **spec}
    watched = start(levers=levers, health={"back_pressure": pressure}, observe=observe,
                    **{"health_timeout": "60s", **parts})
    watched.move(Mode.GRADUAL, 5000)
    return watched


def left_withheld(watched: Watched, pending: list[str]) -> None:
    """Withhold users as an observer does that is killed before it has pulled its levers."""
    assert watched.gateway.withhold(watched.plan, watched.state(), {
        "level": "slow", "withheld": True, "reason": "test", "since": "", "relapses": 0,
        "released": None, "pending": pending, "unrecorded": []}, timeout=LONGEST_PAUSE)


def level(watched: Watched) -> str:
    return str(watched.gateway.back_pressure().get("level", ""))


def pulled(notes: Path) -> list[str]:
    return notes.read_text().split() if notes.exists() else []


def due(watched: Watched) -> list[str]:
    """Return the levers of the levels that were recorded."""
    return [LEVERS[level] for kind in told(watched)
            if (level := kind.removeprefix("back_pressure.")) in LEVERS]


def served(watched: Watched) -> set[str]:
    """Return who serves thirty users."""
    with httpx.Client(trust_env=False, timeout=LONGEST_PAUSE) as client:
        return {client.get(watched.bench.url, headers={"x-user-id": f"u{number}"}).json()[
            "served_by"] for number in range(30)}


def told(watched: Watched) -> list[str]:
    """Return the kinds of back-pressure's events."""
    events = audit.events(watched.store, "bench")
    return [event.kind for event in events if event.actor == "back-pressure"]


@contextlib.contextmanager
def stopped(watched: Watched, system: str) -> Iterator[None]:
    """Freeze a system."""
    process = watched.bench.processes[system]
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def test_slow_candidate_gets_no_work_until_it_was_well_for_a_while(
    start: Start, tmp_path: Path
) -> None:
    """Users get the baseline's answers, nothing fails, and the state stays what was decided."""
    notes = tmp_path / "notes"
    watched = relieved(start, notes)
    state = watched.state()
    with load(watched.plan) as users:
        users.goes_on(100)
        watched.bench.fault("slow")
        wait_for(watched.gateway.admin.is_withheld, what="back-pressure")
        withheld = time.monotonic()
        users.goes_on(600)
        assert users.serving_since(withheld) == {"baseline"}
        assert watched.state() == state
        assert watched.gateway.served() == watched.gateway.on_disk() == state.order
        before = users.served_by("candidate")
        watched.bench.fault("none")
        wait_for(lambda: level(watched) == "normal", what="normal operation")
        wait_for(lambda: users.served_by("candidate") > before + 50, what="the return")
    assert users.failed == []
    wait_for(lambda: pulled(notes) == ["ease", "resume"], what="the levers")
    wait_for(lambda: sorted(told(watched)) == [
        "back_pressure.normal", "back_pressure.slow", "lever.pulled", "lever.pulled"], what="audit")


def test_frozen_candidate_brings_the_emergency_levers(start: Start, tmp_path: Path) -> None:
    """SIGSTOP: no answer in time, no GET fails, and after SIGCONT everything goes on."""
    notes = tmp_path / "notes"
    watched = relieved(start, notes, attempt_timeout="10s",
                      spec={"slow": "1s", "frozen": "1500ms"})
    with load(watched.plan) as users:
        users.goes_on(100)
        with stopped(watched, "candidate"):
            wait_for(lambda: level(watched) == "frozen" and watched.gateway.admin.is_withheld(),
                     what="emergency")
            users.goes_on(300)
        wait_for(lambda: level(watched) == "normal", what="normal operation")
        before = users.served_by("candidate")
        wait_for(lambda: users.served_by("candidate") > before + 50, what="the return")
    assert users.failed == []
    wait_for(lambda: {"stop", "resume"} <= {*pulled(notes)}, what="the levers")
    wait_for(lambda: sorted(pulled(notes)) == sorted(due(watched)), what="each level's lever once")


def test_back_pressure_outlives_the_observer(start: Start, tmp_path: Path) -> None:
    """Killed while it withholds users, the observer still does afterwards, until it may stop."""
    notes = tmp_path / "notes"
    watched = relieved(start, notes)
    watched.bench.fault("slow")
    wait_for(lambda: pulled(notes) == ["ease"] and not watched.gateway.back_pressure()["pending"]
             and watched.gateway.admin.is_withheld(), what="back-pressure")
    watched.kill_observer()
    assert served(watched) == {"baseline"}
    watched.start_observer()
    watched.bench.fault("none")
    wait_for(lambda: pulled(notes) == ["ease", "resume"], what="normal operation")
    wait_for(lambda: served(watched) == {"baseline", "candidate"}, what="release")


def test_levers_that_a_kill_left_are_pulled(start: Start, tmp_path: Path) -> None:
    """The list in the file is worked off by whoever comes next."""
    notes = tmp_path / "notes"
    watched = relieved(start, notes, observe=False)
    left_withheld(watched, pending=["ease"])
    assert served(watched) == {"baseline"}
    watched.start_observer()
    wait_for(lambda: pulled(notes) == ["ease", "resume"], what="both levers")
    wait_for(lambda: served(watched) == {"baseline", "candidate"}, what="release")


def test_what_is_published_meanwhile_withholds_users_too(start: Start, tmp_path: Path) -> None:
    """The next stage, a rollback and their confirmation work as ever; nobody gets through."""
    watched = relieved(start, tmp_path / "notes")
    watched.bench.fault("slow")
    wait_for(watched.gateway.admin.is_withheld, what="back-pressure")
    for mode, weight in ((Mode.GRADUAL, 9000), (Mode.CANDIDATE_ONLY, 10_000)):
        state = watched.move(mode, weight)
        assert watched.gateway.served() == state.order
        assert served(watched) == {"baseline"}
    state = watched.move(Mode.EMERGENCY_ROLLBACK)
    assert watched.gateway.served() == state.order


def test_works_while_the_store_is_locked(start: Start, tmp_path: Path) -> None:
    """Users are moved and levers pulled at once; the events come when the store is back."""
    notes = tmp_path / "notes"
    watched = relieved(start, notes)
    with watched.locked_store():
        watched.bench.fault("slow")
        wait_for(lambda: pulled(notes) == ["ease"], what="the lever")
        wait_for(watched.gateway.admin.is_withheld, what="back-pressure")
    wait_for(lambda: "back_pressure.slow" in told(watched), what="audit")


def test_users_stay_when_the_baseline_is_not_well(start: Start, tmp_path: Path) -> None:
    """A slow candidate is better than a dead baseline; its levers are pulled all the same."""
    notes = tmp_path / "notes"
    watched = relieved(start, notes, health_timeout="500ms")
    with stopped(watched, "baseline"):
        watched.bench.fault("slow")
        wait_for(lambda: pulled(notes) == ["ease"], what="the lever")
        assert not watched.gateway.admin.is_withheld()
    wait_for(watched.gateway.admin.is_withheld, what="back-pressure once it is well")
    assert "users stay, because" in watched.log


def test_a_plan_without_back_pressure_ends_what_an_earlier_one_began(start: Start) -> None:
    """Nobody stays at the baseline because of a plan that is no more."""
    watched = start(observe=False)
    watched.move(Mode.GRADUAL, 5000)
    left_withheld(watched, pending=[])
    assert served(watched) == {"baseline"}
    watched.start_observer()
    wait_for(lambda: not watched.gateway.admin.is_withheld(), what="release")
    assert served(watched) == {"baseline", "candidate"}


def test_levers_only_where_the_plan_withholds_nobody(start: Start, tmp_path: Path) -> None:
    """Users stay at the slow system, and the message says that the plan wants it so."""
    notes = tmp_path / "notes"
    watched = relieved(start, notes, spec={**PATIENT, "withhold": False})
    watched.bench.fault("slow")
    wait_for(notes.exists, what="the lever")
    event = wait_for(lambda: [each for each in audit.events(watched.store, "bench")
                              if each.kind == "back_pressure.slow"], what="the event")
    assert "users stay, as the plan says" in event[0].data["reason"]  # type: ignore[index]
    assert not watched.gateway.admin.is_withheld()


def test_withheld_requests_count_against_the_candidate(start: Start, tmp_path: Path) -> None:
    """What the baseline answered in its place is no success of the candidate's."""
    watched = relieved(start, tmp_path / "notes")
    watched.bench.fault("slow")
    wait_for(watched.gateway.admin.is_withheld, what="back-pressure")
    served(watched)

    def withheld() -> list[Entry]:
        """Return what the access log has of users that the baseline answered for the candidate."""
        return [entry for entry in watched.entries()
                if (outcome := classify(entry)) and outcome.error is ErrorClass.SAVED]

    wait_for(withheld, what="their lines in the access log")


def test_emergency_does_not_wait_for_levers_of_back_pressure(start: Start, tmp_path: Path) -> None:
    """One of those hangs on the very system that is freezing; what stops it is pulled at once."""
    notes = tmp_path / "notes"
    script = "import sys; open(sys.argv[1], 'a').write('stop ')"
    watched = start(
        observe=False,
        levers={"ease": {"command": ["sleep", "600"], "timeout": "600s"},
                "stop": {"command": ["python", "-c", script, str(notes)]}},
        health={"back_pressure": {"path": "/", "frozen": "1s", "on_slow": ["ease"],
                          "on_frozen": ["stop"]}})
    watched.move(Mode.GRADUAL, 5000)
    left_withheld(watched, pending=["ease"])
    with stopped(watched, "candidate"):
        watched.start_observer()
        wait_for(lambda: pulled(notes) == ["stop"], what="the emergency's lever")
    wait_for(lambda: watched.gateway.back_pressure()["urgent"] == [], what="taken off its list")
    assert watched.gateway.back_pressure()["pending"] == ["ease"]


def test_candidate_is_let_go_though_the_baseline_hangs(start: Start, tmp_path: Path) -> None:
    """Asking the baseline holds up no probe of the candidate, however long it may take."""
    watched = relieved(start, tmp_path / "notes")
    watched.bench.fault("hang", "baseline")
    watched.bench.fault("slow")
    wait_for(lambda: level(watched) == "slow", what="back-pressure")
    watched.bench.fault("none")
    wait_for(lambda: level(watched) == "normal", what="normal operation")
