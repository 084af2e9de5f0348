"""Each row of a gateway is opened once, and whatever changed is found."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from changeover import clock
from changeover.analysis.window import Sample
from changeover.domain.gateway_nodes import Fleet, GatewayNode, NodeState
from changeover.observer.node_seconds import AGAIN_SECONDS, KEPT_SECONDS, NodeSeconds
from changeover.store import gateway_seconds, samples
from changeover.store.engine import Store
from changeover.store.gateway_seconds import Versions


@pytest.fixture
def now() -> int:
    """A second that is over."""
    return int(time.time()) - 2


def sample(gateway: str, at: int, requests: int = 1, **more: Any) -> Sample:
    return Sample("candidate", at, gateway=gateway, requests=requests, watched=1, listened=0,
                  **more)


def fleet(**reached: int) -> Fleet:
    """Return live nodes that say up to where they sent."""
    moment = clock.now()
    return Fleet.of([
        GatewayNode("shop", name.replace("_", "-"), "10.0.0.1:1", "home", NodeState.READY, moment,
                    moment, 0, 1, measured_until=until) for name, until in reached.items()], moment)


def reader(store: Store) -> NodeSeconds:
    return NodeSeconds(store, "shop", ("main",))


def read(seconds: NodeSeconds, nodes: Fleet) -> dict[tuple[str, int], int]:
    """Return the requests of what is new, by gateway and second; changes are looked for, too."""
    seconds._looked = float("-inf")
    return {(row.gateway, row.at): row.requests for row in seconds.read(nodes)}


def test_a_row_is_returned_once(store: Store, now: int) -> None:
    """However often the nodes are read."""
    seconds = reader(store)
    samples.write(store, "shop", [sample("edge-1", now, 3), sample("main", now, 9)])
    assert read(seconds, fleet(edge_1=now + 1)) == {("edge-1", now): 3}
    assert read(seconds, fleet(edge_1=now + 1)) == {}
    samples.write(store, "shop", [sample("edge-1", now + 1, 4)])
    assert read(seconds, fleet(edge_1=now + 2)) == {("edge-1", now + 1): 4}


def test_late_lines_correct_a_second_and_a_row_sent_again_is_no_news(
    store: Store, now: int
) -> None:
    """A node that was killed after its commit sends what it sent."""
    seconds = reader(store)
    samples.write(store, "shop", [sample("edge-1", now, 3)])
    read(seconds, fleet(edge_1=now + 1))
    samples.write(store, "shop", [sample("edge-1", now, 3)])
    assert read(seconds, fleet(edge_1=now + 1)) == {}
    samples.write(store, "shop", [sample("edge-1", now - AGAIN_SECONDS + 1, 5),
                                  sample("edge-1", now, 4)])
    assert read(seconds, fleet(edge_1=now + 1)) == {
        ("edge-1", now - AGAIN_SECONDS + 1): 5, ("edge-1", now): 4}


def test_rows_are_found_before_their_node_says_that_it_sent_them(store: Store, now: int) -> None:
    """It may be killed between the two, and say nothing for long."""
    seconds = reader(store)
    samples.write(store, "shop", [sample("edge-1", now, 3)])
    assert read(seconds, fleet(edge_1=0, edge_2=now)) == {("edge-1", now): 3}
    assert read(seconds, fleet(edge_1=now + 1, edge_2=now)) == {}


def test_a_node_that_was_cut_off_brings_its_seconds(store: Store, now: int) -> None:
    """Also late lines of just before, and those of a minute ago; not older ones."""
    seconds = reader(store)
    samples.write(store, "shop", [sample("edge-1", now - 60, 3)])
    read(seconds, fleet(edge_1=now - 59, edge_2=now))
    samples.write(store, "shop", [sample("edge-1", at, 1) for at in range(now - 62, now)])
    found = read(seconds, fleet(edge_1=now, edge_2=now))
    assert sorted(at for _, at in found) == list(range(now - 62, now))


def test_a_node_that_starts_again_is_read_from_before(store: Store, now: int) -> None:
    """It reads its log again from a place that it noted, and may know more of a second."""
    seconds = reader(store)
    samples.write(store, "shop", [sample("edge-1", at, 1) for at in range(now - 40, now)])
    read(seconds, fleet(edge_1=now, edge_2=now))
    assert read(seconds, fleet(edge_1=0, edge_2=now)) == {}
    samples.write(store, "shop", [sample("edge-1", now - 30, 2)])
    assert read(seconds, fleet(edge_1=now + 1, edge_2=now)) == {("edge-1", now - 30): 2}


def test_what_is_older_is_left_to_gates(store: Store, now: int) -> None:
    """No trigger has its window so far back."""
    samples.write(store, "shop", [sample("edge-1", now - KEPT_SECONDS - 10, 3)])
    assert read(reader(store), fleet(edge_1=now)) == {}


def test_a_read_that_failed_is_made_good_by_the_next(store: Store, now: int) -> None:
    """Rows of a query before the one that failed were handed to nobody."""
    seconds = reader(store)
    samples.write(store, "shop", [sample("edge-1", now, 3)])
    changed, seconds._changed = seconds._changed, None  # type: ignore[method-assign,assignment]
    with pytest.raises(TypeError):
        read(seconds, fleet(edge_1=now + 1))
    seconds._changed = changed  # type: ignore[method-assign]
    assert read(seconds, fleet(edge_1=now + 1)) == {("edge-1", now): 3}


def test_reading_goes_on_where_an_observer_began(store: Store, now: int) -> None:
    """What it restored is known; what came before is read when it changes."""
    samples.write(store, "shop", [
        sample("edge-1", now - 30, 1), sample("edge-1", now, 2), sample("main", now, 5)])
    seconds = reader(store)
    found = seconds.restore(fleet(edge_1=now + 1), now - 10)
    assert {(row.gateway, row.requests) for row in found} == {("edge-1", 2), ("main", 5)}
    assert read(seconds, fleet(edge_1=now + 1)) == {}
    assert seconds.has_any(now - 60) and not seconds.has_any(now + 1)
    assert {row.gateway for row in seconds.second("candidate", now)} == {"edge-1", "main"}


def test_versions_are_known_for_good_when_they_are_committed() -> None:
    """Those of a read that failed are not."""
    known, key = Versions(), ("candidate", 1, "edge-1")
    assert known.is_new(key, "7", (1, 0, "{}"))
    known.begin()
    assert known.is_new(key, "7", (1, 0, "{}"))
    known.commit()
    assert known.has(key, "7") and not known.is_new(key, "8", (1, 0, "{}"))
    known.commit()
    known.forget(2)
    assert not known.has(key, "8")


def test_recent_seconds_are_sums_of_all_gateways_over_gaps(store: Store, now: int) -> None:
    """Long pauses without any second cost nothing and end nothing."""
    rows = [sample(gateway, at, 2) for at in (now - 5_000, now - 90, now) for gateway in
            ("main", "edge-1")]
    samples.write(store, "shop", [*rows, replace(rows[-1], system="baseline", requests=1)])
    found = gateway_seconds.recent(
        store, "shop", since=clock.from_timestamp(now) - timedelta(seconds=6_000))
    assert [(row.system, row.at, row.requests) for row in found] == [
        ("candidate", now - 5_000, 4), ("candidate", now - 90, 4), ("baseline", now, 1),
        ("candidate", now, 4)]
    only = gateway_seconds.recent(
        store, "shop", since=clock.from_timestamp(now - 100), system="baseline")
    assert [row.at for row in only] == [now]


def test_comparisons_are_left_to_who_reads_them_as_a_whole(store: Store, now: int) -> None:
    """They become known later than their second, also those of nodes."""
    samples.write(store, "shop", [Sample("shadow", now, gateway="edge-1", watched=1, listened=0,
                                         compared=2, matched=1, similarity=1.5)])
    seconds = reader(store)
    assert seconds.restore(fleet(edge_1=now), now - 5) == []
    assert read(seconds, fleet(edge_1=now + 1)) == {}
    found = gateway_seconds.recent(
        store, "shop", since=clock.from_timestamp(now), system="shadow")
    assert [row.compared for row in found] == [2]


def test_late_lines_are_found_after_a_pause_of_the_poll(store: Store, now: int) -> None:
    """They are of before the last look, not of before the newest word."""
    seconds = reader(store)
    samples.write(store, "shop", [sample("edge-1", at, 1) for at in range(now - 10, now)])
    read(seconds, fleet(edge_1=now - 3))
    late = now - 3 - AGAIN_SECONDS
    samples.write(store, "shop", [sample("edge-1", late, 2)])
    assert read(seconds, fleet(edge_1=now)) == {("edge-1", late): 2}


def test_late_lines_are_found_of_a_node_that_was_silent_for_a_moment(
    store: Store, now: int
) -> None:
    """A look at which it was silent says nothing of it."""
    seconds = reader(store)
    samples.write(store, "shop", [sample("edge-1", at, 1) for at in range(now - 10, now)])
    read(seconds, fleet(edge_1=now - 3, edge_2=now - 3))
    silent = replace(fleet(edge_1=now - 3).nodes[0], seen=clock.now() - timedelta(seconds=9))
    read(seconds, Fleet.of([silent, *fleet(edge_2=now).nodes], clock.now()))
    late = now - 3 - AGAIN_SECONDS
    samples.write(store, "shop", [sample("edge-1", late, 2)])
    assert read(seconds, fleet(edge_1=now, edge_2=now)) == {("edge-1", late): 2}


@pytest.mark.parametrize("others", [{}, {"edge_2": 1}], ids=["the last one", "one of two"])
def test_the_last_seconds_of_a_node_that_goes_are_read_at_once(
    store: Store, now: int, others: dict[str, int]
) -> None:
    """It is in no list any more: nothing says up to where it sent."""
    seconds = reader(store)
    left = {name: now for name in others}
    read(seconds, fleet(edge_1=now - 1, **left))
    samples.write(store, "shop", [sample("edge-1", at, 3) for at in (now - 1, now)])
    found = seconds.read(fleet(**left))
    assert {row.at for row in found} == {now - 1, now}
