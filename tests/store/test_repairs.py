"""Attempts to repair: one at a time, within a budget, never lost; and messages, each once."""

from __future__ import annotations

import multiprocessing
from datetime import UTC, datetime, timedelta
from multiprocessing.queues import Queue
from typing import Any

import pytest

from changeover.domain.health import Declined, Repair, RepairRequest, RepairStatus, Why
from changeover.domain.messages import Message
from changeover.store import audit, messages, repairs
from changeover.store.engine import Store
from tests.support.processes import LONGEST_PAUSE

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
Outcome = Repair | Declined


def claim(store: Store, at: timedelta = timedelta(0), **changes: Any) -> Outcome:
    """Claim a repair of the shop's candidate some time after noon."""
    given = {"issue": "service_down", "system": "candidate", "attempts": 3, "backoff": MINUTE,
             "lease": 2 * MINUTE, **changes}
    return repairs.claim(store, "shop", RepairRequest(**given), now=NOON + at)


def begun(found: Outcome) -> Repair:
    assert isinstance(found, Repair), found
    return found


def why(found: Outcome) -> Why:
    assert isinstance(found, Declined), found
    return found.why


def end(store: Store, found: Outcome, at: timedelta, *, is_good: bool = False) -> Repair:
    return repairs.finish(store, begun(found).id, is_good=is_good, detail="seen", now=NOON + at)


def _race(url: str, start: Any, results: Queue[str]) -> None:
    store = Store.open(url, timeout=LONGEST_PAUSE)
    start.wait()
    results.put(type(claim(store)).__name__)
    store.close()


@pytest.mark.integration
def test_exactly_one_of_several_processes_gets_the_claim(store: Store, store_url: str) -> None:
    """Four processes claim the same system at the same moment."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(4), context.Queue()
    racers = [context.Process(target=_race, args=(store_url, start, results)) for _ in range(4)]
    for racer in racers:
        racer.start()
    found = sorted(results.get(timeout=90) for _ in racers)
    for racer in racers:
        racer.join(20)
    assert found == ["Declined"] * 3 + ["Repair"]
    assert [r.status for r in repairs.newest(store, "shop")] == [RepairStatus.RUNNING]


def test_only_one_repair_at_once_on_a_system_and_others_beside_it(store: Store) -> None:
    """Another issue of the same system waits; another system does not."""
    begun(claim(store))
    assert why(claim(store, issue="memory_pressure")) is Why.BUSY
    begun(claim(store, system="baseline"))


def test_a_claim_whose_holder_was_killed_ends_after_its_lease(store: Store) -> None:
    """It blocks until then, counts as failed afterwards, and its late end changes nothing."""
    lost = begun(claim(store))
    assert why(claim(store, 2 * MINUTE - SECOND)) is Why.BUSY
    second = begun(claim(store, 2 * MINUTE))
    assert second.attempt == 2
    assert end(store, lost, 3 * MINUTE, is_good=True).status == RepairStatus.FAILED


def test_back_off_doubles_with_each_attempt(store: Store) -> None:
    """One minute after the first began, two after the second."""
    end(store, claim(store), SECOND)
    assert why(claim(store, MINUTE - SECOND)) is Why.WAIT
    end(store, claim(store, MINUTE), MINUTE + SECOND)
    assert why(claim(store, 3 * MINUTE - SECOND)) is Why.WAIT
    assert begun(claim(store, 3 * MINUTE)).attempt == 3


@pytest.mark.parametrize("is_good", [True, False], ids=["helped", "failed"])
def test_the_budget_counts_every_attempt_of_an_hour(store: Store, is_good: bool) -> None:
    """Repairs that help for a minute only use it up as well; after an hour it is back."""
    for number in range(3):
        at = number * 10 * MINUTE
        end(store, claim(store, at), at + SECOND, is_good=is_good)
    declined = claim(store, 50 * MINUTE)
    assert why(declined) is Why.BUDGET
    assert isinstance(declined, Declined) and declined.last > 0
    begun(claim(store, HOUR + SECOND))


def test_each_attempt_and_its_end_are_audited(store: Store) -> None:
    """Who, what, and how it ended, in a chain that is intact."""
    end(store, claim(store), SECOND, is_good=True)
    kinds = [event.kind for event in audit.events(store, "shop")]
    assert kinds[-2:] == ["repair.began", "repair.done"]
    assert audit.verify(store, "shop") == []


def put(store: Store, key: str, severity: str = "info", at: timedelta = timedelta(0)) -> bool:
    return messages.put(store, Message(
        "shop", key=key, severity=severity, title=key, body="", at=NOON + at))


def test_the_same_message_is_kept_once_in_ten_minutes(store: Store) -> None:
    """A check that is critical every minute does not ring every minute."""
    kept = [put(store, "disk", at=minutes * MINUTE) for minutes in range(12)]
    assert kept == [True, *[False] * 9, True, False]


def _put(url: str, start: Any, results: Queue[bool]) -> None:
    store = Store.open(url, timeout=LONGEST_PAUSE)
    start.wait()
    results.put(put(store, "same"))
    store.close()


@pytest.mark.integration
def test_a_message_of_several_processes_is_kept_once(store: Store, store_url: str) -> None:
    """Four processes tell the same thing at the same moment."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(4), context.Queue()
    racers = [context.Process(target=_put, args=(store_url, start, results)) for _ in range(4)]
    for racer in racers:
        racer.start()
    assert sorted(results.get(timeout=90) for _ in racers) == [False, False, False, True]
    for racer in racers:
        racer.join(20)


def test_the_most_severe_message_is_sent_first(store: Store) -> None:
    """A rollback does not wait behind news."""
    for severity in ("info", "critical", "warning"):
        put(store, severity, severity)
    found = messages.due(store, "shop", now=NOON)
    assert [message.severity for message in found] == ["critical", "warning", "info"]


def test_a_message_that_fails_is_tried_later_and_given_up_at_last(store: Store) -> None:
    """5, 10, 20 s; never again after the last attempt, and a sent one never."""
    put(store, "a")
    (message,) = messages.due(store, "shop", now=NOON)
    at = timedelta(0)
    for attempt in range(messages.MOST_ATTEMPTS):
        assert messages.due(store, "shop", now=NOON + at) != []
        noted = messages.tried(store, message.id, reached=["a"], problem="away", now=NOON + at)
        assert noted.reached == ("a",)
        at += messages.FIRST_WAIT * 2**attempt
        assert messages.due(store, "shop", now=NOON + at - SECOND) == []
    assert messages.due(store, "shop", now=NOON + 24 * HOUR) == []
