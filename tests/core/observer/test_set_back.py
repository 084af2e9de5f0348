"""The observer when the clock is set back, while it works and before it is started again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from changeover import clock
from changeover.analysis.trigger import TriggerState
from changeover.analysis.window import Sample
from changeover.observer.acting import Acting
from changeover.observer.restarting import Restart
from changeover.observer.service import Observer
from changeover.observer.trigger_memory import TriggerMemory
from changeover.observer.watch import Watch
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import firings, gateway_seconds, plans, samples
from tests.integration.conftest import make_plan
from tests.support.ready_store import ready_store

NOW = 1_800_000_000
BACK = 100
DOWN = {"name": "down", "metric": "up", "below": 1, "for": "3s", "over": "1s", "action": "alert"}
SetClock = Callable[[int], None]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A migration with one trigger, of which nothing runs."""
    home = Home(tmp_path / "home")
    home.create()
    store = ready_store(home.store_url)
    plan = make_plan(triggers=[DOWN])
    plans.register(store, plan, source="test", now=clock.now())
    yield Site(home, plan, store)
    store.close()


@pytest.fixture
def shows(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Sets the machine's clock for this process."""
    def to(second: int) -> None:
        monkeypatch.setattr("time.time", lambda: second + 0.5)

    to(NOW)
    return to


def live(observer: Observer, seconds: range, shows: SetClock, *, is_up: bool) -> None:
    """Let seconds pass in which the candidate is probed, and judge them."""
    for second in seconds:
        shows(second)
        observer._accumulator.add_probe("candidate", second, is_up=is_up)
        observer._judge()


def probed(site: Site, first: int, last: int) -> dict[int, int]:
    """Return how many of the candidate's probes succeeded in each stored second with one."""
    since = clock.from_timestamp(first)
    found = gateway_seconds.recent(site.store, "bench", since=since)
    return {each.at: each.probes_up for each in found
            if each.system == "candidate" and each.probes and each.at < last}


def test_seconds_that_come_again_are_measured_and_judged_anew(site: Site, shows: SetClock) -> None:
    """What was measured before the step is stored; a condition fires in the seconds after it."""
    observer = Observer(site, None)
    live(observer, range(NOW, NOW + 10), shows, is_up=True)
    again = range(NOW - BACK, NOW - BACK + 10)
    live(observer, again, shows, is_up=False)
    assert again[0] < observer._seconds.judged <= again[-1] + 1
    observer.unsaved.save(site.store, "bench")
    (firing,) = firings.all_of(site.store, "bench")
    assert again[0] <= firing.evidence["second"] <= again[-1]
    assert set(probed(site, NOW, NOW + 10).values()) == {1}
    assert set(probed(site, NOW - BACK, NOW).values()) == {0}
    assert len(probed(site, NOW, NOW + 10)) >= 9


def test_a_second_that_comes_twice_is_what_was_measured_last(site: Site, shows: SetClock) -> None:
    """Set back by some seconds only: the new count replaces the old one."""
    observer = Observer(site, None)
    live(observer, range(NOW, NOW + 10), shows, is_up=True)
    live(observer, range(NOW + 4, NOW + 10), shows, is_up=False)
    observer.unsaved.save(site.store, "bench")
    found = probed(site, NOW, NOW + 9)
    assert {second for second, up in found.items() if not up} >= set(range(NOW + 5, NOW + 9))
    assert all(found[second] for second in range(NOW, NOW + 3))


def test_a_position_of_seconds_to_come_leaves_out_nothing_now(site: Site, shows: SetClock) -> None:
    """The clock was set back before a restart: requests count from this moment on."""
    log = site.home.gateway_files.access_log
    log.touch()
    place = {"first": NOW + BACK, "inode": log.stat().st_ino, "offset": 0}
    (site.home.gateway_files.root / "observer.json").write_text(json.dumps(place))
    observer = Observer(site, None)
    line = {"t": f"{NOW}.250000", "us": 1500, "s": 200, "f": "-", "r": "split:5000:safe",
            "c": "baseline", "h": "127.0.0.1:1", "n": 1, "k": "user-1"}
    log.write_text(f"{json.dumps(line)}\n")
    observer._read_log()
    counted = [each for each in observer._accumulator.pop_changed(NOW + 1) if each.requests]
    assert {(each.at, each.requests) for each in counted} == {(NOW, 1)}


def restart(site: Site) -> Restart:
    observer = Observer(site, None)
    acting = Acting(observer.traffic, observer.unsaved, observer.log)
    return Restart(site, Watch(site.plan), TriggerMemory(site), acting, NOW)


def remember(site: Site, second: int, users_epoch: int | None = None) -> None:
    """Save that the trigger had held for two seconds at a second."""
    watch, memory = Watch(site.plan), TriggerMemory(site)
    watch.resume({"down": TriggerState(held_since=second - 2, true_at=second)}, since=0)
    memory.note(watch, second, users_epoch)
    memory.save(lambda: None)


def test_samples_of_seconds_to_come_are_not_fed_after_a_restart(
    site: Site, shows: SetClock
) -> None:
    """They were measured before the clock was set back, and would hide what comes."""
    rows = [Sample("candidate", NOW + each, probes=1) for each in (-5, 0, 1, BACK)]
    samples.write(site.store, "bench", rows)
    assert [each.at for each in restart(site).feed()] == [NOW - 5, NOW]


@pytest.mark.parametrize(("second", "users_epoch", "is_taken"), [
    (NOW - 5, None, True), (NOW - 5, 1, True),
    (NOW, None, False), (NOW + BACK, None, False),  # noted before the clock was set back
    (NOW - 5, 2, False),  # about other users
])
def test_what_triggers_remembered_is_taken_up_from_the_past_and_about_the_same_users(
    site: Site, shows: SetClock, second: int, users_epoch: int | None, is_taken: bool
) -> None:
    """Everything else begins anew, from what was measured."""
    remember(site, second, users_epoch)
    known = [Sample("candidate", NOW - 9, probes=1), Sample("candidate", NOW - 1, probes=1)]
    samples.write(site.store, "bench", known)
    begun = restart(site)
    first = begun.resume(begun.feed(), 1 if users_epoch else None)
    assert (begun.watch.states["down"].held_since == second - 2) is is_taken
    assert first == (second + 1 if is_taken else NOW - 9)
