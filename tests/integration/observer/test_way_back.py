"""The way back when the baseline is out of use, does not come back, or is no more."""

from __future__ import annotations

from typing import Any

import pytest

from changeover import clock
from changeover.domain.audit import NewEvent
from changeover.domain.procedures import Step, StepStatus, of_cutover
from changeover.domain.rollbacks import Cause
from changeover.domain.rollout import Cutover, CutoverStatus
from changeover.domain.routing import Mode
from changeover.errors import Refused
from changeover.observer import traffic as observed
from changeover.observer.__main__ import STORE_TIMEOUT_SECONDS
from changeover.observer.throttle import LogOnce
from changeover.observer.traffic import RolledBack, Traffic
from changeover.procedures import baseline, rollback
from changeover.store import audit, cutovers, messages, steps
from changeover.store.engine import Store
from tests.integration.observer.conftest import ERRORS, Start, Watched
from tests.support.processes import LONGEST_PAUSE, wait_for

pytestmark = pytest.mark.integration

LEVERS = {"off": {"of": "baseline", "post": "/fault?kind=503"},
          "on": {"of": "baseline", "post": "/fault?kind=none"},
          "broken": {"command": ["false"]}}


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a store that is locked makes a rollback break glass, not one that is late."""
    monkeypatch.setattr(observed, "STORE_PATIENCE_SECONDS", LONGEST_PAUSE)


def disabled(start: Start, undo: str = "on", **parts: Any) -> tuple[Watched, Traffic]:
    """Start with everyone on the candidate and the baseline out of use; nobody observes yet."""
    watched = start(
        *parts.pop("triggers", ()), levers=LEVERS, observe=False, health_timeout="60s", **parts,
        cutover={"disable_baseline": {"levers": ["off"], "undo": [undo],
                                      "undo_within": "1s" if undo == "broken" else "60s"}})
    cutover = full(watched)
    now = clock.now()
    steps.save(watched.store, Step(
        "bench", of_cutover(cutover.id), baseline.DISABLED, StepStatus.BEGUN, "", now, now))
    watched.bench.fault("503", "baseline")
    store = Store.open(watched.home.store_url, timeout=STORE_TIMEOUT_SECONDS)
    watched.stack.callback(store.close)
    traffic = Traffic(watched.site(store), LogOnce(), lambda: None)
    traffic.follow()
    return watched, traffic


def full(watched: Watched) -> Cutover:
    """Begin a cutover and move everyone to the candidate."""
    cutover = cutovers.begin(watched.store, "bench", flow_run_id="run", now=clock.now())
    watched.move(Mode.GRADUAL, 5000)
    watched.move(Mode.CANDIDATE_ONLY)
    return cutover


def pulled(watched: Watched) -> list[str]:
    return [event.data["lever"] for event in audit.events(watched.store, "bench")
            if event.kind == "lever.pulled"]


def rolled_back(traffic: Traffic) -> RolledBack:
    """Ask until the baseline is back, as the observer's loop does."""
    done = wait_for(lambda: traffic.roll_back("it burns"), what="the rollback")
    assert isinstance(done, RolledBack)
    return done


def test_baseline_whose_disabling_was_only_begun_is_brought_back_first(start: Start) -> None:
    """Nobody knows how far a cutover came that was killed while it pulled the levers."""
    watched, _ = disabled(start)
    done = rollback.start(watched.site(), Cause("ann", "it burns"))
    assert done.publication is not None
    assert pulled(watched) == ["on"]
    assert baseline.is_well(watched.plan)
    assert not baseline.is_out_of_use(watched.site())


def test_locked_store_keeps_nobody_from_a_baseline_that_was_out_of_use(start: Start) -> None:
    """Levers are pulled without the store, once; then users are moved, and the store is told."""
    watched, traffic = disabled(start)
    with watched.locked_store():
        assert traffic.roll_back("it burns") is None  # the loop goes on with its watch meanwhile
        assert rolled_back(traffic).confirmed_at is not None
        assert watched.gateway.journal() is not None
        assert baseline.is_well(watched.plan)

    def followed() -> bool:
        traffic.follow()
        traffic.save()
        return watched.gateway.journal() is None and not traffic.is_baseline_disabled

    wait_for(followed, what="the store's state")
    assert watched.state().mode is Mode.EMERGENCY_ROLLBACK
    assert pulled(watched) == ["on"]


