"""The guard beside a real Envoy: a candidate that is slow or frozen costs users nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from changeover.routing import Mode
from changeover.store import audit
from tests.integration.gateway.load import load
from tests.integration.observer.conftest import Start, Watched
from tests.support.processes import free_port, wait_for

pytestmark = [pytest.mark.integration]


def guarded(
    start: Start, notes: Path, *, observe: bool = True, systems: dict[str, Any] | None = None,
    **guard: Any,
) -> Watched:
    """Start with a guard whose levers write their names into a file."""
    names = {"on_slow": "ease", "on_frozen": "stop", "on_normal": "resume"}
    script = "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + ' ')"
    levers = {name: {"command": ["python", "-c", script, str(notes), name]}
              for name in names.values()}
    # A slow answer of these systems takes 300 ms, which would be no answer in time.
    spec = {"path": "/", "frozen": "1s", **{when: [name] for when, name in names.items()}, **guard}
    parts = {"systems": systems} if systems else {}
    watched = start(levers=levers, health={"guard": spec}, observe=observe, **parts)
    watched.move(Mode.GRADUAL, 5000)
    return watched


def level(watched: Watched) -> str:
    return str(watched.gateway.guard().get("level", ""))


def pulled(notes: Path) -> list[str]:
    return notes.read_text().split() if notes.exists() else []


def served(watched: Watched) -> set[str]:
    """Return who serves thirty users."""
    with httpx.Client(trust_env=False, timeout=10) as client:
        return {client.get(watched.bench.url, headers={"x-user-id": f"u{number}"}).json()[
            "served_by"] for number in range(30)}


def told(watched: Watched) -> list[str]:
    """Return the kinds of the guard's events."""
    events = audit.events(watched.store, "bench")
    return [event.kind for event in events if event.actor == "guard"]


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
    watched = guarded(start, notes)
    state = watched.state()
    with load(watched.plan) as users:
        users.goes_on(100)
        watched.bench.fault("slow")
        wait_for(watched.gateway.admin.is_withheld, what="back-pressure")
        wait_for(lambda: watched.bench.ran("candidate")["active"] == 0, what="what was under way")
        users.goes_on(100)  # and what its answers took to be counted
        before = users.served_by("candidate")
        users.goes_on(500)
        assert users.served_by("candidate") == before
        assert watched.state() == state
        assert watched.gateway.served() == watched.gateway.on_disk() == state.order
        watched.bench.fault("none")
        wait_for(lambda: level(watched) == "normal", what="normal operation")
        wait_for(lambda: users.served_by("candidate") > before + 50, what="the return")
    assert users.failed == []
    wait_for(lambda: pulled(notes) == ["ease", "resume"], what="the levers")
    wait_for(lambda: sorted(told(watched)) == [
        "guard.normal", "guard.slow", "lever.pulled", "lever.pulled"], what="audit")


def test_frozen_candidate_brings_the_emergency_levers(start: Start, tmp_path: Path) -> None:
    """SIGSTOP: no answer in 300 ms, no GET fails, and after SIGCONT everything goes on."""
    notes = tmp_path / "notes"
    watched = guarded(start, notes, frozen="300ms")
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
    wait_for(lambda: pulled(notes) == ["stop", "resume"], what="the levers")


def test_back_pressure_outlives_the_observer(start: Start, tmp_path: Path) -> None:
    """Killed while it holds, the observer holds on afterwards, and lets go when it may."""
    notes = tmp_path / "notes"
    watched = guarded(start, notes)
    watched.bench.fault("slow")
    wait_for(lambda: pulled(notes) == ["ease"] and not watched.gateway.guard()["pending"],
             what="back-pressure")
    watched.kill_observer()
    assert served(watched) == {"baseline"}
    watched.start_observer()
    watched.bench.fault("none")
    wait_for(lambda: pulled(notes) == ["ease", "resume"], what="normal operation")
    assert served(watched) == {"baseline", "candidate"}


def test_levers_that_a_kill_left_are_pulled(start: Start, tmp_path: Path) -> None:
    """The list in the file is worked off by whoever comes next."""
    notes = tmp_path / "notes"
    watched = guarded(start, notes, observe=False)
    watched.gateway.hold(watched.plan, watched.state(), {
        "level": "slow", "held": True, "reason": "test", "since": "", "relapses": 0,
        "released": None, "pending": ["ease"], "untold": []})
    assert served(watched) == {"baseline"}
    watched.start_observer()
    wait_for(lambda: pulled(notes) == ["ease", "resume"], what="both levers")
    assert served(watched) == {"baseline", "candidate"}


