"""Claims on real databases: one winner whoever asks at once, nothing lost whoever is killed."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import select, text

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.claims import Claim, NewClaim, Refusal, Status, Why
from changeover.domain.routing import Change, Mode, RoutingState, System
from changeover.store import audit, claims, rollbacks, routing
from changeover.store.claims import ClaimRow
from changeover.store.engine import Store
from tests.store.conftest import shop
from tests.support.claimer import ITEMS
from tests.support.processes import LONGEST_PAUSE, running, wait_for

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
PLAN = shop()


def claiming(item: str, holder: str, system: System = System.BASELINE) -> claims.ClaimRequest:
    return claims.claiming(NewClaim(item, system, holder, PLAN.claims.lease))


def do(
    store: Store, *acts: claims.ClaimRequest, now: datetime | None = NOW
) -> list[Claim | Refusal]:
    return claims.carry_out(store, "shop", acts, now=now)


def token(found: Claim | Refusal) -> int:
    assert isinstance(found, Claim), found
    return found.token


@pytest.mark.integration
def test_of_200_concurrent_claimers_exactly_one_wins_each_item(
    store_url: str, store: Store
) -> None:
    """Not none, not two, however many ask at the same moment."""
    claimers, items = 200, [f"item-{number}" for number in range(5)]
    opened = [Store.open(store_url, timeout=LONGEST_PAUSE) for _ in range(4)]
    connections = [threading.BoundedSemaphore(15) for _ in opened]  # as many as each has
    together = threading.Barrier(claimers, timeout=LONGEST_PAUSE)

    def ask(number: int) -> list[Claim | Refusal]:
        order = random.Random(number).sample(items, len(items))
        together.wait()
        own, free = opened[number % len(opened)], connections[number % len(opened)]
        found: list[Claim | Refusal] = []
        for item in order:
            with free:
                found += do(own, claiming(item, f"worker-{number}"))
        return found

    with ThreadPoolExecutor(claimers) as pool:
        answers = list(itertools.chain(*pool.map(ask, range(claimers))))
    for each in opened:
        each.close()
    won = Counter(found.item for found in answers if isinstance(found, Claim))
    assert won == dict.fromkeys(items, 1)
    refused = [found for found in answers if isinstance(found, Refusal)]
    assert len(refused) == claimers * len(items) - len(items)
    assert {found.why for found in refused} == {Why.HELD}


def test_one_batch_decides_one_after_the_other(store: Store) -> None:
    """Wishes that share a transaction do not share an item."""
    first, second, done, again = do(
        store, claiming("a", "w1"), claiming("a", "w2"), claims.completing("a", 1),
        claiming("a", "w1"))
    assert token(first) == 1
    assert isinstance(second, Refusal)
    assert isinstance(done, Claim)
    assert isinstance(again, Refusal) and again.why is Why.DONE
    assert claims.one(store, "shop", "a") == done


def test_a_lease_that_is_over_passes_to_the_next(store: Store) -> None:
    """A dead holder's item is taken over with a higher token; what it still says is refused."""
    (first,) = do(store, claiming("a", "w1"))
    later = NOW + PLAN.claims.lease
    (second,) = do(store, claiming("a", "w2"), now=later)
    assert (token(first), token(second)) == (1, 2)
    (stale,) = do(store, claims.completing("a", 1), now=later)
    assert isinstance(stale, Refusal) and stale.why is Why.STALE
    (done,) = do(store, claims.completing("a", 2), now=later)
    assert isinstance(done, Claim) and done.status is Status.DONE


def test_claims_follow_the_routing_state_of_their_transaction(store: Store) -> None:
    """A rollback changes whose right it is at once."""
    routing.change(
        store, "shop", Change(mode=Mode.GRADUAL, weight=10_000), Author("t", "t"), now=NOW)
    assert token(do(store, claiming("a", "new", System.CANDIDATE))[0]) == 1
    routing.change(store, "shop", Change(mode=Mode.EMERGENCY_ROLLBACK), Author("t", "t"), now=NOW)
    (refused,) = do(store, claiming("b", "new", System.CANDIDATE))
    assert isinstance(refused, Refusal) and "emergency_rollback" in refused.reason


def move(store: Store, mode: Mode, weight: int = 0) -> RoutingState:
    return routing.change(
        store, "shop", Change(mode=mode, weight=weight, is_by_person=True), Author("t", "t"),
        now=NOW)


@contextlib.contextmanager
def waiting_claim(store: Store, act: claims.ClaimRequest) -> Iterator[list[Claim | Refusal]]:
    """Have a claim wait for its item's row, which somebody else holds until the block ends."""
    found: list[Claim | Refusal] = []
    waiting = threading.Thread(target=lambda: found.extend(do(store, act, now=None)))
    with store.begin() as session:
        session.execute(select(ClaimRow).with_for_update())
        waiting.start()
        if store.engine.dialect.name == "postgresql":
            wait_for(lambda: _is_somebody_waiting(store), what="the claim that waits")
        yield found
    waiting.join(30)


def _is_somebody_waiting(store: Store) -> bool:
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with store.read() as session:
        return bool(session.scalar(text(query)))


def test_a_claim_that_waited_through_a_rollback_is_decided_by_it(store: Store) -> None:
    """Whatever it knew before the wait: after a rollback the candidate gets nothing."""
    if store.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer: a rollback waits, too")
    move(store, Mode.GRADUAL, 10_000)
    act = claiming("a", "new", System.CANDIDATE)
    do(store, act, claims.releasing("a", 1))
    with waiting_claim(store, act) as found:
        move(store, Mode.EMERGENCY_ROLLBACK)
    (refused,) = found
    assert isinstance(refused, Refusal) and "emergency_rollback" in refused.reason


