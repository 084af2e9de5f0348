"""Seconds of several gateways become one, whenever they come; nobody waits long for late ones."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from changeover.analysis.window import Sample
from changeover.domain.gateway_nodes import Fleet
from changeover.observer.merging import Merging
from changeover.observer.nodes import Nodes
from changeover.observer.notices import Notices
from tests.core.test_gateway_nodes import NOW, node


def sample(requests: int, *, at: int = 100, gateway: str = "main", **more: Any) -> Sample:
    return Sample("candidate", at, gateway=gateway, requests=requests, watched=1, **more)


def test_seconds_add_up_and_a_second_of_one_gateway_replaces_itself() -> None:
    """Whoever comes first."""
    merging = Merging()
    merging.add([sample(3)])
    assert [each.requests for each in merging.pop_changed()] == [3]
    merging.add([sample(5, gateway="edge-1"), sample(7, gateway="edge-2")])
    found, = merging.pop_changed()
    assert (found.requests, found.gateway, found.watched) == (15, "main", 1)
    merging.add([sample(6, gateway="edge-1")])
    assert merging.pop_changed()[0].requests == 16
    merging.add([sample(4)])
    assert merging.pop_changed()[0].requests == 17


def test_what_is_read_again_and_did_not_change_is_no_news() -> None:
    """The newest seconds are read at every poll."""
    merging = Merging()
    merging.add([sample(5, gateway="edge-1")])
    assert len(merging.pop_changed()) == 1
    merging.add([sample(5, gateway="edge-1")])
    assert merging.pop_changed() == []


def test_seconds_that_only_nodes_measured_count() -> None:
    """The main gateway may have no users at all."""
    merging = Merging()
    merging.add([sample(5, gateway="edge-1", errors={"reset": 2})])
    found, = merging.pop_changed()
    assert (found.requests, found.errors) == (5, {"reset": 2})


def test_a_lone_gateway_is_left_as_it_is() -> None:
    """The same object: a machine without nodes pays nothing."""
    merging, own = Merging(), sample(3)
    merging.add([own])
    assert merging.pop_changed()[0] is own


def nodes_of(*measured: int, age: float = 0.5) -> Nodes:
    site: Any = SimpleNamespace(
        store=None, migration="shop", home=SimpleNamespace(gateway_files=None),
        gateway=SimpleNamespace(name="main"))
    found = Nodes(site, Notices())
    known = [replace(node(number, age=age), measured_until=until)
             for number, until in enumerate(measured, 1)]
    found._fleet, found._asked = Fleet.of(known, NOW), time.monotonic()
    return found


def test_who_judges_waits_for_live_nodes_and_at_most_a_second() -> None:
    """What is missing would look like a drop of requests."""
    assert nodes_of().complete(50) == 50
    assert nodes_of(50, 50).complete(50) == 50
    assert nodes_of(50, 49).complete(50) == 49
    assert nodes_of(50, 20).complete(50) == 49
    assert nodes_of(60).complete(50) == 50


def test_silent_nodes_and_a_store_that_is_away_are_not_waited_for() -> None:
    """Triggers must not wait for what cannot come."""
    assert nodes_of(20, age=timedelta(seconds=4).total_seconds()).complete(50) == 50
    away = nodes_of(20)
    away._asked -= 10
    assert away.complete(50) == 50
