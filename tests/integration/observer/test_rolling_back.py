"""Triggers move real traffic back: at once, and with the store, Prefect or Envoy away."""

from __future__ import annotations

import itertools
import signal
from pathlib import Path

import pytest

from changeover import clock
from changeover.domain.audit import NewEvent
from changeover.domain.claims import NewClaim
from changeover.domain.outcomes import Outcome
from changeover.domain.routing import Mode, System
from changeover.gateway.files import describe_journal
from changeover.store import audit, claims, firings, outcomes, rollbacks
from tests.integration.observer.conftest import ERRORS, NO_FAST_PATH, Start
from tests.support.processes import kill, wait_for

pytestmark = pytest.mark.integration

DOWN = {"name": "down", "metric": "up", "below": 1, "for": "0s", "over": "1s",
        "action": "rollback"}


def test_failing_candidate_is_rolled_back_at_once(start: Start) -> None:
    """Once the evidence is complete: everyone to the baseline, no user sees a failure.

    How long that takes is measured by `benchmarks/rollback.py`.
    """
    watched = start(ERRORS)
    watched.move(Mode.GRADUAL, 5000)
    with watched.load():
        wait_for(lambda: watched.measured() > 50, what="samples")
        watched.bench.fault("503")
        wait_for(lambda: watched.state().mode is Mode.EMERGENCY_ROLLBACK, what="rollback")
        wait_for(lambda: [f for f in firings.all_of(watched.store, "bench")
                          if f.published_at is not None], what="the firing's publication")
        watched.goes_on(100)
    assert watched.meant(last=50) == {"baseline"}
    (firing,) = firings.all_of(watched.store, "bench")
    assert firing.action == "rollback"
    assert firing.evidence_complete_at < firing.published_at
    assert watched.failed == 0
    wait_for(lambda: rollbacks.all_of(watched.store, "bench"), what="row")
    (rollback,) = rollbacks.all_of(watched.store, "bench")
    assert (rollback.epoch, rollback.actor, rollback.is_handed_over) == (1, "observer", False)
    assert audit.verify(watched.store, "bench") == []


@pytest.mark.parametrize(("guardrail", "is_killed", "least"), [
    ("errors", True, {"seconds": 1, "users": 3}), ("errors", False, {"seconds": 1, "users": 3}),
    ("down", True, {"requests": 3}),
], ids=["killed", "errors", "down"])
def test_candidate_that_answers_nobody_needs_no_trigger(
    start: Start, guardrail: str, is_killed: bool, least: dict[str, float]
) -> None:
    """A second of nothing but failures is enough, or a few beside probes; no plan has to say so.

    Each alone: which of them is first is a matter of the machine. How long it takes is measured by
    `benchmarks/rollback.py`.
    """
    watched = start(guardrails={
        name: off for name, off in NO_FAST_PATH.items() if name != guardrail})
    watched.move(Mode.GRADUAL, 5000)
    with watched.load():
        wait_for(lambda: watched.measured() > 50, what="samples")
        if is_killed:
            kill(watched.bench.processes["candidate"])
        else:
            watched.bench.fault("503")
        wait_for(lambda: watched.state().mode is Mode.EMERGENCY_ROLLBACK, what="rollback")
        wait_for(watched.firings, what="firing")
    firing = firings.all_of(watched.store, "bench")[0]
    assert (firing.trigger, str(firing.action)) == (f"guardrail {guardrail}", "rollback")
    assert all(firing.evidence[name] >= number for name, number in least.items())
    assert watched.failed == 0


def test_rollback_that_the_gateway_takes_late_is_noted_then(start: Start) -> None:
    """Envoy stands still meanwhile: the report has a time of the confirmation all the same."""
    watched = start(DOWN, health_timeout="60s")
    watched.move(Mode.GRADUAL, 5000)
    envoy = watched.bench.processes["envoy"]
    envoy.send_signal(signal.SIGSTOP)
    try:
        watched.bench.fault("503")
        wait_for(lambda: "rolled back, but not confirmed" in watched.log, what="rollback")
    finally:
        envoy.send_signal(signal.SIGCONT)
    wait_for(lambda: [f for f in firings.all_of(watched.store, "bench")
                      if f.published_at is not None], what="the firing's publication")
    assert watched.gateway.served() == watched.state().order


