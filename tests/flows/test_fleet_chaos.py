"""kill -9 of everything of a fleet in every stage: the cutover ends, nothing is lost or doubled.

A real `changeover up` on PostgreSQL, three gateway nodes and a spare observer. `FLEET_SEED` is the
order in which processes die, in the last stage too; with an odd one a trigger fires there, and the
judges die while they roll back.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from changeover.domain.rollout import Cutover, CutoverStatus
from changeover.domain.routing import Mode
from changeover.store import audit, cutovers, firings, leading, publications, rollbacks, routing
from tests.integration.node.conftest import Node, Nodes
from tests.support.chaos import kill, kill_flow, let_go, report
from tests.support.measured import wait_measured_once
from tests.support.postgres import own_postgres
from tests.support.processes import running, wait_for
from tests.support.site import Site, site

pytestmark = [pytest.mark.integration, pytest.mark.chaos, pytest.mark.postgres]

SEED = int(os.environ.get("FLEET_SEED", "1"))
STAGES = ("gradual-25", "gradual-50", "full")
KILLED_IN = STAGES if "FLEET_SEED" in os.environ else STAGES[:2]
SERVICES = ("prefect-server", "observer", "console", "worker")
PHASES = """\
gates:
  slo: [{metric: error_rate, below: 60%, over: 3s, min_samples: 2}]
  asked: [{metric: outcome.asked, at_least: 1, over: 3s, min_samples: 1}]
triggers: [{name: bad, metric: outcome_error_rate, above: 50%, for: 1s, over: 3s, min_samples: 1,
            action: rollback}]
phases:
  - phase: gradual
    gates: [slo, asked]
    stages: [{percent: 25, soak: 3s}, {percent: 50, soak: 3s}]
  - {phase: full, soak: 3s, gates: [slo, asked]}
patience: {recheck: 4s, rechecks: 10000}
"""
"""Each stage ends when the test says so: when everything in it was killed."""


@dataclass
class Users:
    """Steady requests to one node, as a load balancer sends them."""

    stats: Path

    @property
    def failed(self) -> dict[str, int]:
        found = json.loads(self.stats.read_text())
        return {key: count for key, count in found.items() if key.startswith("failed")}


@dataclass
class FleetSite:
    """The site, its nodes with their users, and who judges when the main machine does not."""

    main: Site
    nodes: list[Node]
    users: list[Users]
    since: int

    def kill_all(self, run: str, chance: random.Random) -> None:
        """Kill each process once, in any order and without waiting; then wait for all of them."""
        victims: list[str | Node] = ["flow", *SERVICES, *self.nodes]
        chance.shuffle(victims)
        for victim in victims:
            if isinstance(victim, Node):
                victim.kill()
                victim.start()
            elif victim == "flow":
                kill_flow(self.main, run)
            else:
                kill(self.main, victim)
        self.wait_whole()

    def wait_whole(self) -> None:
        """Wait until everything is at work again."""
        for node in self.nodes:
            node.wait_ready()
        wait_for(self.main.api.is_alive, seconds=60, what="Prefect again")
        wait_for(self.main_leads, what="the main machine's observer leads again")

    def main_leads(self) -> bool:
        """Whether the main machine's observer leads."""
        found = leading.latest(self.main.store, "site")
        return found is not None and found.name == "main"

    def all_serve(self) -> bool:
        """Whether the main gateway and every node serve the store's state."""
        order = routing.read(self.main.store, "site").order
        rows = [node.row() for node in self.nodes]
        return self.main.gateway_serves() and all(row and row.order == order for row in rows)


@contextmanager
def fleet_site(directory: Path) -> Iterator[FleetSite]:
    """Start all of it; end it afterwards."""
    with ExitStack() as stack:
        url = stack.enter_context(own_postgres()).url
        found = stack.enter_context(site(directory, PHASES, store_url=url))
        nodes = Nodes(found.store, url, directory, stack, "site").start(
            "edge-1", "edge-2", "edge-3")
        stack.enter_context(running(
            [sys.executable, "-m", "changeover.cli", "observer", "--store", url, "--migration",
             "site", "--name", "spare-1", "--home", str(directory / "spare")],
            directory / "spare.log"))
        users = []
        for node in nodes:
            stats = directory / f"{node.name}.json"
            stack.enter_context(running(
                [sys.executable, "-m", "examples.metadata.load", "--url", node.url, "--rate", "5",
                 "--stats", str(stats)], directory / f"{node.name}-load.log"))
            users.append(Users(stats))
        wait_for(lambda: all(each.stats.exists() for each in users), what="users of every node")
        yield FleetSite(found, nodes, users, int(time.time()))


