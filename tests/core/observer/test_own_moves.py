"""What gateway nodes did while they were cut off, as the main machine's observer settles it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.gateway_nodes import GatewayNode, NodeState
from changeover.domain.own_moves import move_of
from changeover.domain.routing import Change, Mode, RoutingState
from changeover.observer.notices import Notices
from changeover.observer.overdue import Overdue
from changeover.observer.own_moves import NodesMoves
from changeover.observer.traffic import Traffic
from changeover.plan.model import Plan
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import audit, gateway_nodes, plans, routing
from tests.support.ready_store import ready_store

SYSTEM = {"name": "x", "url": "http://127.0.0.1:1"}
PLAN = Plan.model_validate({
    "migration": "shop", "systems": {"baseline": SYSTEM, "candidate": SYSTEM},
    "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}]})
NOW = clock.now()
EDGE = gateway_nodes.Identity("shop", "edge-1", "home", "")


class Main:
    """The main machine: its store, and what its observer is called to do."""

    def __init__(self, directory: Path) -> None:
        self.store = ready_store(f"sqlite:///{directory / 'store.db'}")
        plans.register(self.store, PLAN, source="test", now=NOW)
        site = Site(Home(directory), PLAN, self.store, cast(Any, None))
        self.calls = Overdue(site)
        traffic = SimpleNamespace(called_for=self.calls, notices=Notices())
        self.moves = NodesMoves(site, cast(Traffic, traffic))
        gateway_nodes.join(self.store, EDGE)

    def move(self, mode: Mode, weight: int = 0, *, at: datetime = NOW) -> RoutingState:
        return routing.change(
            self.store, "shop", Change(mode=mode, weight=weight, is_by_person=True),
            Author("ann", "test"), now=at)

    @property
    def state(self) -> RoutingState:
        return routing.read(self.store, "shop")

    def settle(self, *, epoch: int, at: datetime = NOW, **facts: object) -> str | None:
        """Settle what a node did; return why everyone must go back, None when they need not."""
        entry = {"epoch": epoch, "version": 9, "reason": "slow", "at": at.isoformat(), **facts}
        node = GatewayNode("shop", "edge-1", "", "home", NodeState.READY, NOW, NOW, 0, 1,
                           own_moves=[entry])
        self.moves.settle([node])
        return self.calls.reason(self.state)


@pytest.fixture
def main(tmp_path: Path) -> Main:
    return Main(tmp_path)


def fact(*, is_urgent: bool) -> dict[str, object]:
    return {"firing": {"trigger": "slow", "reason": "slow", "second": 1, "evidence": {},
                       "is_urgent": is_urgent}}


def test_users_on_the_candidate_go_back_after_a_node_until_it_is_settled(main: Main) -> None:
    """It is said again for each state, and no more once nothing is left."""
    main.move(Mode.GRADUAL, 5000)
    assert "slow" in (main.settle(epoch=1) or "")
    state = main.move(Mode.GRADUAL, 6000)
    assert main.calls.reason(state) is None
    assert "slow" in (main.settle(epoch=1) or "")
    main.moves.settle([])
    assert main.calls.reason(state) is None


def test_what_a_node_called_for_says_nothing_of_the_next_cutover(main: Main) -> None:
    """Not each way back begins an epoch, so the epoch does not tell two cutovers apart."""
    main.move(Mode.GRADUAL, 5000)
    assert main.settle(epoch=1)
    main.move(Mode.BASELINE_ONLY)
    assert main.settle(epoch=1) is None
    main.moves.settle([])
    assert main.calls.reason(main.move(Mode.GRADUAL, 500)) is None


@pytest.mark.parametrize(("is_urgent", "goes_back"), [(True, True), (False, False)])
def test_a_return_in_steps_is_enough_for_what_is_not_urgent_only(
    main: Main, is_urgent: bool, goes_back: bool
) -> None:
    """Some users are at the candidate for as long as it takes."""
    main.move(Mode.GRADUAL, 5000)
    main.move(Mode.RETURNING, 4000)
    assert bool(main.settle(epoch=1, **fact(is_urgent=is_urgent))) is goes_back


def test_a_person_who_breaks_glass_at_a_node_wants_more_than_a_return_in_steps(
    main: Main
) -> None:
    """Nothing fired, and it is urgent."""
    main.move(Mode.GRADUAL, 5000)
    main.move(Mode.RETURNING, 4000)
    assert main.settle(epoch=1, actor="ann")
    assert move_of("edge-1", {"at": "1", "epoch": 1}).is_urgent


@pytest.mark.parametrize(("minutes", "goes_back"), [(-30, True), (0, False), (30, False)])
def test_a_rollback_covers_what_fired_before_it_and_not_what_fired_later(
    main: Main, minutes: int, goes_back: bool
) -> None:
    """The node was cut off since before it, and its users were tried on the candidate meanwhile."""
    main.move(Mode.GRADUAL, 5000)
    main.move(Mode.EMERGENCY_ROLLBACK, at=NOW + timedelta(minutes=minutes))
    main.move(Mode.BASELINE_ONLY)
    main.move(Mode.GRADUAL, 500)
    assert bool(main.settle(epoch=1, **fact(is_urgent=True))) is goes_back


def test_a_moment_that_cannot_be_read_is_covered_by_nothing(main: Main) -> None:
    """A node's row is the node's own to write."""
    assert move_of("edge-1", {"at": "soon"}).moment is None
    aware = move_of("edge-1", {"at": "2026-01-01T00:00:00"}).moment
    assert aware is not None and aware.tzinfo is not None


def test_what_a_node_did_is_in_the_audit_once(main: Main) -> None:
    main.move(Mode.GRADUAL, 5000)
    for _ in range(2):
        main.settle(epoch=1)
    assert len(audit.of_kind(main.store, "shop", "gateway_node.rolled_back")) == 1
