"""What is recorded and told of a firing after which users were already on their way back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover import clock
from changeover.analysis.trigger import Firing
from changeover.domain.audit import Author, NewEvent
from changeover.domain.publications import Publication
from changeover.domain.routing import Change, Mode, System
from changeover.gateway.accesslog import Entry
from changeover.observer.acting import Acting
from changeover.observer.service import Observer
from changeover.plan.triggers import TriggerAction
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import audit, firings, messages, plans, publications, routing
from tests.integration.conftest import make_plan
from tests.support.ready_store import ready_store

REASON = "error_rate of candidate 0.5 > 0.1 for 3 s"


@pytest.fixture
def observer(tmp_path: Path) -> Iterator[Observer]:
    """One that does not run: half of the users and a segment are at the candidate."""
    home = Home(tmp_path / "home")
    home.create()
    store = ready_store(home.store_url)
    plan = make_plan()
    plans.register(store, plan, source="test", now=clock.now())
    found = Observer(Site(home, plan, store), None)
    move(found, Mode.GRADUAL, "cutover", "stage")
    yield found
    store.close()


def move(observer: Observer, mode: Mode, actor: str, reason: str) -> None:
    """Move users, and let the observer know."""
    change = Change(mode=mode, weight=5_000, segments=("beta",))
    routing.change(observer.store, "bench", change, Author(actor, reason), now=clock.now())
    observer.traffic.update(routing.read(observer.store, "bench"))
    observer.acting.users_since = None


def fired(*, scope: str | None = None, is_urgent: bool = False) -> Firing:
    second = int(clock.now().timestamp()) - 2
    return Firing("later", REASON, second, {"second": second}, scope=scope, is_urgent=is_urgent)


def recorded(observer: Observer) -> tuple[list[tuple[str, int]], list[str]]:
    """Return what was recorded of firings, and which messages people get."""
    observer.unsaved.save(observer.store, "bench")
    observer.traffic.notices.flush(observer.store, "bench")
    kept = [(each.did, each.epoch) for each in firings.all_of(observer.store, "bench")]
    return kept, [each.title for each in messages.newest(observer.store, "bench", most=9)]


TOLD = "trigger later of bench fired (alert)"


@pytest.mark.parametrize("mode", [Mode.RETURNING, Mode.EMERGENCY_ROLLBACK])
def test_a_rollback_that_the_store_said_late_is_the_triggers(
    observer: Observer, mode: Mode
) -> None:
    """The observer gave up waiting for the store, which then did what it was asked for."""
    firing = fired()
    observer.acting.act(TriggerAction.ROLLBACK, firing)
    move(observer, mode, "observer", f"trigger later: {REASON}")
    publications.save(observer.store, Publication(
        "bench", 1, observer.traffic.state.version, clock.now(), is_confirmed=True, seconds=0.1))
    observer.acting.roll_back()
    assert observer.acting.is_done
    assert recorded(observer) == ([("rollback", 1)], [])
    (kept,) = firings.all_of(observer.store, "bench")
    assert kept.published_at is not None


@pytest.mark.parametrize("mode", [Mode.RETURNING, Mode.EMERGENCY_ROLLBACK])
def test_a_rollback_of_before_a_kill_is_the_triggers(observer: Observer, mode: Mode) -> None:
    """Killed before the firing was recorded: the next observer finds it again."""
    firing = fired()
    move(observer, mode, "observer", f"trigger later: {REASON}")
    again = Acting(observer.traffic, observer.unsaved, observer.log)
    again.act(TriggerAction.ROLLBACK, firing)
    again.roll_back()
    assert recorded(observer) == ([("rollback", 1)], [])


@pytest.mark.parametrize("mode", [Mode.RETURNING, Mode.EMERGENCY_ROLLBACK])
@pytest.mark.parametrize(("actor", "reason"), [
    ("ann", "slower than agreed"), ("observer", "trigger sooner: all failed")])
def test_a_rollback_of_somebody_else_is_not_the_triggers(
    observer: Observer, mode: Mode, actor: str, reason: str
) -> None:
    """A person, or another trigger, was faster: this one is told as what it is."""
    observer.acting.act(TriggerAction.ROLLBACK, fired())
    move(observer, mode, actor, reason)
    observer.acting.roll_back()
    assert recorded(observer) == ([("alert", 1)], [TOLD])


def test_a_later_firing_of_the_same_trigger_is_an_alert(observer: Observer) -> None:
    """Everyone is back since it fired the first time."""
    move(observer, Mode.EMERGENCY_ROLLBACK, "observer", f"trigger later: {REASON}")
    second = int(clock.now().timestamp()) + 5
    observer.acting.act(TriggerAction.ROLLBACK, Firing("later", REASON, second, {}))
    assert recorded(observer) == ([("alert", 1)], [TOLD])


def test_a_part_that_went_back_before_a_kill_is_the_triggers(observer: Observer) -> None:
    """What the audit says of the same occasion was its doing."""
    firing = fired(scope="segment:beta")
    change = Change(segments=(), kept=("beta",))
    routing.change(observer.store, "bench", change, Author("observer", "x"), now=clock.now())
    audit.record(observer.store, "bench", NewEvent(
        actor="observer", kind="rollback.partial", at=clock.now(), data={},
        once_key=f"trigger-later-{firing.at}"))
    observer.traffic.update(routing.read(observer.store, "bench"))
    observer.acting.act(TriggerAction.ROLLBACK, firing)
    observer.acting.roll_back()
    assert recorded(observer) == ([("rollback of segment:beta", 0)], [])


def test_a_candidate_that_is_down_when_users_come_is_rolled_back(observer: Observer) -> None:
    """Three requests fail in the first tenth of a second, and no probe succeeded."""
    now = clock.now().timestamp()
    observer.acting.users_since = int(now)
    for system, is_up in (("baseline", True), ("candidate", False), ("candidate", False)):
        observer.fast.probed(system, now - 0.5, is_up=is_up)
    observer.fast.read([
        Entry(now, 1000, 503, frozenset(["UF"]), "split:5000:safe", f"u{number}", None, 1,
              chosen=System.CANDIDATE) for number in range(3)])
    firing = observer.fast.firing(now)
    assert firing is not None
    observer.acting.act(TriggerAction.ROLLBACK, firing)
    assert not observer.acting.is_done