def test_rollback_trigger_without_users_on_the_candidate_only_tells(start: Start) -> None:
    """In shadow there is nobody to move: the firing is kept as an alert."""
    watched = start(DOWN, health_timeout="60s")
    watched.move(Mode.SHADOW)
    watched.bench.fault("503")
    wait_for(lambda: watched.firings() == [("down", "alert")], what="alert")
    assert watched.state().mode is Mode.SHADOW
    assert rollbacks.all_of(watched.store, "bench") == []


def test_hold_trigger_is_kept_and_moves_nothing(start: Start) -> None:
    """A hold is for the flow to read; traffic stays."""
    watched = start({**ERRORS, "action": "hold"})
    watched.move(Mode.GRADUAL, 5000)
    with watched.load():
        watched.bench.fault("503")
        wait_for(lambda: watched.firings() == [("errors", "hold")], what="hold")
    assert watched.state().mode is Mode.GRADUAL


def test_hanging_candidate_counts_as_down_every_second(start: Start) -> None:
    """A system that takes connections and never answers is rolled back by `up`."""
    watched = start({**DOWN, "for": "2s"})
    watched.move(Mode.GRADUAL, 5000)
    watched.bench.fault("hang")
    wait_for(lambda: ("down", "rollback") in watched.firings(), what="rollback")
    wait_for(lambda: watched.state().mode is Mode.EMERGENCY_ROLLBACK, what="the store's state")


def test_rollback_with_the_store_locked_moves_users_first_and_breaks_no_glass(
    start: Start
) -> None:
    """A locked store delays nothing and is well: users are moved, and the store follows."""
    watched = start(ERRORS)
    watched.move(Mode.GRADUAL, 5000)
    with watched.load():
        wait_for(lambda: watched.measured() > 50, what="samples")
        with watched.locked_store():
            watched.bench.fault("503")
            wait_for(lambda: watched.gateway.journal() is not None, what="the journal")
            wait_for(lambda: (watched.gateway.served() or (0, 0))[0] == 1, what="safe routes")
            assert "the store follows" in describe_journal(watched.gateway.journal() or {})
            assert watched.state().mode is Mode.GRADUAL
        wait_for(lambda: watched.state().mode is Mode.EMERGENCY_ROLLBACK, what="the store's state")
        wait_for(lambda: watched.firings() == [("errors", "rollback")], what="firing")
        wait_for(lambda: watched.gateway.served() == watched.state().order, what="routes")
        watched.goes_on(50)
    wait_for(lambda: watched.measured() == watched.logged(), what="samples of the locked time")
    assert watched.meant(last=20) == {"baseline"}
    assert watched.failed == 0
    assert watched.gateway.journal() is None
    kinds = [event.kind for event in audit.events(watched.store, "bench")]
    assert kinds.count("rollback.gateway_first") == kinds.count("rollback.started") == 1
    assert "break_glass.used" not in kinds
    (rollback,) = rollbacks.all_of(watched.store, "bench")
    assert rollback.reason.startswith("trigger errors: ")
    assert audit.verify(watched.store, "bench") == []
    assert "break glass" not in watched.log
    assert watched.log.count("measurements stay in memory") <= 2


