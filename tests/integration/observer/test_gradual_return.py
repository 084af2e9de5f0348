"""What is not urgent brings users back in steps; what is urgent ends that at once."""

from __future__ import annotations

import subprocess
import sys

import httpx
import pytest

from changeover import clock
from changeover.domain.audit import AuditEvent, Author
from changeover.domain.routing import Change, Mode
from changeover.site import status
from changeover.store import audit, publications, rollbacks, routing
from tests.integration.observer.conftest import ERRORS, Start, Watched
from tests.support.processes import LONGEST_PAUSE, ROOT, kill, wait_for

pytestmark = pytest.mark.integration

LATER = {**ERRORS, "name": "later", "urgent": False}
SLOWLY = {"return": {"over": "1h", "steps": 2}}
KEYS = [f"u{number}" for number in range(60)]


def moved(watched: Watched) -> list[AuditEvent]:
    """Return the events that moved users since the rollback began."""
    events = audit.events(watched.store, "bench")
    began = [event.seq for event in events if event.kind == "rollback.started"]
    return [event for event in events if began and event.seq >= began[0]
            and event.kind in ("rollback.started", "routing.changed")]


def at_the_candidate(watched: Watched, cohort: str = "") -> set[str]:
    """Return the users whom the candidate answers now."""
    found = set()
    with httpx.Client(trust_env=False, timeout=LONGEST_PAUSE) as client:
        for key in KEYS:
            headers = {"x-user-id": key, "x-cohort": cohort}
            answer = client.get(watched.bench.url, headers=headers)
            if answer.json().get("served_by") == "candidate":
                found.add(key)
    return found


def move(watched: Watched, weight: int, *segments: str) -> None:
    """Move a share of the users, and segments."""
    change = Change(mode=Mode.GRADUAL, weight=weight, segments=segments)
    state = routing.change(
        watched.store, "bench", change, Author("test", "test"), now=clock.now())
    watched.gateway.publish(watched.plan, state)


def run(watched: Watched, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a person does."""
    return subprocess.run(
        [sys.executable, "-m", "changeover.cli", *arguments, "--home", str(watched.home.root)],
        cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_PAUSE, check=False)


def test_users_return_in_steps_also_when_the_observer_is_killed(start: Start) -> None:
    """One rollback with one schedule: steps are equal, confirmed, and nobody is moved again."""
    watched = start(LATER, rollback={"return": {"over": "10s", "steps": 5}})
    move(watched, 5_000, "beta")
    with watched.load():
        wait_for(lambda: watched.measured() > 50, what="samples")
        watched.bench.fault("half")
        wait_for(lambda: watched.state().mode is Mode.RETURNING, what="first step")
        wait_for(lambda: watched.gateway.serving(watched.state()).is_current, what="its routes")
        watched.kill_observer()
        watched.bench.fault("none")
        before, before_in_segment = at_the_candidate(watched), at_the_candidate(watched, "beta")
        watched.start_observer()
        wait_for(lambda: watched.state().mode is Mode.EMERGENCY_ROLLBACK, what="last step")
        wait_for(lambda: at_the_candidate(watched) == set(), what="everyone at the baseline")
        assert at_the_candidate(watched, "beta") == set()
    first, *others = moved(watched)
    assert first.data["return"] == {"over_seconds": 10.0, "steps": 5, "weight": 5000}
    weights = [event.data["weight"] for event in (first, *others)]
    assert set(weights) <= {4000, 3000, 2000, 1000, 0}
    assert weights == sorted(set(weights), reverse=True)
    # the time without an observer is part of the ten seconds, which did not begin anew
    assert (others[-1].at - first.at).total_seconds() >= 10
    assert len(before) < len(before_in_segment) < len(KEYS)
    (rollback,) = rollbacks.all_of(watched.store, "bench")
    assert (rollback.epoch, rollback.actor) == (1, "observer")
    assert rollback.reason.startswith("trigger later: error_rate of candidate")
    served = {each.version for each in publications.all_of(watched.store, "bench")
              if each.is_confirmed}
    assert watched.state().version in served
    assert watched.failed == 0
    assert audit.verify(watched.store, "bench") == []


def test_what_is_urgent_ends_a_return_at_once(start: Start) -> None:
    """The trigger that is not urgent fires first; then the candidate answers nobody."""
    watched = start(LATER, rollback=SLOWLY, guardrails={})
    watched.move(Mode.GRADUAL, 5000)
    with watched.load():
        wait_for(lambda: watched.measured() > 50, what="samples")
        watched.bench.fault("half")
        wait_for(lambda: watched.state().mode is Mode.RETURNING, what="first step")
        shown = status.collect(watched.site(), now=clock.now())
        kill(watched.bench.processes["candidate"])
        wait_for(lambda: watched.state().mode is Mode.EMERGENCY_ROLLBACK, what="rollback")
        watched.goes_on(100)
    assert watched.meant(last=50) == {"baseline"}
    assert shown["returning"]["text"].startswith(
        "users return to the baseline in steps: step 1 of 2, the next one at ")
    assert (watched.state().weight, watched.state().epoch) == (0, 1)
    assert len(rollbacks.all_of(watched.store, "bench")) == 1


def test_a_person_returns_users_in_steps_or_ends_that_at_once(start: Start) -> None:
    """`rollback --gradual` begins what the plan says, `rollback` alone takes everyone back."""
    watched = start(LATER, rollback=SLOWLY)
    watched.home.save_settings({"migration": "bench", "api_url": "http://127.0.0.1:1/api"})
    watched.move(Mode.GRADUAL, 5000)
    wait_for(lambda: "observer" in status.collect(watched.site(), now=clock.now())["services"],
             what="sign of life")
    done = run(watched, "rollback", "--gradual", "--reason", "slower than agreed")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("users return to the baseline: returning 25 % (version 3, epoch")
    assert "step 1 of 2" in run(watched, "status").stdout
    refused = run(watched, "enable", "gradual", "--percent", "50", "--reason", "again")
    assert "users return to the baseline in steps" in refused.stderr
    assert run(watched, "rollback", "--reason", "now").returncode == 0
    assert watched.state().mode is Mode.EMERGENCY_ROLLBACK
    (rollback,) = rollbacks.all_of(watched.store, "bench")
    assert rollback.reason == "slower than agreed"
    both = run(watched, "rollback", "--gradual", "--break-glass", "--reason", "now")
    assert both.returncode == 2
    assert "--gradual does not work with --break-glass" in both.stderr