def test_people_are_told_of_a_baseline_that_does_not_come_back(start: Start) -> None:
    """Nobody is moved to it, it is tried again, and the message says what to do."""
    watched, traffic = disabled(start, undo="broken")
    traffic.roll_back("it burns")

    def told() -> bool:
        assert traffic.roll_back("it burns") is None
        traffic.save()
        return bool(messages.newest(watched.store, "bench"))

    wait_for(told, what="message")
    (message,) = messages.newest(watched.store, "bench")
    assert (message.severity, message.title) == (
        "critical", "bench: the baseline does not come back")
    assert "lever broken failed" in message.body
    assert watched.state().mode is Mode.CANDIDATE_ONLY


def test_baseline_that_goes_away_after_the_rollback_is_started_again(start: Start) -> None:
    """A lever that was under way lands late, or glass was broken without asking: it comes back."""
    watched, _ = disabled(start)
    watched.gateway.break_glass(reason="it burns", actor="ann", now=clock.now())
    watched.start_observer()
    wait_for(lambda: baseline.is_well(watched.plan), what="the baseline")
    wait_for(lambda: watched.gateway.served() == watched.state().order, what="reconciled")
    wait_for(lambda: not baseline.is_out_of_use(watched.site()), what="noted")
    watched.bench.fault("503", "baseline")
    wait_for(lambda: baseline.is_well(watched.plan), what="the baseline once more")


def test_trigger_brings_a_disabled_baseline_and_everyone_back(start: Start) -> None:
    """The observer's own rollback: levers, health, then users."""
    watched, _ = disabled(start, triggers=[{**ERRORS, "of": "candidate"}])
    watched.start_observer()
    watched.bench.fault("503")
    wait_for(lambda: (watched.requests(20), watched.firings() == [("errors", "rollback")])[1],
             what="rollback")
    wait_for(lambda: watched.state().mode is Mode.EMERGENCY_ROLLBACK, what="the store's state")
    assert baseline.is_well(watched.plan)
    wait_for(lambda: pulled(watched) == ["on"], what="audit")


def retired(start: Start, *, is_finished: bool) -> tuple[Watched, Traffic]:
    """Start with everyone on the candidate after a promotion, and the baseline retired."""
    watched = start(observe=False, health_timeout="60s", phases=[
        {"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]},
        {"phase": "full", "soak": 0}, {"phase": "deprecation", "after": "0s"}])
    cutover = full(watched)
    ended = cutovers.finish(watched.store, cutover.id, CutoverStatus.PROMOTED, outcome="",
                            now=clock.now())
    key = baseline.retirement_of(ended)
    for each in [baseline.begun(key), *([key] if is_finished else [])]:
        audit.record(watched.store, "bench", NewEvent(
            actor="deprecation/main", kind="baseline.retired", at=clock.now(), data={},
            once_key=each))
    traffic = Traffic(watched.site(), LogOnce(), lambda: None)
    traffic.follow()
    return watched, traffic


@pytest.mark.parametrize("is_finished", [True, False], ids=["retired", "retiring and gone"])
def test_nobody_is_sent_to_a_retired_baseline(start: Start, is_finished: bool) -> None:
    """The rollback is refused, users stay at the candidate, and people are told."""
    watched, traffic = retired(start, is_finished=is_finished)
    if not is_finished:
        watched.bench.fault("503", "baseline")
    with pytest.raises(Refused, match="was retired"):
        traffic.roll_back("p99 605 ms")
    with pytest.raises(Refused, match="was retired"):
        rollback.start(watched.site(), Cause("ann", "slow"))
    traffic.save()
    (message,) = messages.newest(watched.store, "bench")
    assert (message.severity, message.title) == ("critical", "bench cannot be rolled back")
    assert watched.state().mode is Mode.CANDIDATE_ONLY


def test_baseline_whose_retirement_did_not_take_it_away_is_still_good(start: Start) -> None:
    """The first lever failed and the baseline is well: users may go back to it."""
    watched, traffic = retired(start, is_finished=False)
    assert rolled_back(traffic).epoch == 1
    assert watched.state().mode is Mode.EMERGENCY_ROLLBACK


