"""What is deleted is in a sum, nodes' old minutes are one row, and a second counts once."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import delete, select

from changeover import clock
from changeover.analysis.minute_seconds import NODES
from changeover.analysis.window import MAIN_GATEWAY, Sample
from changeover.plan.procedures import RetentionSpec
from changeover.store import hours, late_sums, minutes, pruning, samples
from changeover.store.covering import HOUR, MINUTE
from changeover.store.engine import Store
from changeover.store.minute_seconds import MinuteSecondsRow
from changeover.store.samples import SampleRow
from tests.support.sums import FIRST, Ledger, Operation, operations, sample

NODE_NAMES = ("edge-1", "edge-2")
LATER = clock.from_timestamp(FIRST + 600)
_numbers = itertools.count()


def send(store: Store, gateway: str, seconds: range) -> None:
    samples.write(store, "shop", [sample(gateway, FIRST + at) for at in seconds])


def prune(store: Store) -> None:
    """Delete all seconds."""
    kept = RetentionSpec(seconds=timedelta(0), minutes=timedelta(days=9))
    pruning.prune(store, "shop", kept, now=LATER)


def errors(store: Store) -> dict[str, int]:
    """Return how many seconds of each gateway a gate reads: each has one error."""
    return dict(found(store).errors)


def found(store: Store) -> samples.Window:
    return samples.window(store, "shop", "candidate", start=clock.from_timestamp(FIRST),
                          end=clock.from_timestamp(FIRST + HOUR))


def rows(store: Store, resolution: int) -> list[str]:
    """Return whose rows there are."""
    query = select(SampleRow.gateway).where(
        SampleRow.migration == "shop", SampleRow.resolution == resolution)
    with store.read() as session:
        return sorted(session.scalars(query))


def closed(store: Store) -> None:
    """Have the first half of a minute closed."""
    for name in (MAIN_GATEWAY, *NODE_NAMES):
        send(store, name, range(30))
    minutes.rollup(store, "shop", now=LATER)
    prune(store)


def test_old_minutes_of_nodes_are_one_row_and_say_the_same(store: Store) -> None:
    """The main gateway's stay its own; seconds are deleted with it."""
    for name in (MAIN_GATEWAY, *NODE_NAMES):
        send(store, name, range(60))
    minutes.rollup(store, "shop", now=LATER)
    before = found(store)
    assert rows(store, MINUTE) == [*NODE_NAMES, MAIN_GATEWAY]
    prune(store)
    assert rows(store, MINUTE) == [NODES, MAIN_GATEWAY]
    assert (rows(store, 1), found(store)) == ([], before)


@pytest.mark.parametrize("gateway", [MAIN_GATEWAY, "edge-1", "edge-9"])
def test_seconds_that_come_after_their_minutes_were_deleted_count_once(
    store: Store, gateway: str
) -> None:
    """Also when what is in already comes again with them: what is new is added, no more."""
    closed(store)
    before = found(store)
    again = {name: each for name, each in before.errors.items()}
    for _ in range(2):
        samples.write(store, "shop", [
            Sample("candidate", FIRST + at, gateway=gateway, requests=5, errors={gateway: 1},
                   watched=1) for at in range(20, 50)])
        late_sums.sum_up(store, "shop", gateway, range(FIRST, FIRST + MINUTE))
        prune(store)
        assert rows(store, 1) == []
        # a node that nobody knew has all of its thirty seconds in, the others twenty
        added = 20 if gateway in again else 30
        assert errors(store) == again | {gateway: again.get(gateway, 0) + added}
        assert found(store).requests == before.requests + 5 * added
        assert found(store).watched == 50


def test_what_nobody_summed_up_is_summed_up_before_it_is_deleted(store: Store) -> None:
    """Its node was killed before it could, and never came back; hours say so, too."""
    send(store, "edge-1", range(60))
    samples.write(store, "shop", [sample("edge-1", FIRST + HOUR)])
    minutes.rollup(store, "shop", now=clock.from_timestamp(FIRST + 2 * HOUR))
    assert hours.rollup(store, "shop", now=clock.from_timestamp(FIRST + 2 * HOUR)) == 1
    send(store, "edge-2", range(40))
    prune(store)
    assert errors(store) == {"edge-1": 60, "edge-2": 40}
    assert rows(store, HOUR) == []


def test_minutes_of_the_version_before_count_as_they_are(store: Store) -> None:
    """They have no masks: what was summed up with them is never added again."""
    for name in NODE_NAMES:
        send(store, name, range(60))
    minutes.rollup(store, "shop", now=LATER)
    with store.begin() as session:
        session.execute(delete(MinuteSecondsRow))
        session.execute(delete(SampleRow).where(
            SampleRow.resolution == 1, SampleRow.gateway == "edge-1"))
    # seconds of edge-1 are deleted already and some come again, those of edge-2 are all there
    send(store, "edge-1", range(10))
    for name in NODE_NAMES:
        late_sums.sum_up(store, "shop", name, range(FIRST, FIRST + MINUTE))
        assert errors(store) == {"edge-1": 60, "edge-2": 60}
    prune(store)
    assert (errors(store), rows(store, 1)) == ({"edge-1": 60, "edge-2": 60}, [])


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=operations)
def test_sums_are_plain_sums_in_any_order(store: Store, asked: list[Operation]) -> None:
    """Some of the examples of tests/core/observer/test_sums_in_any_order.py."""
    ledger = Ledger(store, f"shop-{next(_numbers)}")
    for each in asked:
        ledger.do(each)
    ledger.finish()
    gate, plain = ledger.window(), ledger.plain()
    assert (gate.requests, gate.errors, gate.latency) == (
        plain.requests, plain.errors, plain.latency)
    assert (gate.compared, ledger.seconds()) == (ledger.compared, 0)
