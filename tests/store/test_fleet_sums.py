"""Seconds of many gateways become one row each, and all that was measured counts once."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sqlalchemy import select

from changeover import clock
from changeover.analysis.sequential.slices import Slice
from changeover.analysis.window import MAIN_GATEWAY, SHADOW, Sample
from changeover.domain.gateway_nodes import NodeState
from changeover.domain.slices import LogPlace
from changeover.site.bucket_sums import BucketSums, packed
from changeover.store import fleet_sums, gateway_nodes, hours, late_sums, samples, slices
from changeover.store.engine import Store
from changeover.store.gateway_nodes import Identity, Sign
from changeover.store.sample_rows import SampleRow

START = int(clock.now().timestamp()) // 3600 * 3600 - 7200
"""A whole hour, from which on seconds are summed up."""
NODES = [MAIN_GATEWAY, "edge-1", "edge-2"]
FOLDED = START + 60 + samples.SETTLED_ON_FLEET


def seconds(gateway: str, span: range, requests: int = 1) -> list[Sample]:
    """Return what a gateway measured, second by second."""
    return [Sample("candidate", at, gateway=gateway, requests=requests) for at in span]


def requests(store: Store, span: range) -> int:
    """Return how many requests a window counts."""
    return samples.window(store, "shop", "candidate", start=clock.from_timestamp(span.start),
                          end=clock.from_timestamp(span.stop)).requests


def rows(store: Store, resolution: int) -> Counter[str]:
    """Return how many rows each gateway has."""
    with store.read() as session:
        return Counter(session.scalars(
            select(SampleRow.gateway).where(SampleRow.resolution == resolution)))


def sum_up(store: Store, until: int) -> None:
    """Sum seconds up, bit by bit as the observer does."""
    for at in range(START, until + 1, fleet_sums.AT_ONCE):
        fleet_sums.merge(store, "shop", until=min(until, at + fleet_sums.AT_ONCE))


@pytest.fixture
def fleet(store: Store) -> Store:
    """A minute and a half of three gateways, of which the first eighty seconds are summed up."""
    fleet_sums.begin(store, "shop", now=START - 1)
    for name in NODES:
        samples.write(store, "shop", seconds(name, range(START, START + 90)))
    sum_up(store, START + 80)
    return store


def test_a_second_is_one_row_of_all_gateways_and_counts_once(fleet: Store) -> None:
    """Before and after the border, and across it."""
    assert rows(fleet, 1)["all"] == 80
    assert requests(fleet, range(START, START + 90)) == 270
    assert requests(fleet, range(START + 70, START + 85)) == 45
    recent = samples.recent(fleet, "shop", since=clock.from_timestamp(START))
    assert [each.requests for each in recent] == [3] * 90
    series = samples.series(fleet, "shop", "candidate", start=clock.from_timestamp(START),
                            end=clock.from_timestamp(START + 89))
    assert sum(each.requests for each in series) == 270


def test_what_comes_late_is_summed_anew_while_the_gateways_rows_are_there(fleet: Store) -> None:
    """A node that was cut off for some seconds sends them then."""
    samples.write(fleet, "shop", seconds("edge-3", range(START + 10, START + 20)))
    assert requests(fleet, range(START, START + 90)) == 270
    late = START + 10
    while late < START + 20:
        late = fleet_sums.merge(fleet, "shop", until=START + 80, since=late)[1].stop
    assert requests(fleet, range(START, START + 90)) == 280


def test_a_minute_is_one_row_and_the_gateways_own_seconds_go(fleet: Store) -> None:
    """What came after the last summing is in it; comparisons keep their seconds."""
    samples.write(fleet, "shop", [Sample(SHADOW, START + 5, compared=4, matched=3)])
    samples.write(fleet, "shop", seconds("edge-3", range(START + 10, START + 20)))
    assert samples.rollup(fleet, "shop", now=clock.from_timestamp(FOLDED - 1)) == 0
    assert samples.rollup(fleet, "shop", now=clock.from_timestamp(FOLDED)) == 2
    assert rows(fleet, 60) == {"all": 1, MAIN_GATEWAY: 1}
    assert fleet_sums.main_until(fleet, "shop") == START + 60
    assert rows(fleet, 1) == {"all": 80, MAIN_GATEWAY: 31, "edge-1": 30, "edge-2": 30}
    assert requests(fleet, range(START, START + 90)) == 280
    assert requests(fleet, range(START + 12, START + 14)) == 8
    found = samples.window(fleet, "shop", "candidate", start=clock.from_timestamp(START),
                           end=clock.from_timestamp(START + 60))
    assert (found.compared, found.matched, found.watched) == (4, 3, 60)


def test_what_comes_after_the_minute_stands_for_itself(fleet: Store) -> None:
    """Sent again, summed up again, it counts once; the hour has it, too."""
    samples.rollup(fleet, "shop", now=clock.from_timestamp(FOLDED))
    late = seconds("edge-2", range(START + 5, START + 15), requests=7)
    for _ in range(2):
        samples.write(fleet, "shop", late)
        assert late_sums.sum_up(fleet, "shop", "edge-2", range(START, START + 60)) == 1
        assert requests(fleet, range(START, START + 60)) == 180 + 70
    # a second minute ends the hour's minutes
    assert hours.rollup(fleet, "shop", now=clock.from_timestamp(START + 7200)) == 0
    samples.write(fleet, "shop", seconds("edge-1", range(START + 3600, START + 3661)))
    sum_up(fleet, START + 3700)
    samples.rollup(fleet, "shop", now=clock.from_timestamp(START + 4000))
    assert hours.rollup(fleet, "shop", now=clock.from_timestamp(START + 7200)) == 1
    assert requests(fleet, range(START, START + 3600)) == 270 + 70


def test_minutes_of_before_the_first_node_stay_as_they_are(store: Store) -> None:
    """A migration that grows into a fleet loses nothing on the way."""
    samples.write(store, "shop", seconds(MAIN_GATEWAY, range(START - 60, START + 60)))
    fleet_sums.begin(store, "shop", now=START - 30)
    fleet_sums.begin(store, "shop", now=START + 500)
    sum_up(store, START + 60)
    assert requests(store, range(START - 60, START + 60)) == 120
    samples.rollup(store, "shop", now=clock.from_timestamp(FOLDED))
    assert rows(store, 60) == {MAIN_GATEWAY: 1, "all": 1}
    assert requests(store, range(START - 60, START + 60)) == 120


def slice_of(gateway: str, start: int) -> Slice:
    """Return a minute by bucket."""
    return Slice(2500, start, start + 60, {"requests": np.ones(10_000, np.int64)}, {}, gateway)


def test_slices_of_nodes_that_went_on_become_one(store: Store) -> None:
    """One that is silent may go on with its own, and save it as a whole."""
    for name, until in (("edge-1", START + 600), ("edge-2", START + 600), ("edge-3", START + 90)):
        who = gateway_nodes.join(store, Identity("shop", name, name, ""))
        gateway_nodes.sign(store, who, Sign(NodeState.READY, (0, 1), until))
    for name in (*NODES, "edge-3"):
        slices.save(store, "shop", [packed(slice_of(name, START))], LogPlace(1, 1), gateway=name)
    sums = BucketSums(store, "shop")
    assert sums.join(clock.from_timestamp(START + 100)) == 0
    assert sums.join(clock.from_timestamp(START + 200)) == 1
    found = slices.keys(store, "shop", end=START + 60)
    assert {gateway for gateway, *_ in found} == {"all", MAIN_GATEWAY, "edge-3"}
    total = sums.of_stage(2500, start=clock.from_timestamp(START),
                          end=clock.from_timestamp(START + 60))
    assert sum(int(each.counts("errors").requests[0]) for each in total) == 4
    who = gateway_nodes.join(store, Identity("shop", "edge-3", "edge-3", ""))
    gateway_nodes.sign(store, who, Sign(NodeState.READY, (0, 1), START + 600))
    assert sums.join(clock.from_timestamp(START + 200)) == 1
    assert len(slices.keys(store, "shop", end=START + 60)) == 2