def test_what_is_published_meanwhile_is_held_too(start: Start, tmp_path: Path) -> None:
    """The next stage, a rollback and their confirmation work as ever; nobody gets through."""
    watched = guarded(start, tmp_path / "notes")
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
    watched = guarded(start, notes)
    with watched.locked_store():
        watched.bench.fault("slow")
        wait_for(lambda: pulled(notes) == ["ease"], what="the lever")
        assert watched.gateway.admin.is_withheld()
    wait_for(lambda: "guard.slow" in told(watched), what="audit")


def test_users_stay_when_the_baseline_is_not_well(start: Start, tmp_path: Path) -> None:
    """A slow candidate is better than a dead baseline; its levers are pulled all the same."""
    notes = tmp_path / "notes"
    watched = guarded(start, notes)
    with stopped(watched, "baseline"):
        watched.bench.fault("slow")
        wait_for(lambda: pulled(notes) == ["ease"], what="the lever")
        assert not watched.gateway.admin.is_withheld()
    wait_for(watched.gateway.admin.is_withheld, what="back-pressure once it is well")
    assert "the baseline is not well" in watched.log


def test_a_plan_without_guard_lets_go_what_an_earlier_one_held(start: Start) -> None:
    """Nobody stays at the baseline because of a guard that is no more."""
    watched = start(observe=False)
    state = watched.move(Mode.GRADUAL, 5000)
    watched.gateway.hold(watched.plan, state, {"level": "slow", "held": True})
    assert served(watched) == {"baseline"}
    watched.start_observer()
    wait_for(lambda: not watched.gateway.admin.is_withheld(), what="release")
    assert served(watched) == {"baseline", "candidate"}


def test_held_requests_count_against_the_candidate(start: Start, tmp_path: Path) -> None:
    """What the baseline answered in its place is no success of the candidate's."""
    watched = guarded(start, tmp_path / "notes")
    watched.bench.fault("slow")
    wait_for(watched.gateway.admin.is_withheld, what="back-pressure")
    served(watched)

    def held() -> list[dict[str, Any]]:
        """Return what the access log has of users that the baseline answered for the candidate."""
        lines = watched.gateway.files.access_log.read_text().splitlines(keepends=True)
        entries = [json.loads(line) for line in lines if line.endswith("\n")]
        return [entry for entry in entries
                if entry["c"] == "baseline" and entry["r"].startswith("split:")]

    wait_for(held, what="their lines in the access log")


def test_emergency_does_not_wait_for_levers_of_back_pressure(start: Start, tmp_path: Path) -> None:
    """One of those hangs on the very system that is freezing; what stops it is pulled at once."""
    notes = tmp_path / "notes"
    script = "import sys; open(sys.argv[1], 'a').write('stop ')"
    watched = start(
        levers={"ease": {"command": ["sleep", "600"], "timeout": "600s"},
                "stop": {"command": ["python", "-c", script, str(notes)]}},
        health={"guard": {"path": "/", "frozen": "1s", "on_slow": ["ease"],
                          "on_frozen": ["stop"]}})
    watched.move(Mode.GRADUAL, 5000)
    watched.bench.fault("slow")
    wait_for(lambda: level(watched) == "slow", what="back-pressure")
    with stopped(watched, "candidate"):
        wait_for(lambda: pulled(notes) == ["stop"], what="the emergency's lever")
    wait_for(lambda: watched.gateway.guard()["urgent"] == [], what="taken off its list")
    assert watched.gateway.guard()["pending"] == ["ease"]


def test_candidate_is_let_go_though_the_baseline_hangs(start: Start, tmp_path: Path) -> None:
    """Asking the baseline holds up no probe of the candidate, however long it may take."""
    ports = [free_port(), free_port()]
    systems = {
        "baseline": {"name": "old", "url": f"http://127.0.0.1:{ports[0]}",
                     "health_timeout": "20s"},
        "candidate": {"name": "new", "url": f"http://127.0.0.1:{ports[1]}"}}
    watched = guarded(start, tmp_path / "notes", systems=systems)
    watched.bench.fault("hang", "baseline")
    watched.bench.fault("slow")
    wait_for(lambda: level(watched) == "slow", what="back-pressure")
    watched.bench.fault("none")
    wait_for(lambda: level(watched) == "normal", seconds=15, what="normal operation")
