"""What this machine brings of an outage is added to what the other gateways had meanwhile."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from changeover import clock
from changeover.analysis.window import Sample
from changeover.domain.gateway_nodes import Fleet, GatewayNode, NodeState
from changeover.gateway.files import GatewayFiles
from changeover.gateway.publish import Gateway
from changeover.observer.node_seconds import KEPT_SECONDS
from changeover.observer.nodes import Nodes
from changeover.observer.notices import Notices
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import gateway_nodes, gateway_seconds, samples
from changeover.store.engine import Store
from tests.store.conftest import shop

OUTAGE, MEMORY = 300, 400


@pytest.fixture
def now() -> int:
    return int(time.time())


def sample(gateway: str, at: int, requests: int) -> Sample:
    return Sample("candidate", at, gateway=gateway, requests=requests, watched=1, listened=0)


def restored(store: Store, directory: Path, now: int) -> Nodes:
    """Return what a new observer knows of nodes after an outage, as it begins."""
    home = Home(directory)
    home.create()
    site = Site(home, shop(), store, Gateway(GatewayFiles(directory / "gateway")))
    nodes = Nodes(site, Notices(), memory=MEMORY)
    nodes.restore(now - OUTAGE)
    gateway_seconds.recent(
        store, "shop", since=clock.from_timestamp(now - MEMORY), seen=nodes.know)
    nodes.begin()
    return nodes


def requests(found: list[Sample]) -> dict[int, int]:
    return {each.at: each.requests for each in found}


def test_seconds_of_an_outage_count_with_those_of_the_others(
    store: Store, tmp_path: Path, now: int
) -> None:
    """At once, in triggers and budgets, however long ago; also while the log is read bit by bit."""
    began = now - OUTAGE
    samples.write(store, "shop", [
        *(sample("edge-1", at, 5) for at in range(began - 20, now - 10)),
        *(sample("edge-2", at, 7) for at in range(began, began + 100)),
        sample("main", began - 1, 2)])
    nodes = restored(store, tmp_path, now)
    first = nodes.merged([sample("main", began, 4), sample("main", began + 1, 4)], began + 2)
    assert requests(first) == {began: 16, began + 1: 16}
    later = nodes.merged([sample("main", at, 1) for at in range(began + 2, now)], now)
    known = requests(later)
    assert known[began + 50] == 13 and known[began + 150] == 6 and known[now - 1] == 1
    assert set(known) == set(range(began + 2, now))


def test_a_late_line_of_long_ago_does_not_replace_the_sum_of_all(
    store: Store, tmp_path: Path, now: int
) -> None:
    """Its second is read whole."""
    old = now - KEPT_SECONDS - 20
    samples.write(store, "shop", [sample("edge-1", old, 5)])
    nodes = restored(store, tmp_path, now)
    assert requests(nodes.merged([sample("main", old, 2)], now)) == {old: 7}
    assert nodes.merged([sample("main", old, 3)], now) == []
    nodes._read_anew()
    assert requests(nodes.merged([], now)) == {old: 8}


def test_nodes_are_waited_for_from_the_first_second_on(
    store: Store, tmp_path: Path, now: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it took to read what is stored."""
    moment = clock.now()
    node = GatewayNode("shop", "edge-1", "10.0.0.1:1", "home", NodeState.READY, moment, moment,
                       0, 1, measured_until=now - 60)
    fleets = iter([Fleet.of([node], moment),
                   Fleet.of([replace(node, measured_until=now - 1)], moment)])
    monkeypatch.setattr(gateway_nodes, "fleet", lambda *_: next(fleets))
    nodes = restored(store, tmp_path, now)
    assert nodes.complete(now) == now - 1
