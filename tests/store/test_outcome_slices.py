"""Outcomes by bucket on real databases: in the outcome's own transaction, added up, no key."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import text

from changeover import clock
from changeover.analysis.sequential.reported import Counting
from changeover.analysis.sequential.slices import OF_OUTCOMES, Excluded, Slice, Told, merged
from changeover.domain.audit import Author
from changeover.domain.outcomes import Outcome
from changeover.domain.routing import Change, Mode, bucket
from changeover.plan.routing import HASHED
from changeover.site.bucket_sums import opened
from changeover.store import outcomes, routing, slices
from changeover.store.engine import Store

COUNTING = Counting(HASHED, frozenset(), [], lambda key: frozenset())


def one(key: str, user: str = "ann", **more: object) -> Outcome:
    system = "candidate" if bucket(user) < 5000 else "baseline"
    return Outcome(key, system, True, key=user, **more)  # type: ignore[arg-type]


@pytest.fixture
def halved(store: Store) -> Store:
    """A store whose users are split in halves."""
    routing.change(store, "shop", Change(mode=Mode.GRADUAL, weight=5000), Author("t", "t"),
                   now=clock.now())
    return store


def save(store: Store, *batch: Outcome, at: datetime) -> frozenset[str]:
    return outcomes.save(store, "shop", batch, now=at, counting=COUNTING)


def kept(store: Store) -> list[Slice]:
    return [opened(each) for each in slices.between(
        store, "shop", weight=5000, start=0, end=1 << 40)]


def total(store: Store) -> int:
    return int(merged(kept(store)).sums[Told.OUTCOMES].sum())


def test_an_outcome_counts_once_by_bucket_however_often_it_is_reported(halved: Store) -> None:
    """Sums and outcome are one transaction."""
    at = clock.now() + timedelta(seconds=5)
    save(halved, one("a"), one("a"), one("b", user="eve"), at=at)
    save(halved, one("a"), one("c"), at=at)
    found = merged(kept(halved)).sums[Told.OUTCOMES]
    assert (found[bucket("ann")], found[bucket("eve")]) == (2, 1)


def test_consoles_that_report_at_once_lose_nothing(halved: Store) -> None:
    """Several add to the same slice."""
    at = clock.now() + timedelta(seconds=700)

    def report(number: int) -> None:
        for each in range(5):
            save(halved, one(f"{number}-{each}", user=f"u{number}"), at=at)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(report, range(4)))
    assert total(halved) == 20
    assert len(kept(halved)) == 1


def test_slices_are_short_after_a_change_and_then_minutes(halved: Store) -> None:
    """A stage may soak for seconds only; none begins before the change."""
    changed = clock.now()
    for number in range(0, 900, 3):
        save(halved, one(f"o{number}"), at=changed + timedelta(seconds=number))
    found = kept(halved)
    lengths = [after.start - before.start for before, after in pairwise(found)]
    assert found[0].start >= int(changed.timestamp())
    assert lengths[1] <= 4
    assert lengths[-1] == 60
    assert total(halved) == 300


def test_no_users_key_is_in_the_store(halved: Store) -> None:
    """Neither beside the outcome nor in the sums."""
    save(halved, one("a", user="ann-of-the-shop"), one("b", user=""), at=clock.now())
    with halved.read() as session:
        rows = [str(tuple(row)) for table in ("outcome", "outcome_sum", "bucket_slice")
                for row in session.execute(text(f"SELECT * FROM {table}"))]  # noqa: S608
    assert rows
    assert not [row for row in rows if "ann-of-the-shop" in row]
    assert merged(kept(halved)).excluded == {OF_OUTCOMES + Excluded.NO_KEY: 1}