def test_everything_of_a_fleet_may_be_killed_in_every_stage(tmp_path: Path) -> None:
    """It ends as it should; each step once; no request failed; what was measured is there once."""
    chance = random.Random(SEED)
    with fleet_site(tmp_path) as fleet:
        run = fleet.main.start()
        for stage in STAGES:
            wait_for(lambda key=stage: fleet.main.stage(run)[0] == key, seconds=60, what=stage)
            if stage in KILLED_IN:
                fleet.kill_all(run, chance)
            if stage != STAGES[-1] or SEED % 2 == 0:
                let_go(fleet.main, run, stage, "asked")
        if SEED % 2:
            roll_back(fleet)
        ended = fleet.main.wait_ended(run, seconds=120)
        wait_for(fleet.all_serve, what="every gateway serves the end")
        if SEED % 2:
            assert ended.status is CutoverStatus.ROLLED_BACK, ended.outcome
            it_was_rolled_back_once(fleet)
        else:
            assert ended.status is CutoverStatus.PROMOTED, ended.outcome
        stages_were_passed_once(fleet, ended, STAGES[:-1] if SEED % 2 else STAGES)
        users_noticed_nothing(fleet)


def roll_back(fleet: FleetSite) -> None:
    """Have a trigger fire; everyone who judges or carries out the rollback dies meanwhile."""
    def is_back() -> bool:
        report(fleet.main, is_success=False)
        return routing.read(fleet.main.store, "site").mode is Mode.EMERGENCY_ROLLBACK

    kill(fleet.main, "observer")
    wait_for(is_back, what="the rollback")
    for victim in ("observer", "worker", "prefect-server"):
        kill(fleet.main, victim)
    fleet.wait_whole()


def it_was_rolled_back_once(fleet: FleetSite) -> None:
    """By the firings, the rollbacks, and the steps of the rollback."""
    store = fleet.main.store
    state = routing.read(store, "site")
    assert (state.mode, state.epoch) == (Mode.EMERGENCY_ROLLBACK, 1)
    assert [each.trigger for each in firings.all_of(store, "site")] == ["bad"]
    assert len(rollbacks.all_of(store, "site")) == 1
    kinds = Counter(event.kind for event in audit.events(store, "site"))
    assert (kinds["rollback.started"], kinds["trigger.fired"]) == (1, 1)


def stages_were_passed_once(fleet: FleetSite, cutover: Cutover, passed: Sequence[str]) -> None:
    """By the audit, the stages, the step log and the publications."""
    store, events = fleet.main.store, audit.events(fleet.main.store, "site")
    assert audit.verify(store, "site") == []
    assert [e.data["stage"] for e in events if e.kind == "stage.entered"] == [*STAGES]
    assert [e.data["stage"] for e in events if e.kind == "stage.promoted"] == [*passed]
    assert [each.key for each in cutovers.stages(store, cutover.id)] == [*STAGES]
    done = Counter((e.actor, e.data["step"]) for e in events if e.kind == "step.done")
    assert done and set(done.values()) == {1}, done
    state = routing.read(store, "site")
    last = 1 + len(STAGES) + state.epoch
    assert state.version == last
    confirmed = {each.version for each in publications.all_of(store, "site") if each.is_confirmed}
    assert set(range(2, last + 1)) <= confirmed <= set(range(1, last + 1))


def users_noticed_nothing(fleet: FleetSite) -> None:
    """No request failed, and all were measured: none lost, none twice."""
    assert fleet.main.failed() == 0
    assert [each.failed for each in fleet.users if each.failed] == []
    gateways = [fleet.main.gateway, *(node.gateway for node in fleet.nodes)]
    wait_measured_once(fleet.main.store, "site", gateways, since=fleet.since)