def test_rollback_with_the_store_gone_breaks_glass_and_is_reconciled(start: Start) -> None:
    """The file was taken away: files alone move the traffic, and the store is told when it is
    there again."""
    watched = start(ERRORS)
    watched.move(Mode.GRADUAL, 5000)
    path = Path(watched.store.engine.url.database or "")
    away = path.with_name("away.db")
    with watched.load():
        wait_for(lambda: watched.measured() > 50, what="samples")
        path.rename(away)
        watched.bench.fault("503")
        wait_for(lambda: watched.gateway.journal() is not None, what="break glass")
        wait_for(lambda: (watched.gateway.served() or (0, 0))[0] == 1, what="safe routes")
        assert "break-glass rollback" in describe_journal(watched.gateway.journal() or {})
        away.rename(path)
        wait_for(lambda: watched.state().mode is Mode.EMERGENCY_ROLLBACK, what="the store's state")
        wait_for(lambda: watched.gateway.journal() is None, what="reconciled")
    kinds = [event.kind for event in audit.events(watched.store, "bench")]
    assert kinds.count("break_glass.used") == kinds.count("rollback.started") == 1
    assert watched.failed == 0


def test_break_glass_by_a_person_is_carried_into_the_store_once(start: Start) -> None:
    """Killed while it reconciles, the observer carries it on: one event, one rollback."""
    watched = start(observe=False)
    watched.move(Mode.GRADUAL, 5000)
    entry = watched.gateway.break_glass(
        reason="it burns", actor="ann", now=clock.now()
    )
    audit.record(watched.store, "bench", NewEvent(
        actor="ann", kind="break_glass.used", at=clock.now(), data=entry,
        once_key=f"break-glass-{entry['at']}"))
    watched.start_observer()
    wait_for(lambda: watched.gateway.journal() is None, what="reconciled")
    kinds = [event.kind for event in audit.events(watched.store, "bench")]
    assert kinds.count("break_glass.used") == kinds.count("rollback.started") == 1
    (rollback,) = rollbacks.all_of(watched.store, "bench")
    assert (rollback.reason, rollback.actor) == ("break glass: it burns", "ann")
    wait_for(lambda: watched.gateway.served() == watched.state().order, what="routes")


def test_reported_failures_roll_back_like_any_other_metric(start: Start) -> None:
    """What only applications know fires triggers; that of one segment takes back it alone."""
    watched = start({
        "name": "failing", "metric": "outcome_error_rate", "segment": "beta", "above": "40%",
        "for": "1s", "over": "3s", "min_samples": 5, "action": "rollback"})
    watched.move(Mode.GRADUAL, 5000)
    numbers = itertools.count()

    def report(*, is_beta: bool) -> bool:
        number = next(numbers)
        segments = ("beta",) if is_beta else ()
        outcomes.save(watched.store, "bench", now=clock.now(), batch=[
            Outcome(f"o{number}-{each}", "candidate", False, segments=segments)
            for each in range(10)])
        return watched.state().kept == ("beta",)

    for _ in range(30):
        assert not report(is_beta=False)
    wait_for(lambda: report(is_beta=True), what="rollback")
    wait_for(lambda: watched.firings() == [("failing", "rollback")], what="firing")
    assert rollbacks.all_of(watched.store, "bench") == []
    (firing,) = firings.all_of(watched.store, "bench")
    assert "outcome_error_rate of candidate in segment beta 100.000 %" in firing.reason
    assert firing.did == "rollback of segment:beta"


def test_a_failed_items_rollback_is_done_when_its_console_died(start: Start) -> None:
    """The failure's transaction noted it: with console and worker dead the observer does it."""
    watched = start(claims={"rollback_on_failure": True})
    watched.move(Mode.GRADUAL, 5000)
    watched.move(Mode.CANDIDATE_ONLY)
    plan, now = watched.plan, clock.now()
    claims.carry_out(watched.store, "bench", [
        claims.claiming(NewClaim("a", System.CANDIDATE, "new-1", plan.claims.lease)),
        claims.failing("a", 1, "model crashed", may_roll_back=True)], now=now)
    wait_for(lambda: watched.gateway.served() == watched.state().order
             and watched.state().mode is Mode.EMERGENCY_ROLLBACK, what="rollback")
    wait_for(lambda: rollbacks.all_of(watched.store, "bench"), what="row")
    (rollback,) = rollbacks.all_of(watched.store, "bench")
    assert rollback.reason.endswith("new-1 could not do a: model crashed")  # or by break glass
    assert watched.firings() == []
