"""Steady synthetic load for real: it reaches the systems, is in no metric, and leaves no orphan."""

from __future__ import annotations

import contextlib
import sys
from subprocess import Popen
from typing import Any

import httpx
import psutil

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.instructions import Instruction, InstructionKind
from changeover.domain.rollout import Cutover, StageStatus
from changeover.domain.stages import change_for
from changeover.gateway.envoy.synthetic import MARK_HEADER, TOLD_HEADER
from changeover.gateway.routes_on_disk import load_mark
from changeover.site import hook_status
from changeover.store import audit, cutovers, heartbeats, instructions, routing
from tests.integration.observer.conftest import Start, Watched
from tests.support.processes import LONGEST_PAUSE, kill, running, wait_for

Process = Popen[bytes]
SUITES = {"steady": [{"kind": "load", "paths": ["/synthetic"], "rates": [20]}]}


def stage(percent: int, load: dict[str, Any]) -> dict[str, Any]:
    return {"percent": percent, "soak": "1h",
            "hooks": {"during": [{"load": "steady", "rate": 50, **load}]}}


PHASES = [{"phase": "gradual", "stages": [
    stage(50, {"of": "gateway"}),
    stage(60, {"of": "gateway", "measured": True}),
    stage(70, {"of": "candidate"}),
]}]


def enter(watched: Watched, cutover: Cutover, key: str) -> None:
    """Put a stage's users on the candidate and let it soak, as the flow does."""
    for record in cutovers.stages(watched.store, cutover.id):
        if record.decided_at is None:
            cutovers.decide(watched.store, cutover.id, record.key, reason="test",
                            now=clock.now(), status=StageStatus.PROMOTED)
    spec = watched.plan.stage(key)
    state = routing.change(
        watched.store, "bench", change_for(spec, watched.plan, watched.state().epoch),
        Author("test", "test"), now=clock.now())
    watched.gateway.publish(watched.plan, state)
    cutovers.enter_stage(watched.store, cutover.id, spec, now=clock.now())


def asked(watched: Watched) -> int:
    """Return how many requests both systems have answered; health and /ran do not count."""
    return sum(watched.bench.ran(name)["gets"] for name in ("baseline", "candidate"))


def comes(watched: Watched, more: int = 20) -> None:
    """Wait until further requests came."""
    goal = asked(watched) + more
    wait_for(lambda: asked(watched) >= goal, what=f"{more} more synthetic requests")


def kinds(watched: Watched) -> list[str]:
    return [event.kind for event in audit.events(watched.store, "bench")
            if event.kind.startswith("load.")]


def ended(watched: Watched, times: int, why: str) -> None:
    """Wait until the load ended for the reason, and see that nothing comes after that."""
    wait_for(lambda: kinds(watched).count("load.ended") == times, what=f"end {times} of the load")
    newest = [event for event in audit.events(watched.store, "bench")
              if event.kind == "load.ended"][-1]
    assert newest.data["reason"] == why
    assert newest.data["sent"] > 0
    before = asked(watched)

    def has_looked() -> bool:
        beats = [beat for beat in heartbeats.of(watched.store, "bench") if beat.service == "load"]
        return any(beat.at > newest.at and not beat.detail for beat in beats)

    wait_for(has_looked, what="the service looks again, and runs nothing")
    assert asked(watched) == before


def service(watched: Watched, name: str) -> contextlib.AbstractContextManager[Process]:
    return running([sys.executable, "-m", "changeover.load", "--home", str(watched.home.root),
                    "--migration", "bench"], watched.home.logs / f"{name}.log")


def begun(start: Start, *, observe: bool) -> tuple[Watched, Cutover]:
    """Start a migration whose stage of 50 % soaks."""
    watched = start(observe=observe, suites=SUITES, phases=PHASES)
    cutover = cutovers.begin(
        watched.store, "bench", flow_run_id=None, now=clock.now(), flow="cutover")
    enter(watched, cutover, "gradual-50")
    return watched, cutover


def test_synthetic_load_is_in_no_metric_unless_the_plan_says_so(start: Start) -> None:
    """Samples, sums by bucket and sample ratio know only users; the systems are told."""
    watched, cutover = begun(start, observe=True)
    with service(watched, "load"):
        comes(watched, 60)
        watched.requests(10)
        wait_for(lambda: watched.measured() == watched.sent, what="the users are measured")
        wait_for(lambda: "to the gateway in gradual-50: " in hook_status.load(
            watched.store, "bench", now=clock.now()), what="`status` shows it")
        comes(watched, 60)
        watched.requests(10)
        wait_for(lambda: watched.measured() == watched.sent, what="the users are measured again")
        wait_for(lambda: watched.compared() == watched.sent, what="the sums by bucket")
        for name in ("baseline", "candidate"):
            assert watched.bench.ran(name)["gets"] > 20, name
        enter(watched, cutover, "gradual-60")
        wait_for(lambda: watched.measured() > watched.sent + 50, what="measured load")
        enter(watched, cutover, "gradual-70")
        before = watched.bench.ran("baseline")["gets"]
        wait_for(lambda: kinds(watched).count("load.began") == 3, what="load to the candidate")
        comes(watched)
        assert watched.bench.ran("baseline")["gets"] - before < 30
    assert watched.bench.ran("candidate")["most"] <= 100


def test_a_user_cannot_hide_behind_the_mark_and_no_system_sees_it(start: Start) -> None:
    """Without its text a request counts as any other; what says `synthetic` is from us."""
    watched, _ = begun(start, observe=True)
    mark = load_mark(watched.gateway.files)

    def told(headers: dict[str, str]) -> dict[str, str]:
        answer = httpx.get(watched.bench.url, headers={"x-user-id": "eve", **headers},
                           timeout=LONGEST_PAUSE)
        found: dict[str, str] = answer.json()["headers"]
        assert MARK_HEADER not in found
        return found

    assert told({MARK_HEADER: mark})[TOLD_HEADER] == "load"
    assert TOLD_HEADER not in told({MARK_HEADER: "guessed"})
    assert TOLD_HEADER not in told({TOLD_HEADER: "load"})
    watched.sent += 2
    watched.requests(5)
    wait_for(lambda: watched.measured() == watched.sent, what="all but the marked one")


def test_load_ends_with_pause_kill_and_rollback_and_is_never_twice(start: Start) -> None:
    """At most one process sends; whoever kills it ends the load; another takes over."""
    watched, cutover = begun(start, observe=False)

    def say(kind: InstructionKind) -> Instruction:
        return Instruction(cutover.id, kind, "ann", "trouble", clock.now())

    with service(watched, "first") as first:
        comes(watched)
        assert psutil.Process(first.pid).children() == []
        instructions.pause(watched.store, say(InstructionKind.PAUSE))
        ended(watched, 1, "the cutover is paused")
        instructions.resume(watched.store, say(InstructionKind.RESUME))
        comes(watched)
        with service(watched, "second"):
            waits = watched.home.logs / "second.log"
            wait_for(lambda: "this one waits" in waits.read_text(), what="the second one waits")
            assert kinds(watched).count("load.began") == 2
            kill(first)
            wait_for(lambda: kinds(watched).count("load.began") == 3, what="the second takes over")
            comes(watched)
            with watched.locked_store():
                comes(watched)  # what can be read need not be writable
            watched.gateway.break_glass(reason="test", actor="ann", now=clock.now())
            ended(watched, 2, "a rollback came")
    assert audit.verify(watched.store, "bench") == []