def test_a_rollback_between_decision_and_commit_takes_the_claim_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last look at the routing state decides; what was written by an older one is undone."""
    if store.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer: nothing comes between")
    move(store, Mode.GRADUAL, 10_000)
    write = claims._write

    def slow(*args: Any) -> set[str]:
        lost = write(*args)
        if routing.read(store, "shop").mode is Mode.GRADUAL:
            move(store, Mode.EMERGENCY_ROLLBACK)
        return lost

    monkeypatch.setattr(claims, "_write", slow)
    (refused,) = do(store, claiming("a", "new", System.CANDIDATE))
    assert isinstance(refused, Refusal) and refused.why is Why.NOT_ENTITLED
    assert claims.one(store, "shop", "a") is None


def test_a_lease_begins_when_the_item_is_had(store: Store) -> None:
    """Time that a claim waited for the database is not taken from its lease."""
    do(store, claiming("a", "w1"), claims.releasing("a", 1))
    with waiting_claim(store, claiming("a", "w2")) as found:
        until = clock.now() + timedelta(seconds=0.3)
        wait_for(lambda: clock.now() > until)
    (held,) = found
    assert isinstance(held, Claim)
    assert held.claimed_at >= until - timedelta(milliseconds=50)  # clocks of one machine
    assert held.expires_at == held.claimed_at + PLAN.claims.lease


def told(store: Store) -> list[tuple[str, str, str]]:
    """Return every hand-over in the audit: whose, of what, to whom."""
    return [(event.actor, event.data["item"], event.data["to"])
            for event in audit.events(store, "shop") if event.kind == "claim.handed_over"]


def test_a_failed_item_is_told_in_the_audit_once(store: Store) -> None:
    """Hand-overs are decisions: who, what, to whom, why; asking again adds nothing."""
    do(store, claiming("a", "w1"))
    for _ in range(2):
        (failed,) = do(store, claims.failing("a", 1, "out of memory"))
        assert isinstance(failed, Claim)
    assert told(store) == [("baseline: w1", "a", "whoever is entitled")]
    assert audit.verify(store, "shop") == []


def test_every_hand_over_is_told_also_of_items_with_long_names(store: Store) -> None:
    """There and back under one token are three decisions; names may differ in their last letter."""
    move(store, Mode.GRADUAL)
    do(store, claiming("a", "w"))
    ways = [System.BASELINE, System.CANDIDATE, System.BASELINE]
    for to in ways:
        do(store, claims.handing_over("a", 1, to, "x"))
    assert told(store) == [("baseline: w", "a", str(to)) for to in ways]
    long = ["b" * 199 + end for end in "12"]
    do(store, *(claiming(item, "w") for item in long))
    do(store, *(claims.failing(item, 1, "x") for item in long))
    assert [item for _, item, _ in told(store)[3:]] == long


@pytest.mark.parametrize(("mode", "is_planned"), [
    (Mode.CANDIDATE_ONLY, True), (Mode.CANDIDATE_ONLY, False), (Mode.GRADUAL, True)])
def test_a_failure_calls_for_the_rollback_in_its_own_transaction(
    store: Store, mode: Mode, is_planned: bool
) -> None:
    """It is stored with the failure, or not at all; and it is void once the state changed."""
    move(store, Mode.GRADUAL, 10_000)
    state = move(store, mode) if mode is Mode.CANDIDATE_ONLY else routing.read(store, "shop")
    do(store, claiming("a", "new", System.CANDIDATE))
    do(store, claims.failing("a", 1, "out of memory", may_roll_back=is_planned))
    wanted = rollbacks.wanted(store, state)
    is_due = is_planned and mode is Mode.CANDIDATE_ONLY
    assert wanted == ("new could not do a: out of memory" if is_due else None)
    assert rollbacks.wanted(store, move(store, Mode.EMERGENCY_ROLLBACK)) is None


def test_open_claims_are_counted_by_what_they_are(store: Store) -> None:
    """Done items, of which there may be millions, are not looked at."""
    do(store, *(claiming(item, "w") for item in "abcd"), claims.releasing("a", 1),
       claims.completing("b", 1))
    assert claims.open_claims(store, "shop", now=NOW) == {"held": 2, "expired": 0, "free": 1}
    later = NOW + timedelta(days=1)
    assert claims.open_claims(store, "shop", now=later) == {"held": 0, "expired": 2, "free": 1}


@pytest.mark.integration
def test_nothing_is_lost_or_done_twice_while_workers_are_killed(
    store_url: str, store: Store, tmp_path: Path
) -> None:
    """kill -9 at any line: every item gets done, and never by two under one token."""
    log, chance = tmp_path / "effects", random.Random(5)
    names = (f"worker-{number}" for number in itertools.count())

    with contextlib.ExitStack() as stack:
        def start() -> psutil.Popen:
            command = [sys.executable, "-m", "tests.support.claimer", store_url, next(names),
                       str(log)]
            return stack.enter_context(running(command, tmp_path / "claimer.log"))

        workers = [start() for _ in range(3)]
        for kills in range(1, 7):
            wait_for(lambda want=kills: _lines(log) >= 7 * want, what="effects")
            victim = workers.pop(chance.randrange(len(workers)))
            os.kill(victim.pid, signal.SIGKILL)
            workers.append(start())
        for worker in workers:
            worker.wait(300)
            assert worker.returncode == 0, (tmp_path / "claimer.log").read_text()
    effects = Counter(log.read_text().split("\n")[:-1])
    assert set(effects.values()) == {1}
    for item in ITEMS:
        found = claims.one(store, "shop", item)
        assert found is not None and found.status is Status.DONE
        assert f"{item} {found.token}" in effects


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0
