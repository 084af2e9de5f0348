"""When an observer may act: by a fresh proof, or when the store answers nobody."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from changeover.errors import NotLeading, StoreError
from changeover.observer import leading
from changeover.observer.leading import (
    DOUBTS,
    PROVE_SECONDS,
    TRUSTED_SECONDS,
    WAIT_SECONDS,
    Leading,
)
from changeover.store.engine import Store
from changeover.store.leading import SESSION_SECONDS


class Clock:
    """A clock that only the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 1000.0
        monkeypatch.setattr(leading, "_now", lambda: self.at)


def led(clock: Clock, name: str = "main") -> Leading:
    """Return the lead of an observer that proved it just now."""
    url = SimpleNamespace(url="")
    found = Leading(cast(Store, SimpleNamespace(engine=url)), "shop", name)
    found._prove(clock.at)
    return found


def turns(found: Leading, clock: Clock, count: int) -> list[bool]:
    """Return what the loop is told in some turns, ten a second."""
    said = []
    for _ in range(count):
        clock.at += 0.1
        said.append(found.may_act())
    return said


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_fresh_proof_is_enough(clock: Clock) -> None:
    """And one that is too old is none."""
    found = led(clock)
    assert found.may_act()
    found.require()
    clock.at += TRUSTED_SECONDS
    assert not found.may_act()
    with pytest.raises(NotLeading):
        found.require()


def test_one_that_stood_still_asks_first_however_long_it_did(clock: Clock) -> None:
    """Not the time decides, but its own turns since it woke up."""
    found = led(clock)
    clock.at += 3600
    assert turns(found, clock, DOUBTS) == [False] * DOUBTS


def test_a_store_that_hangs_gives_the_lead_to_nobody_else(clock: Clock) -> None:
    """Users of the own gateway must be able to go back; after a pause it asks anew."""
    found = led(clock)
    clock.at += TRUSTED_SECONDS
    assert turns(found, clock, DOUBTS + 20)[DOUBTS:] == [True] * 20
    # without the store, as break glass does: another one may lead on a line that is not cut
    with pytest.raises(StoreError):
        found.require()
    clock.at += 60
    assert turns(found, clock, DOUBTS) == [False] * DOUBTS


def test_a_spare_waits_for_a_store_that_hangs(clock: Clock) -> None:
    """It has no gateway: whatever it did would come when the store is back, and another one leads.
    """
    found = led(clock, "spare-1")
    clock.at += TRUSTED_SECONDS
    assert not any(turns(found, clock, 3 * DOUBTS))
    with pytest.raises(NotLeading):
        found.require()


def test_one_that_lost_the_lead_never_acts_again(clock: Clock) -> None:
    """Its main thread may save what was done before."""
    found: Any = led(clock)
    found.lost.set()
    assert not found.may_act()
    found.require()


def test_a_frozen_leader_is_followed_within_three_seconds_and_by_no_second_one() -> None:
    """It trusts its proof for less long than the server its session; a busy machine may be late."""
    assert SESSION_SECONDS + WAIT_SECONDS <= 2.75
    assert TRUSTED_SECONDS <= SESSION_SECONDS - 0.5
    assert PROVE_SECONDS <= TRUSTED_SECONDS / 8
